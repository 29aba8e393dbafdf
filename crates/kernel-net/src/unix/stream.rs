//! Bytes of a stream (unix_stream_sendmsg, unix_stream_read_generic).

use std::sync::Arc;

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use super::queue::{Layout, Message, READABLE, STREAM_MOST, true_size};
use super::{Ended, Phase, State, UnixSocket, credential_of};
use crate::control::Credential;
use crate::options::so;
use crate::socket::{MessageFlags, Outgoing, Received, SendControl};

impl UnixSocket {
    pub(super) fn send_stream(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        let Outgoing { bytes, to, flags, control } = message;
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let state = self.state.lock();
        if to.is_some() {
            let is_connected = state.phase == Phase::Established;
            return Err(if is_connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = state.peer.clone().ok_or(Errno::ENOTCONN)?;
        let is_ended = state.ended.contains(Ended::SENDING);
        drop(state);
        let broken = || {
            if !flags.contains(MessageFlags::NOSIGNAL) {
                who.raise(Signal::SIGPIPE);
            }
            Errno::EPIPE
        };
        if is_ended {
            return Err(broken());
        }
        let most = (self.options.send_buffer() / 2).saturating_sub(64).min(STREAM_MOST);
        let mut sent = 0;
        for piece in bytes.chunks(most.max(1)) {
            let pushed = match peer.socket.upgrade() {
                Some(other) => self.push(who, &other, piece, control),
                None => Err(Errno::EPIPE),
            };
            match pushed {
                Ok(()) => sent += piece.len(),
                Err(_) if sent > 0 => break,
                Err(Errno::EPIPE) => return Err(broken()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(sent)
    }

    /// Makes a message that charges this socket's buffer (sock_alloc_send_pskb: a pending error first).
    pub(super) fn new_message(
        &self,
        who: &dyn Caller,
        bytes: &[u8],
        layout: Layout,
        control: &mut SendControl,
    ) -> SysResult<Message> {
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.ended.contains(Ended::SENDING) {
            return Err(Errno::EPIPE);
        }
        drop(state);
        let charge = self.sender.charge(true_size(bytes.len(), layout), self.options.send_buffer())?;
        let rights = if control.files.is_empty() {
            None
        } else {
            let files = std::mem::take(&mut control.files);
            Some(self.shared.passing.send(who, files, control.file_limit)?)
        };
        Ok(Message {
            bytes: bytes.into(),
            consumed: 0,
            rights,
            credential: control.credential,
            from: Arc::clone(&self.name),
            _charge: charge,
        })
    }

    fn push(&self, who: &dyn Caller, other: &Self, piece: &[u8], control: &mut SendControl) -> SysResult<()> {
        let mut message = self.new_message(who, piece, Layout::Stream, control)?;
        if message.credential.is_none() && self.passes_credentials(other) {
            message.credential = Some(credential_of(who));
        }
        let result = self.deliver(other, message);
        result.map_err(|_lost| Errno::EPIPE)
    }

    /// Appends to the queue of `other`, or gives the message back when it does not receive any more.
    pub(super) fn deliver(&self, other: &Self, message: Message) -> Result<(), Message> {
        let passing = message.rights.is_some().then(|| self.shared.passing.passing.read());
        let mut theirs = other.state.lock();
        if theirs.ended.contains(Ended::RECEIVING) {
            drop(theirs);
            drop(passing);
            return Err(message);
        }
        theirs.with_files += usize::from(message.rights.is_some());
        theirs.received.push_back(message);
        drop(theirs);
        drop(passing);
        other.sender.queue.wake(READABLE);
        Ok(())
    }

    /// Runs `f` on the state; below the collector's lock when the queue holds files.
    pub(super) fn with_queue<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        if state.with_files == 0 {
            return f(&mut state);
        }
        drop(state);
        let passing = self.shared.passing.passing.read();
        let mut state = self.state.lock();
        let result = f(&mut state);
        drop(state);
        drop(passing);
        result
    }

    pub(super) fn receive_stream(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let wants_credential = self.options.is_on(so::PASSCRED);
        let mut done: Vec<Message> = Vec::new();
        let result = self.with_queue(|state| {
            if state.phase != Phase::Established {
                return Err(Errno::EINVAL);
            }
            if flags.contains(MessageFlags::OOB) {
                // No byte out of band is ever sent.
                return Err(Errno::EINVAL);
            }
            if state.received.is_empty() {
                return match state.error.take() {
                    Some(error) => Err(error),
                    None if state.ended.contains(Ended::RECEIVING) => {
                        Ok(Received { is_last: true, ..Received::default() })
                    }
                    None => Err(Errno::EAGAIN),
                };
            }
            let mut reader = Reader { received: Received::default(), credential: None, wants_credential };
            if flags.contains(MessageFlags::PEEK) {
                reader.peek(state, buffer);
            } else {
                reader.read(state, buffer, &mut done);
            }
            reader.received.full_len = reader.received.len;
            Ok(reader.received)
        });
        // Gives the sender its buffer back, with no lock held.
        drop(done);
        result
    }
}

/// One read from a stream's queue.
struct Reader {
    received: Received,
    /// Of the first message, once there was one.
    credential: Option<Option<Credential>>,
    wants_credential: bool,
}

impl Reader {
    /// False when `message` is from somebody else than what was read: never glue messages of different
    /// writers for a reader that asks who wrote.
    fn admits(&mut self, message: &Message) -> bool {
        if self.credential.is_none() {
            self.received.address = message.from.get().map(<[u8]>::to_vec).unwrap_or_default();
            self.credential = Some(message.credential);
            if self.wants_credential {
                self.received.credential = Some(message.credential.unwrap_or(Credential::NOBODY));
            }
            return true;
        }
        !self.wants_credential || self.credential == Some(message.credential)
    }

    fn copy(&mut self, message: &Message, buffer: &mut [u8]) -> usize {
        let Some(room) = buffer.get_mut(self.received.len..) else { return 0 };
        let take = message.rest().len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..take), message.rest().get(..take)) {
            to.copy_from_slice(from);
        }
        self.received.len += take;
        take
    }

    fn peek(&mut self, state: &State, buffer: &mut [u8]) {
        for message in &state.received {
            if !self.admits(message) {
                self.received.is_last = true;
                break;
            }
            self.copy(message, buffer);
            if let Some(rights) = &message.rights {
                self.received.files = rights.files().to_vec();
            }
            if message.rights.is_some() || self.received.len >= buffer.len() {
                break;
            }
        }
        // The same bytes would come again.
        self.received.is_last = true;
    }

    fn read(&mut self, state: &mut State, buffer: &mut [u8], done: &mut Vec<Message>) {
        while let Some(message) = state.received.front_mut() {
            if !self.admits(message) {
                self.received.is_last = true;
                break;
            }
            let taken = self.copy(message, buffer);
            message.consumed += taken;
            let had_rights = match &mut message.rights {
                Some(rights) => {
                    self.received.files = rights.take();
                    true
                }
                None => false,
            };
            if had_rights {
                message.rights = None;
                state.with_files -= 1;
                self.received.is_last = true;
            }
            if state.received.front().is_some_and(|message| !message.rest().is_empty()) {
                break;
            }
            done.extend(state.received.pop_front());
            if had_rights || self.received.len >= buffer.len() {
                break;
            }
        }
    }
}
