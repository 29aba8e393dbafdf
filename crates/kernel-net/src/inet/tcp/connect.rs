//! bind, listen, connect, accept, shutdown (inet_stream_connect, inet_csk_accept, inet_shutdown).

use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};

use super::pipe::Pipe;
use super::{Common, Ended, Listener, Phase, SEND_BUFFER_CONNECTED, STATE_CHANGE, State, TcpSocket, Told};
use crate::inet::address::{self, AF_UNSPEC, Endpoint, Purpose};
use crate::inet::ports::Listening;
use crate::options::{Options, so};
use crate::socket::{Destination, Shutdown, Socket, SocketKind};
use crate::unix::queue::READABLE;

/// Both directions of a connection, as one end sees them.
struct Buffers {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// A listener is gone: its connections are reset, who waited is refused.
pub(super) fn refuse_all(listener: Listener) {
    drop(listener.pending);
    for client in listener.waiting.iter().filter_map(std::sync::Weak::upgrade) {
        client.refuse();
    }
}

impl TcpSocket {
    pub(super) fn bind_to(&self, to: Destination<'_>) -> SysResult<()> {
        let at = self.common.bind_address(to.walk.who, to.address, SocketKind::Stream)?;
        let mut state = self.state.lock();
        if state.phase != Phase::Closed || state.key.is_some() || state.told != Told::Nothing {
            return Err(Errno::EINVAL);
        }
        self.take_port(&mut state, at)
    }

    fn take_port(&self, state: &mut State, at: Endpoint) -> SysResult<()> {
        let key = self.common.network.tcp.bind(at.port, self.common.claim(at.ip), self.me.clone())?;
        state.key = Some(key);
        state.local = Endpoint { ip: at.ip, port: key.port };
        Ok(())
    }

    pub(super) fn start_listening(&self, backlog: usize) -> SysResult<()> {
        let mut state = self.state.lock();
        if let Some(listener) = &mut state.listener {
            listener.backlog = backlog;
            return Ok(());
        }
        if state.phase != Phase::Closed || state.told != Told::Nothing {
            return Err(Errno::EINVAL);
        }
        if state.key.is_none() {
            let any = Endpoint::unspecified(self.common.version);
            self.take_port(&mut state, any)?;
        }
        if let Some(key) = state.key {
            self.common.network.tcp.listen(key)?;
        }
        state.phase = Phase::Listening;
        state.ended = Ended::empty();
        state.listener = Some(Box::new(Listener { backlog, ..Listener::default() }));
        Ok(())
    }

    /// The answer of a connect(2) that was in progress: `told` moves on.
    pub(super) fn tell_connected(&self) -> SysResult<()> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::SynSent => Err(Errno::EAGAIN),
            Phase::Connected => {
                state.told = Told::Connected;
                Ok(())
            }
            // A connection that was made, and is over already.
            Phase::Closed if state.incoming.is_some() && state.error.is_none() => {
                state.told = Told::Connected;
                Ok(())
            }
            Phase::Closed | Phase::Listening => {
                state.told = Told::Nothing;
                state.ended = Ended::empty();
                Err(state.error.take().unwrap_or(Errno::ECONNABORTED))
            }
        }
    }

    pub(super) fn connect_to(&self, to: Destination<'_>) -> SysResult<()> {
        if address::family(to.address).ok_or(Errno::EINVAL)? == AF_UNSPEC {
            self.disconnect();
            return Ok(());
        }
        let mut state = self.state.lock();
        match (state.told, state.phase) {
            (Told::Connected, _) => return Err(Errno::EISCONN),
            (Told::InProgress, Phase::SynSent) => return Err(Errno::EALREADY),
            (Told::InProgress, _) => {
                drop(state);
                return self.tell_connected();
            }
            (Told::Nothing, Phase::Closed) => {}
            (Told::Nothing, _) => return Err(Errno::EISCONN),
        }
        let wanted = address::parse(to.address, self.common.version, Purpose::Connect)?;
        if !wanted.ip.is_multicast() {
            crate::inet::address::check_scope(to.address, wanted.ip)?;
        }
        let (remote, from) = self.common.route(wanted, state.local.ip)?;
        if state.key.is_none() {
            let any = Endpoint { ip: from, port: 0 };
            self.take_port(&mut state, any).map_err(|_| Errno::EADDRNOTAVAIL)?;
        }
        state.local.ip = from;
        state.remote = remote;
        state.phase = Phase::SynSent;
        state.told = Told::InProgress;
        state.ended = Ended::empty();
        (state.fin_received, state.fin_sent) = (false, false);
        let local = state.local;
        drop(state);
        match self.common.network.tcp.find(remote, local, Listening::Only) {
            Some(listener) => listener.admit(self),
            None => self.refuse(),
        }
        Err(Errno::EINPROGRESS)
    }

    /// A reset in answer to the connection's first segment.
    pub(super) fn refuse(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::SynSent {
            return;
        }
        state.error = Some(Errno::ECONNREFUSED);
        state.finish();
        drop(state);
        self.common.queue.wake(STATE_CHANGE | Events::ERR);
    }

    /// A connection from `client`: queued to be accepted, or waiting for room in the queue.
    fn admit(&self, client: &Self) {
        let (local, remote) = {
            let theirs = client.state.lock();
            (theirs.remote, theirs.local)
        };
        let (embryo, ours) = self.embryo(client, local, remote);
        let mut state = self.state.lock();
        let Some(listener) = &mut state.listener else {
            drop(state);
            embryo.give_up();
            return client.refuse();
        };
        if listener.pending.len() > listener.backlog {
            listener.waiting.retain(|waiting| waiting.strong_count() > 0);
            listener.waiting.push_back(client.me.clone());
            drop(state);
            return embryo.give_up();
        }
        listener.pending.push_back(Arc::clone(&embryo));
        drop(state);
        client.establish(&embryo, ours);
        self.common.queue.wake(READABLE);
    }

    /// An end that nobody will have. Its client hears nothing of it.
    fn give_up(&self) {
        self.state.lock().phase = Phase::Closed;
    }

    /// The listener's end of a connection, and what the client's will have.
    fn embryo(&self, client: &Self, local: Endpoint, remote: Endpoint) -> (Arc<Self>, Buffers) {
        let ours = &self.common;
        let options = Options::default();
        options.inherit(&ours.options);
        options.expand_send_buffer(SEND_BUFFER_CONNECTED);
        client.common.options.expand_send_buffer(SEND_BUFFER_CONNECTED);
        let incoming = Pipe::new(options.receive_buffer(), client.common.options.send_buffer());
        let outgoing = Pipe::new(client.common.options.receive_buffer(), options.send_buffer());
        let common = Common::new(ours.version, Arc::clone(&ours.network), ours.uid, options);
        common.settings.inherit(&ours.settings);
        let embryo = Self::with(common);
        embryo.is_accepted.store(false, std::sync::atomic::Ordering::Relaxed);
        let (incoming, outgoing) = (Arc::new(incoming), Arc::new(outgoing));
        let theirs = Buffers { incoming: Arc::clone(&outgoing), outgoing: Arc::clone(&incoming) };
        let shares = ours.options.is_on(so::REUSEADDR) || ours.options.is_on(so::REUSEPORT);
        ours.network.tcp.hold(local, shares);
        let mut state = embryo.state.lock();
        (state.phase, state.told) = (Phase::Connected, Told::Connected);
        state.held = Some((local, shares));
        (state.local, state.remote) = (local, remote);
        state.peer = client.me.clone();
        (state.incoming, state.outgoing) = (Some(incoming), Some(outgoing));
        drop(state);
        (embryo, theirs)
    }

    /// The client's end stands. What the other end has done since then stays.
    fn establish(&self, peer: &Arc<Self>, buffers: Buffers) {
        let mut state = self.state.lock();
        state.peer = Arc::downgrade(peer);
        (state.incoming, state.outgoing) = (Some(buffers.incoming), Some(buffers.outgoing));
        if state.phase == Phase::SynSent {
            state.phase = Phase::Connected;
        }
        drop(state);
        self.common.queue.wake(STATE_CHANGE);
    }

    pub(super) fn accept_one(&self) -> SysResult<Arc<dyn Socket>> {
        let mut state = self.state.lock();
        let listener = state.listener.as_mut().ok_or(Errno::EINVAL)?;
        let accepted = listener.pending.pop_front().ok_or(Errno::EAGAIN)?;
        let next = loop {
            match listener.waiting.pop_front() {
                Some(waiting) => match waiting.upgrade() {
                    Some(client) => break Some(client),
                    None => continue,
                },
                None => break None,
            }
        };
        drop(state);
        accepted.was_accepted();
        if let Some(client) = next {
            self.admit_waiting(&client);
        }
        Ok(accepted)
    }

    /// Admits who waited, unless it has given up.
    fn admit_waiting(&self, client: &Self) {
        if client.state.lock().phase == Phase::SynSent {
            self.admit(client);
        }
    }

    /// connect(2) to AF_UNSPEC (tcp_disconnect).
    fn disconnect(&self) {
        let mut state = self.state.lock();
        let mut fresh = State::new(self.common.version);
        // What was bound by bind(2) stays so.
        (fresh.key, fresh.local) = (state.key, state.local);
        let old = std::mem::replace(&mut *state, fresh);
        drop(state);
        self.leave(old);
    }

    /// Tells the other ends of a state that is over.
    fn leave(&self, old: State) {
        if let Some((local, shares)) = old.held {
            self.common.network.tcp.unhold(local, shares);
        }
        if let Some(incoming) = &old.incoming {
            incoming.close();
        }
        if old.phase == Phase::Connected
            && let Some(peer) = old.peer.upgrade()
        {
            peer.receive_reset(Errno::ECONNRESET);
        }
        if let Some(listener) = old.listener {
            refuse_all(*listener);
        }
        self.common.queue.wake(STATE_CHANGE);
    }

    pub(super) fn end(&self, how: Shutdown) -> SysResult<()> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Closed => {
                // Shut down all the same, until it connects or listens (inet_shutdown).
                state.ended |= match how {
                    Shutdown::Read => Ended::RECEIVING,
                    Shutdown::Write => Ended::SENDING,
                    Shutdown::Both => Ended::all(),
                };
                drop(state);
                self.common.queue.wake(STATE_CHANGE);
                return Err(Errno::ENOTCONN);
            }
            Phase::Listening if how == Shutdown::Write => return Ok(()),
            Phase::Listening | Phase::SynSent => {
                drop(state);
                self.disconnect();
                return Ok(());
            }
            Phase::Connected => {}
        }
        let sends_fin = how != Shutdown::Read && !state.fin_sent;
        state.ended |= match how {
            Shutdown::Read => Ended::RECEIVING,
            Shutdown::Write => Ended::SENDING,
            Shutdown::Both => Ended::all(),
        };
        if sends_fin {
            state.fin_sent = true;
            if state.fin_received {
                state.finish();
            }
        }
        let peer = state.peer.upgrade();
        drop(state);
        if let Some(peer) = peer.filter(|_| sends_fin) {
            peer.receive_fin();
        }
        self.common.queue.wake(STATE_CHANGE);
        Ok(())
    }
}
