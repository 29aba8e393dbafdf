//! TCP (tcp(7); net/ipv4/tcp.c, af_inet.c): the states of a connection without the packets. What would be a segment
//! with FIN or RST is a call on the other end.

mod connect;
mod pipe;
mod transfer;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;

use super::address::{Endpoint, Version};
use super::ports::PortKey;
use super::settings::Target;
use super::{Common, Network, info};
use crate::options::{Options, so};
use crate::socket::{Destination, Identity, MessageFlags, Outgoing, Received, Shutdown, Socket, SocketKind};
use crate::unix::queue::{READABLE, WRITABLE};
use pipe::Pipe;

/// net.ipv4.tcp_wmem[1], tcp_rmem[1]; what Linux makes of the former once a connection over lo stands.
const SEND_BUFFER: usize = 16_384;
const RECEIVE_BUFFER: usize = 131_072;
const SEND_BUFFER_CONNECTED: usize = 2_626_560;
/// include/uapi/linux/sockios.h.
const SIOCOUTQ: u32 = 0x5411;
const SIOCATMARK: u32 = 0x8905;
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

/// `sk_state`, as far as the ends of a connection do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Closed,
    /// The listener's queue is full.
    SynSent,
    Listening,
    /// Until both ends have said that they send no more.
    Connected,
}

/// `sock->state`: what connect(2) has told the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    InProgress,
    Connected,
}

#[derive(Default)]
struct Listener {
    backlog: usize,
    /// Connections that nobody has accepted.
    pending: VecDeque<Arc<TcpSocket>>,
    /// Who found the queue full.
    waiting: VecDeque<Weak<TcpSocket>>,
}

struct State {
    phase: Phase,
    told: Told,
    key: Option<PortKey>,
    local: Endpoint,
    remote: Endpoint,
    /// What an accepted connection has counted in the table.
    held: Option<(Endpoint, bool)>,
    peer: Weak<TcpSocket>,
    incoming: Option<Arc<Pipe>>,
    outgoing: Option<Arc<Pipe>>,
    ended: Ended,
    /// The peer sends no more (SOCK_DONE); this end has told so.
    fin_received: bool,
    fin_sent: bool,
    error: Option<Errno>,
    listener: Option<Box<Listener>>,
}

impl State {
    fn new(version: Version) -> Self {
        let nowhere = Endpoint::unspecified(version);
        Self {
            phase: Phase::Closed,
            told: Told::Nothing,
            key: None,
            local: nowhere,
            remote: nowhere,
            held: None,
            peer: Weak::new(),
            incoming: None,
            outgoing: None,
            ended: Ended::empty(),
            fin_received: false,
            fin_sent: false,
            error: None,
            listener: None,
        }
    }

    /// tcp_done.
    fn finish(&mut self) {
        self.phase = Phase::Closed;
        self.ended = Ended::all();
    }

    /// The number of its state (include/net/tcp_states.h).
    fn number(&self) -> u8 {
        match (self.phase, self.fin_sent, self.fin_received) {
            (Phase::Connected, false, false) => 1,
            (Phase::Connected, true, _) => 5,
            (Phase::Connected, false, true) => 8,
            (Phase::SynSent, ..) => 2,
            (Phase::Listening, ..) => 10,
            (Phase::Closed, ..) => 7,
        }
    }
}

/// A TCP socket.
pub(super) struct TcpSocket {
    me: Weak<TcpSocket>,
    common: Common,
    /// False while it waits in a listener's queue.
    is_accepted: AtomicBool,
    state: Mutex<State>,
}

/// What /proc/net/tcp shows.
pub(super) struct Shown {
    pub(super) version: Version,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
    pub(super) state: u8,
    pub(super) to_send: usize,
    pub(super) to_read: usize,
    pub(super) uid: u32,
}

impl TcpSocket {
    pub(super) fn new(version: Version, network: Arc<Network>, uid: u32) -> Arc<Self> {
        let options = Options::with_buffers(SEND_BUFFER, RECEIVE_BUFFER);
        Self::with(Common::new(version, network, uid, options))
    }

    fn with(common: Common) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            state: Mutex::new(State::new(common.version)),
            common,
            is_accepted: AtomicBool::new(true),
        })
    }

    /// The other end sends no more.
    fn receive_fin(&self) {
        let mut state = self.state.lock();
        state.fin_received = true;
        state.ended |= Ended::RECEIVING;
        if state.fin_sent {
            state.finish();
        }
        drop(state);
        self.common.queue.wake(STATE_CHANGE);
    }

    /// tcp_reset.
    fn receive_reset(&self, error: Errno) {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.error = Some(if state.fin_received { Errno::EPIPE } else { error });
        state.finish();
        drop(state);
        self.common.queue.wake(STATE_CHANGE | Events::ERR);
    }

    pub(super) fn shown(&self) -> Shown {
        let state = self.state.lock();
        let waiting = state.listener.as_ref().map(|listener| (listener.pending.len(), listener.backlog));
        let to_read = state.incoming.as_ref().map_or(0, |pipe| pipe.len());
        let to_send = state.outgoing.as_ref().map_or(0, |pipe| pipe.queued());
        Shown {
            version: self.common.version,
            local: state.local,
            remote: state.remote,
            state: state.number(),
            to_send: waiting.map_or(to_send, |(_, _backlog)| 0),
            to_read: waiting.map_or(to_read, |(pending, _)| pending),
            uid: self.common.uid,
        }
    }

    fn amount(&self, request: u32) -> SysResult<usize> {
        let state = self.state.lock();
        let inline = self.common.options.is_on(so::OOBINLINE);
        match request {
            _ if state.phase == Phase::Listening => Err(Errno::EINVAL),
            FIONREAD => Ok(state.incoming.as_ref().map_or(0, |pipe| pipe.available(inline))),
            SIOCOUTQ => Ok(state.outgoing.as_ref().map_or(0, |pipe| pipe.queued())),
            _ => Ok(usize::from(state.incoming.as_ref().is_some_and(|pipe| pipe.is_at_mark()))),
        }
    }

    fn target(&self) -> Target {
        let state = self.state.lock();
        let is_connected = state.phase == Phase::Connected;
        Target {
            version: self.common.version,
            protocol: super::TCP,
            is_bound: state.key.is_some(),
            is_connected,
        }
    }
}

impl Drop for TcpSocket {
    /// tcp_close: unread bytes, and SO_LINGER with no time, are answered with a reset.
    fn drop(&mut self) {
        let version = self.common.version;
        let state = std::mem::replace(self.state.get_mut(), State::new(version));
        let ports = &self.common.network.tcp;
        if let Some(key) = state.key {
            ports.release(key);
        }
        if let Some((local, shares)) = state.held {
            ports.unhold(local, shares);
        }
        let mut is_lost = !*self.is_accepted.get_mut() || self.common.options.lingers_not_at_all();
        if let Some(incoming) = &state.incoming {
            is_lost |= incoming.len() > 0;
            incoming.close();
        }
        if state.phase == Phase::Connected
            && let Some(peer) = state.peer.upgrade()
        {
            match is_lost {
                true => peer.receive_reset(Errno::ECONNRESET),
                false if !state.fin_sent => peer.receive_fin(),
                false => {}
            }
        }
        if let Some(listener) = state.listener {
            connect::refuse_all(*listener);
        }
    }
}

impl Socket for TcpSocket {
    fn identity(&self) -> Identity {
        let domain = self.common.version.domain();
        Identity { domain, kind: SocketKind::Stream, protocol: super::TCP }
    }
    fn options(&self) -> &Options {
        &self.common.options
    }
    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// tcp_poll.
    fn poll(&self) -> Events {
        let state = self.state.lock();
        let mut events = Events::empty();
        if let Some(listener) = &state.listener {
            return if listener.pending.is_empty() { events } else { READABLE };
        }
        if state.ended == Ended::all() || state.phase == Phase::Closed {
            events |= Events::HUP;
        }
        if state.ended.contains(Ended::RECEIVING) {
            events |= READABLE | Events::RDHUP;
        }
        if state.phase != Phase::SynSent {
            let options = &self.common.options;
            if let Some(incoming) = &state.incoming {
                let available = incoming.available(options.is_on(so::OOBINLINE));
                if available >= options.receive_low_water() {
                    events |= READABLE;
                }
                if incoming.has_urgent() {
                    events |= Events::PRI;
                }
            }
            let ended = state.ended.contains(Ended::SENDING);
            if ended || state.outgoing.as_ref().is_none_or(|outgoing| outgoing.is_writable()) {
                events |= Events::OUT | Events::WRNORM;
            }
        }
        if state.error.is_some() {
            events |= Events::ERR;
        }
        events
    }

    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        self.bind_to(to)
    }
    fn listen(&self, _who: &dyn Caller, backlog: u32) -> SysResult<()> {
        self.start_listening(backlog as usize)
    }
    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        self.accept_one()
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        self.connect_to(to)
    }
    fn finish_connect(&self) -> SysResult<()> {
        self.tell_connected()
    }
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        self.end(how)
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        self.send_bytes(who, message.bytes, message.flags)
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        self.receive_bytes(buffer, flags)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        Ok(self.state.lock().local.to_bytes(self.common.version))
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        let state = self.state.lock();
        if state.phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        Ok(state.remote.to_bytes(self.common.version))
    }
    fn accepted_name(&self) -> SysResult<Vec<u8>> {
        Ok(self.state.lock().remote.to_bytes(self.common.version))
    }
    fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }
    fn is_listening(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }
    fn set_option(&self, who: &dyn Caller, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        self.common.settings.set(&self.target(), who, (level, name), value)
    }
    fn option(&self, _who: &dyn Caller, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        if (level, name) == (super::TCP, info::TCP_INFO) {
            let shown = self.shown();
            let mut bytes = info::tcp_info(shown.state);
            bytes.truncate(wanted);
            return Ok(bytes);
        }
        self.common.settings.get(&self.target(), (level, name), wanted)
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        if !matches!(request, FIONREAD | SIOCOUTQ | SIOCATMARK) {
            return Err(Errno::ENOTTY);
        }
        let amount = i32::try_from(self.amount(request)?).unwrap_or(i32::MAX);
        who.mem().write(UserRef::new(arg), &amount)?;
        Ok(0)
    }
}

impl TcpSocket {
    fn was_accepted(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }
}
