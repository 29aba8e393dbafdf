//! bind, listen, connect, accept, shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use super::names::{self, Address};
use super::queue::{READABLE, WRITABLE};
use super::{Ended, Peer, Phase, STATE_CHANGE, UnixSocket, inherit, peer_credential_of, wake_blocked};
use crate::socket::{Destination, Shutdown, Socket, SocketKind};

impl UnixSocket {
    pub(super) fn bind_to(&self, to: Destination<'_>) -> SysResult<()> {
        let me = self.me.clone();
        let names = &self.shared.names;
        let (key, node) = match names::parse(to.address)? {
            Address::Unnamed => return self.autobind(),
            Address::Abstract(path) => (names.bind_abstract(self, me, path)?, None),
            Address::Path(path) => {
                let (key, node) = names.bind_path(self, me, &path, to.walk)?;
                (key, Some(node))
            }
        };
        let mut state = self.state.lock();
        state.key = Some(key);
        state._node = node;
        Ok(())
    }

    pub(super) fn start_listening(&self, who: &dyn Caller, backlog: u32) -> SysResult<()> {
        if !self.is_connection_oriented() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.name.get().is_none() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Closed | Phase::Listening) {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.backlog = backlog as usize;
        state.peer_credential = Some(peer_credential_of(who));
        let blocked = std::mem::take(&mut state.blocked);
        drop(state);
        wake_blocked(blocked);
        Ok(())
    }

    fn find(&self, to: Destination<'_>) -> SysResult<Arc<Self>> {
        let address = names::parse(to.address)?;
        if address == Address::Unnamed {
            return Err(Errno::EINVAL);
        }
        self.autobind_for_credentials()?;
        self.shared.names.look_up(&address, self.kind, to.walk)
    }

    /// Connects a stream or packet socket (unix_stream_connect). The two sockets are locked in turn: while
    /// the listener is asked, the phase keeps other connects of this socket away.
    pub(super) fn connect_to(&self, to: Destination<'_>) -> SysResult<()> {
        let listener = self.find(to)?;
        listener.check_accepting(self)?;
        {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Closed => state.phase = Phase::Connecting,
                Phase::Established => return Err(Errno::EISCONN),
                Phase::Connecting | Phase::Listening => return Err(Errno::EINVAL),
            }
        }
        let result = listener.admit(self, to.walk.who);
        let mut state = self.state.lock();
        match &result {
            Ok(peer) => {
                state.phase = Phase::Established;
                state.peer_credential = listener.peer_credential();
                state.peer = Some(peer.clone());
            }
            Err(_) => state.phase = Phase::Closed,
        }
        drop(state);
        if result.is_ok() {
            self.sender.queue.wake(WRITABLE);
            listener.sender.queue.wake(READABLE);
        }
        result.map(drop)
    }

    /// ECONNREFUSED unless it listens, EAGAIN while its queue is full.
    fn check_accepting(&self, client: &Self) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.phase != Phase::Listening || state.ended.contains(Ended::RECEIVING) {
            return Err(Errno::ECONNREFUSED);
        }
        if state.pending.len() > state.backlog {
            state.block(&client.sender);
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Puts a connection with `client` into the accept queue and returns its end.
    fn admit(&self, client: &Self, who: &dyn Caller) -> SysResult<Peer> {
        self.check_accepting(client)?;
        let embryo = Self::new(&self.shared, self.kind, self.protocol, Arc::clone(&self.name));
        {
            let mut state = embryo.state.lock();
            state.phase = Phase::Established;
            state.peer_credential = Some(peer_credential_of(who));
        }
        let peer = embryo.as_peer();
        let mut state = self.state.lock();
        if state.phase != Phase::Listening || state.ended.contains(Ended::RECEIVING) {
            return Err(Errno::ECONNREFUSED);
        }
        // The peer is set when nothing can fail any more, so that an embryo that is given up tells nobody.
        embryo.state.lock().peer = Some(client.as_peer());
        embryo.is_accepted.store(false, Ordering::Relaxed);
        state.pending.push_back(embryo);
        Ok(peer)
    }

    pub(super) fn accept_one(&self) -> SysResult<Arc<dyn Socket>> {
        if !self.is_connection_oriented() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.phase != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let Some(accepted) = state.pending.pop_front() else {
            let is_ended = state.ended.contains(Ended::RECEIVING);
            return Err(if is_ended { Errno::EINVAL } else { Errno::EAGAIN });
        };
        let blocked = std::mem::take(&mut state.blocked);
        drop(state);
        accepted.is_accepted.store(true, Ordering::Relaxed);
        inherit(&self.options, &accepted.options);
        wake_blocked(blocked);
        Ok(accepted)
    }

    /// Associates a datagram socket, or dissolves the association (unix_dgram_connect).
    pub(super) fn associate(&self, to: Destination<'_>) -> SysResult<()> {
        let other = if names::is_unspecified(to.address) { None } else { Some(self.find(to)?) };
        if let Some(other) = &other {
            let mut theirs = other.state.lock();
            if theirs.peer.is_some() && !theirs.is_peer(self) {
                return Err(Errno::EPERM);
            }
            theirs.phase = Phase::Established;
        }
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.peer, other.as_ref().map(|other| other.as_peer()));
        state.phase = if other.is_some() { Phase::Established } else { Phase::Closed };
        drop(state);
        let is_same = |old: &Peer| {
            other.as_ref().is_some_and(|other| std::ptr::eq(old.socket.as_ptr(), Arc::as_ptr(other)))
        };
        if let Some(old) = old.filter(|old| !is_same(old)) {
            self.disconnected(&old);
        }
        self.sender.queue.wake(WRITABLE);
        Ok(())
    }

    /// unix_dgram_disconnected: what waited is lost, and a peer that was ours hears of it.
    pub(super) fn disconnected(&self, old: &Peer) {
        let passing = self.shared.passing.passing.read();
        let mut state = self.state.lock();
        let lost = std::mem::take(&mut state.received);
        state.with_files = 0;
        let blocked = if lost.is_empty() { Vec::new() } else { std::mem::take(&mut state.blocked) };
        drop(state);
        drop(passing);
        drop(lost);
        wake_blocked(blocked);
        let Some(other) = old.socket.upgrade() else { return };
        let mut theirs = other.state.lock();
        let was_ours = theirs.is_peer(self);
        if was_ours {
            theirs.error = Some(Errno::ECONNRESET);
        }
        drop(theirs);
        if was_ours {
            other.sender.queue.wake(READABLE | Events::ERR);
        }
    }

    pub(super) fn end(&self, how: Shutdown) {
        let (mine, theirs) = match how {
            Shutdown::Read => (Ended::RECEIVING, Ended::SENDING),
            Shutdown::Write => (Ended::SENDING, Ended::RECEIVING),
            Shutdown::Both => (Ended::all(), Ended::all()),
        };
        let mut state = self.state.lock();
        state.ended |= mine;
        let peer = state.peer.clone().filter(|_| self.kind != SocketKind::Datagram);
        let blocked = std::mem::take(&mut state.blocked);
        drop(state);
        self.sender.queue.wake(STATE_CHANGE);
        wake_blocked(blocked);
        if let Some(other) = peer.and_then(|peer| peer.socket.upgrade()) {
            other.state.lock().ended |= theirs;
            other.sender.queue.wake(STATE_CHANGE);
        }
    }
}
