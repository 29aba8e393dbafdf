//! Datagrams and sequenced packets (unix_dgram_sendmsg, __unix_dgram_recvmsg).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use super::names::{self, Address};
use super::queue::{Layout, Message};
use super::{Ended, Peer, Phase, UnixSocket, credential_of, wake_blocked};
use crate::control::Credential;
use crate::options::so;
use crate::socket::{Destination, MessageFlags, Outgoing, Received, SocketKind};

/// Where a message goes.
enum Target<'a> {
    Peer(Peer),
    Address(Address, Destination<'a>),
}

impl UnixSocket {
    /// Whether an associated receiver, which is not associated with this socket, has too much to read; this
    /// socket is told when it has less (unix_dgram_peer_wake_me).
    pub(super) fn waits_for(&self, peer: &Peer) -> bool {
        let Some(other) = peer.socket.upgrade().filter(|other| !std::ptr::eq(&raw const **other, self))
        else {
            return false;
        };
        let mut theirs = other.state.lock();
        let waits = !theirs.is_peer(self) && theirs.is_full();
        if waits {
            theirs.block(&self.sender);
        }
        waits
    }

    fn target<'a>(&self, to: Option<Destination<'a>>) -> SysResult<Target<'a>> {
        if self.kind == SocketKind::SeqPacket {
            let mut state = self.state.lock();
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if state.phase != Phase::Established {
                return Err(Errno::ENOTCONN);
            }
            return state.peer.clone().map(Target::Peer).ok_or(Errno::ENOTCONN);
        }
        match to {
            Some(to) => match names::parse(to.address)? {
                Address::Unnamed => Err(Errno::EINVAL),
                address => Ok(Target::Address(address, to)),
            },
            None => self.state.lock().peer.clone().map(Target::Peer).ok_or(Errno::ENOTCONN),
        }
    }

    pub(super) fn send_packet(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        let Outgoing { bytes, to, flags, control } = message;
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.kind == SocketKind::Datagram && self.state.lock().ended.contains(Ended::SENDING) {
            return Err(Errno::EPIPE);
        }
        let target = self.target(to)?;
        self.autobind_for_credentials()?;
        if bytes.len() > self.options.send_buffer().saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        let files = control.files.clone();
        let mut message = self.new_message(who, bytes, Layout::Packet, control)?;
        let other = match self.receiver(target) {
            Ok(other) => other,
            Err(errno) => {
                control.files = files;
                return Err(errno);
            }
        };
        if message.credential.is_none() && self.passes_credentials(&other) {
            message.credential = Some(credential_of(who));
        }
        // Asked last: from here on EAGAIN means that the caller comes again with the same message.
        if let Err(errno) = self.check_room(&other) {
            control.files = files;
            return Err(errno);
        }
        drop(files);
        self.deliver(&other, message).map_err(|_lost| Errno::EPIPE)?;
        Ok(bytes.len())
    }

    /// Finds the receiver: ECONNREFUSED when an associated one is gone, which ends the association.
    fn receiver(&self, target: Target<'_>) -> SysResult<Arc<Self>> {
        let peer = match target {
            Target::Address(address, to) => return self.shared.names.look_up(&address, self.kind, to.walk),
            Target::Peer(peer) => peer,
        };
        if let Some(other) = peer.socket.upgrade() {
            return Ok(other);
        }
        if self.kind == SocketKind::SeqPacket {
            return Err(Errno::EPIPE);
        }
        let mut state = self.state.lock();
        state.peer = None;
        state.phase = Phase::Closed;
        drop(state);
        self.disconnected(&peer);
        Err(Errno::ECONNREFUSED)
    }

    /// EPERM when the receiver talks to somebody else alone, EPIPE when it does not receive, EAGAIN when it
    /// has too much to read.
    fn check_room(&self, other: &Self) -> SysResult<()> {
        let mut theirs = other.state.lock();
        let is_ours = theirs.is_peer(self);
        if theirs.peer.is_some() && !is_ours {
            return Err(Errno::EPERM);
        }
        if theirs.ended.contains(Ended::RECEIVING) {
            return Err(Errno::EPIPE);
        }
        if !is_ours && !std::ptr::eq(other, self) && theirs.is_full() {
            theirs.block(&self.sender);
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    pub(super) fn receive_packet(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let mut taken = None;
        let result = self.with_queue(|state| {
            if self.kind == SocketKind::SeqPacket && state.phase != Phase::Established {
                return Err(Errno::ENOTCONN);
            }
            if flags.contains(MessageFlags::OOB) {
                return Err(Errno::EOPNOTSUPP);
            }
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            let blocked = std::mem::take(&mut state.blocked);
            let received = if flags.contains(MessageFlags::PEEK) {
                state.received.front().map(|message| {
                    let files = message.rights.as_ref().map(|rights| rights.files().to_vec());
                    (copy_out(message, buffer), files.unwrap_or_default())
                })
            } else {
                taken = state.pop();
                taken.as_mut().map(|message| {
                    let files = message.rights.as_mut().map(super::garbage::Rights::take);
                    (copy_out(message, buffer), files.unwrap_or_default())
                })
            };
            match received {
                Some((mut received, files)) => {
                    received.files = files;
                    Ok((received, blocked))
                }
                None => {
                    state.blocked = blocked;
                    let is_end =
                        self.kind == SocketKind::SeqPacket || !flags.contains(MessageFlags::DONTWAIT);
                    let is_ended = state.ended.contains(Ended::RECEIVING);
                    if is_ended && is_end {
                        Ok((Received::default(), Vec::new()))
                    } else {
                        Err(Errno::EAGAIN)
                    }
                }
            }
        });
        drop(taken);
        let (mut received, blocked) = result?;
        wake_blocked(blocked);
        if !self.options.is_on(so::PASSCRED) {
            received.credential = None;
        }
        Ok(received)
    }
}

fn copy_out(message: &Message, buffer: &mut [u8]) -> Received {
    let take = message.bytes.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..take), message.bytes.get(..take)) {
        to.copy_from_slice(from);
    }
    let is_cut = take < message.bytes.len();
    Received {
        len: take,
        full_len: message.bytes.len(),
        address: message.from.get().map(<[u8]>::to_vec).unwrap_or_default(),
        flags: if is_cut { MessageFlags::TRUNC } else { MessageFlags::empty() },
        credential: Some(message.credential.unwrap_or(Credential::NOBODY)),
        is_last: true,
        ..Received::default()
    }
}
