//! AF_UNIX (unix(7); net/unix/af_unix.c, Linux v6.18): streams, datagrams, sequenced packets.
//!
//! A [`UnixSocket`] has one lock over its state and its receive queue. A sender looks at its own state, lets
//! go, and then appends to the peer's queue. Peers know each other weakly; a socket is released when its file
//! is dropped. A message charges the sender's buffer until it is read ([`queue`]).

mod connect;
mod garbage;
pub mod listing;
mod names;
mod packet;
pub(crate) mod queue;
mod stream;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use kernel_vfs::path::Path;

use crate::control::Credential;
use crate::namespace::{Family, Pair};
use crate::options::{Options, Switch, so};
use crate::socket::{
    Destination, Identity, MessageFlags, Outgoing, PeerCredential, Received, Shutdown, Socket, SocketKind,
};
use garbage::Passing;
use names::{Key, Name, Names};
use queue::{Message, READABLE, Sender, WRITABLE};

/// AF_UNIX.
pub const AF_UNIX: u16 = 1;
/// Datagrams that wait for a receiver that is not connected to the sender (net.unix.max_dgram_qlen
/// as /proc/sys shows it).
const MAX_DATAGRAMS: usize = 512;
/// SIOCOUTQ (include/uapi/linux/sockios.h).
const SIOCOUTQ: u32 = 0x5411;
/// What a change of state wakes: everybody.
const STATE_CHANGE: Events = READABLE.union(WRITABLE).union(Events::RDHUP).union(Events::HUP);

bitflags::bitflags! {
    /// `sk_shutdown`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Ended: u8 {
        const RECEIVING = 1;
        const SENDING = 2;
    }
}

/// `sk_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    /// A connect on another thread is about to succeed.
    Connecting,
    Listening,
    Established,
}

/// The other end.
#[derive(Clone)]
struct Peer {
    socket: Weak<UnixSocket>,
    name: Arc<Name>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    peer: Option<Peer>,
    ended: Ended,
    error: Option<Errno>,
    received: VecDeque<Message>,
    /// How many of them hold files.
    with_files: usize,
    /// Connections that nobody has accepted.
    pending: VecDeque<Arc<UnixSocket>>,
    backlog: usize,
    peer_credential: Option<PeerCredential>,
    /// Who found the receive or accept queue full.
    blocked: Vec<Weak<Sender>>,
    key: Option<Key>,
    /// The node it is bound to, kept so that its inode number is not used again.
    _node: Option<Path>,
}

/// What the sockets of a namespace share.
#[derive(Default)]
struct Shared {
    names: Names,
    passing: Arc<Passing>,
    /// Where autobind goes on.
    next_auto: AtomicU32,
}

/// A Unix socket.
pub struct UnixSocket {
    me: Weak<UnixSocket>,
    kind: SocketKind,
    protocol: i32,
    shared: Arc<Shared>,
    options: Options,
    name: Arc<Name>,
    sender: Arc<Sender>,
    /// False while it waits in a listener's queue.
    is_accepted: AtomicBool,
    state: Mutex<State>,
}

impl State {
    /// Remembers that `sender` waits for room.
    fn block(&mut self, sender: &Arc<Sender>) {
        self.blocked.retain(|known| known.strong_count() > 0);
        if !self.blocked.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(sender))) {
            self.blocked.push(Arc::downgrade(sender));
        }
    }

    fn is_full(&self) -> bool {
        self.received.len() > self.backlog
    }

    fn is_peer(&self, socket: &UnixSocket) -> bool {
        self.peer.as_ref().is_some_and(|peer| std::ptr::eq(peer.socket.as_ptr(), socket))
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.received.pop_front()?;
        self.with_files -= usize::from(message.rights.is_some());
        Some(message)
    }
}

/// Wakes those who waited for room. Not below a lock.
fn wake_blocked(blocked: Vec<Weak<Sender>>) {
    for sender in blocked.iter().filter_map(Weak::upgrade) {
        sender.queue.wake(WRITABLE);
    }
}

/// The caller as SCM_CREDENTIALS shows it.
fn credential_of(who: &dyn Caller) -> Credential {
    let credentials = who.credentials();
    Credential { pid: who.pid(), uid: credentials.ruid, gid: credentials.rgid }
}

/// The caller as SO_PEERCRED shows it.
fn peer_credential_of(who: &dyn Caller) -> PeerCredential {
    let credentials = who.credentials();
    let credential = Credential { pid: who.pid(), uid: credentials.euid, gid: credentials.egid };
    PeerCredential { credential, groups: Arc::clone(&credentials.groups) }
}

impl UnixSocket {
    fn new(shared: &Arc<Shared>, kind: SocketKind, protocol: i32, name: Arc<Name>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            kind,
            protocol,
            shared: Arc::clone(shared),
            options: Options::default(),
            name,
            sender: Arc::default(),
            is_accepted: AtomicBool::new(true),
            state: Mutex::new(State { backlog: MAX_DATAGRAMS, ..State::default() }),
        })
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn name(&self) -> &Name {
        &self.name
    }

    fn is_connection_oriented(&self) -> bool {
        matches!(self.kind, SocketKind::Stream | SocketKind::SeqPacket)
    }

    fn as_peer(&self) -> Peer {
        Peer { socket: Weak::clone(&self.me), name: Arc::clone(&self.name) }
    }

    /// Whether a message between the two carries credentials unasked (unix_passcred_enabled).
    fn passes_credentials(&self, other: &Self) -> bool {
        let asked = |socket: &Self| socket.options.is_on(so::PASSCRED);
        asked(self) || asked(other) || !other.is_accepted.load(Ordering::Relaxed)
    }

    /// Addresses of the files that its queue holds, and those of connections nobody has accepted.
    fn files_in_queue(&self) -> Vec<usize> {
        let state = self.state.lock();
        let files = state.received.iter().filter_map(|message| message.rights.as_ref());
        let mut found: Vec<usize> =
            files.flat_map(|rights| rights.files()).map(|file| Arc::as_ptr(file).addr()).collect();
        for embryo in &state.pending {
            found.extend(embryo.files_in_queue());
        }
        found
    }

    /// Takes out the messages that hold files: it is garbage.
    fn take_messages_with_files(&self, taken: &mut Vec<Message>) {
        let mut state = self.state.lock();
        state.with_files = 0;
        let (with, without): (VecDeque<_>, VecDeque<_>) =
            state.received.drain(..).partition(|message: &Message| message.rights.is_some());
        state.received = without;
        taken.extend(with);
        for embryo in &state.pending {
            embryo.take_messages_with_files(taken);
        }
    }

    fn autobind_for_credentials(&self) -> SysResult<()> {
        if self.options.is_on(so::PASSCRED) { self.autobind() } else { Ok(()) }
    }

    fn autobind(&self) -> SysResult<()> {
        let first = self.shared.next_auto.fetch_add(1, Ordering::Relaxed);
        if let Some(key) = self.shared.names.bind_auto(self, &self.me, first)? {
            self.state.lock().key = Some(key);
        }
        Ok(())
    }

    /// FIONREAD: bytes of a stream, or of the next message.
    fn bytes_waiting(&self) -> SysResult<usize> {
        let state = self.state.lock();
        match self.kind {
            _ if state.phase == Phase::Listening => Err(Errno::EINVAL),
            SocketKind::Datagram => Ok(state.received.front().map_or(0, |message| message.bytes.len())),
            _ => Ok(state.received.iter().map(|message| message.rest().len()).sum()),
        }
    }
}

impl Drop for UnixSocket {
    /// unix_release_sock: the peer of a connection hears of it, and that bytes were lost.
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        if let Some(key) = &state.key {
            self.shared.names.release(key, self);
        }
        wake_blocked(state.blocked);
        let peer = state.peer.filter(|_| matches!(self.kind, SocketKind::Stream | SocketKind::SeqPacket));
        if let Some(other) = peer.and_then(|peer| peer.socket.upgrade()) {
            let was_accepted = *self.is_accepted.get_mut();
            let mut theirs = other.state.lock();
            theirs.ended = Ended::all();
            if !state.received.is_empty() || !was_accepted {
                theirs.error = Some(Errno::ECONNRESET);
            }
            drop(theirs);
            other.sender.queue.wake(STATE_CHANGE | Events::ERR);
        }
        drop(state.pending);
        drop(state.received);
        self.shared.passing.socket_closed();
    }
}

impl Socket for UnixSocket {
    fn identity(&self) -> Identity {
        Identity { domain: AF_UNIX, kind: self.kind, protocol: self.protocol }
    }
    fn options(&self) -> &Options {
        &self.options
    }
    fn wait_queue(&self) -> &WaitQueue {
        &self.sender.queue
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// unix_poll and unix_dgram_poll.
    fn poll(&self) -> Events {
        let mut events = Events::empty();
        let state = self.state.lock();
        if state.error.is_some() {
            events |= Events::ERR;
        }
        if state.ended == Ended::all() {
            events |= Events::HUP;
        }
        if state.ended.contains(Ended::RECEIVING) {
            events |= Events::RDHUP | READABLE;
        }
        if !state.received.is_empty() || !state.pending.is_empty() {
            events |= READABLE;
        }
        if self.is_connection_oriented() && state.phase == Phase::Closed {
            events |= Events::HUP;
        }
        let is_writable =
            state.phase != Phase::Listening && self.sender.is_writable(self.options.send_buffer());
        let peer = state.peer.as_ref().filter(|_| self.kind != SocketKind::Stream).cloned();
        drop(state);
        if is_writable && !peer.is_some_and(|peer| self.waits_for(&peer)) {
            events |= WRITABLE;
        }
        events
    }

    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        self.bind_to(to)
    }
    fn listen(&self, who: &dyn Caller, backlog: u32) -> SysResult<()> {
        self.start_listening(who, backlog)
    }
    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        self.accept_one()
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        if self.kind == SocketKind::Datagram { self.associate(to) } else { self.connect_to(to) }
    }
    fn has_levels(&self) -> bool {
        false
    }
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        self.end(how);
        Ok(())
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        match self.kind {
            SocketKind::Stream => self.send_stream(who, message),
            _ => self.send_packet(who, message),
        }
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        match self.kind {
            SocketKind::Stream => self.receive_stream(buffer, flags),
            _ => self.receive_packet(buffer, flags),
        }
    }
    fn max_message(&self) -> Option<usize> {
        (self.kind != SocketKind::Stream).then(|| self.options.send_buffer() - 32)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        Ok(self.name.to_address())
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        let peer = self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
        Ok(peer.name.to_address())
    }
    fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }
    fn is_listening(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }
    fn peer_credential(&self) -> Option<PeerCredential> {
        self.state.lock().peer_credential.clone()
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let amount = match request {
            FIONREAD => self.bytes_waiting()?,
            SIOCOUTQ => self.sender.used(),
            _ => return Err(Errno::ENOTTY),
        };
        who.mem().write(UserRef::new(arg), &i32::try_from(amount).unwrap_or(i32::MAX))?;
        Ok(0)
    }
    fn fdinfo(&self) -> String {
        let state = self.state.lock();
        let rights = state.received.iter().filter_map(|message| message.rights.as_ref());
        format!("scm_fds: {}\n", rights.map(|rights| rights.files().len()).sum::<usize>())
    }
}

/// Makes Unix sockets.
pub(crate) struct UnixFamily(Arc<Shared>);

impl UnixFamily {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    fn socket(&self, kind: SocketKind, protocol: i32) -> SysResult<Arc<UnixSocket>> {
        if protocol != 0 && protocol != i32::from(AF_UNIX) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let kind = match kind {
            SocketKind::Raw => SocketKind::Datagram,
            SocketKind::Stream | SocketKind::Datagram | SocketKind::SeqPacket => kind,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        // sk_protocol stays 0: unix_create1 does not set it.
        Ok(UnixSocket::new(&self.0, kind, 0, Arc::default()))
    }
}

impl Family for UnixFamily {
    fn create(&self, _who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Arc<dyn Socket>> {
        Ok(self.socket(kind, protocol)?)
    }

    fn create_pair(&self, who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Pair> {
        let (one, two) = (self.socket(kind, protocol)?, self.socket(kind, protocol)?);
        for (socket, other) in [(&one, &two), (&two, &one)] {
            let mut state = socket.state.lock();
            state.phase = Phase::Established;
            state.peer = Some(other.as_peer());
            state.peer_credential = Some(peer_credential_of(who));
        }
        Ok((one, two))
    }
}

/// An accepted socket passes credentials as its listener does (unix_sock_inherit_flags).
fn inherit(listener: &Options, accepted: &Options) {
    if listener.is_on(so::PASSCRED) {
        accepted.switch(so::PASSCRED, Switch::On);
    }
}
