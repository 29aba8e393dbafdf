//! Bytes of a connection (tcp_sendmsg_locked, tcp_recvmsg_locked, tcp_recv_urg).

use abi_linux::fs::Events;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use super::pipe::Take;
use super::{Ended, Phase, State, TcpSocket};
use crate::options::so;
use crate::socket::{MessageFlags, Received};
use crate::unix::queue::{READABLE, WRITABLE};

/// sk_stream_error: SIGPIPE goes with EPIPE alone.
fn broken(who: &dyn Caller, flags: MessageFlags, error: Option<Errno>) -> Errno {
    let errno = error.unwrap_or(Errno::EPIPE);
    if errno == Errno::EPIPE && error.is_none() && !flags.contains(MessageFlags::NOSIGNAL) {
        who.raise(Signal::SIGPIPE);
    }
    errno
}

fn take_of(flags: MessageFlags) -> Take {
    if flags.contains(MessageFlags::PEEK) {
        Take::Peek
    } else if flags.contains(MessageFlags::TRUNC) {
        Take::Discard
    } else {
        Take::Read
    }
}

impl TcpSocket {
    pub(super) fn send_bytes(&self, who: &dyn Caller, bytes: &[u8], flags: MessageFlags) -> SysResult<usize> {
        let mut state = self.state.lock();
        if state.phase == Phase::SynSent {
            return Err(Errno::EAGAIN);
        }
        if state.phase != Phase::Connected || state.error.is_some() || state.ended.contains(Ended::SENDING) {
            let error = state.error.take();
            drop(state);
            return Err(broken(who, flags, error));
        }
        let Some(outgoing) = state.outgoing.clone() else { return Err(Errno::EPIPE) };
        let peer = state.peer.clone();
        drop(state);
        outgoing.set_send_buffer(self.common.options.send_buffer());
        let is_urgent = flags.contains(MessageFlags::OOB);
        match outgoing.push(bytes, is_urgent) {
            Ok(sent) => {
                if let Some(peer) = peer.upgrade().filter(|_| sent > 0) {
                    let events = if is_urgent { READABLE | Events::PRI } else { READABLE };
                    peer.common.queue.wake(events);
                }
                Ok(sent)
            }
            Err(Errno::ECONNRESET) => {
                // The bytes leave, and a reset comes back.
                self.receive_reset(Errno::ECONNRESET);
                Ok(bytes.len())
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn receive_bytes(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let mut state = self.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::ENOTCONN);
        }
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN);
        }
        let inline = self.common.options.is_on(so::OOBINLINE);
        if flags.contains(MessageFlags::OOB) {
            return receive_urgent(&state, buffer, take_of(flags), inline);
        }
        let Some(incoming) = state.incoming.clone() else { return nothing(&mut state) };
        incoming.set_window(self.common.options.receive_buffer());
        // A peek for all of them takes nothing until all are there.
        let wants_all = flags.contains(MessageFlags::PEEK | MessageFlags::WAITALL)
            && !flags.contains(MessageFlags::DONTWAIT)
            && state.ended.is_empty();
        let how = take_of(flags);
        let available = incoming.available(inline);
        if available == 0 || wants_all && available < buffer.len() {
            if incoming.len() > 0 {
                // Passes over an urgent byte.
                incoming.take(&mut [], how, inline);
            }
            return nothing(&mut state);
        }
        let taken = incoming.take(buffer, how, inline);
        let peer = state.peer.clone();
        drop(state);
        if taken.wakes_writer
            && let Some(peer) = peer.upgrade()
        {
            peer.common.queue.wake(WRITABLE);
        }
        let len = if how == Take::Discard { 0 } else { taken.len };
        // A peek would find the same bytes again.
        let is_last = how != Take::Read || taken.at_mark;
        Ok(Received { len, full_len: taken.len, is_last, ..Received::default() })
    }
}

/// A receive that finds no byte.
fn nothing(state: &mut State) -> SysResult<Received> {
    let end = Ok(Received { is_last: true, ..Received::default() });
    if state.fin_received {
        return end;
    }
    match (state.error.take(), state.phase) {
        (Some(error), _) => Err(error),
        (None, _) if state.ended.contains(Ended::RECEIVING) => end,
        (None, Phase::Closed) => Err(Errno::ENOTCONN),
        (None, _) => Err(Errno::EAGAIN),
    }
}

fn receive_urgent(state: &State, buffer: &mut [u8], how: Take, inline: bool) -> SysResult<Received> {
    let incoming = state.incoming.as_ref().filter(|_| !inline).ok_or(Errno::EINVAL)?;
    let byte = incoming.urgent(how)?;
    let flags = MessageFlags::OOB;
    match buffer.first_mut() {
        Some(to) => {
            *to = byte;
            let len = if how == Take::Discard { 0 } else { 1 };
            Ok(Received { len, full_len: 1, flags, is_last: true, ..Received::default() })
        }
        None => {
            let flags = flags | MessageFlags::TRUNC;
            Ok(Received { flags, is_last: true, ..Received::default() })
        }
    }
}
