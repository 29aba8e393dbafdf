//! UDP and UDP-Lite (udp(7), udplite(7); net/ipv4/udp.c, net/ipv6/udp.c).

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;

use super::address::{self, AF_UNSPEC, Endpoint, Purpose, Version};
use super::cmsg::{self, Arrival};
use super::groups::Memberships;
use super::inbox::{Datagram, Inbox};
use super::ports::{Listening, PortKey, Ports};
use super::reports::Reports;
use super::settings::{DEFAULT_TTL, IP, IPV6, Target, name};
use super::{Common, Network};
use crate::options::{BUFFER_DEFAULT, Options, so};
use crate::socket::{Destination, Identity, MessageFlags, Outgoing, Received, Shutdown, Socket, SocketKind};
use crate::unix::queue::{READABLE, WRITABLE};

/// What an IP packet can carry, without its headers: of v4 it has 20 bytes, of v6 they do not count.
const MOST_V4: usize = 65_535 - 8 - 20;
const MOST_V6: usize = 65_535 - 8;
/// The longest length that the header can say.
const MOST: usize = 65_535;

bitflags::bitflags! {
    /// `sk_shutdown`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Ended: u8 {
        const RECEIVING = 1;
        const SENDING = 2;
    }
}

struct State {
    key: Option<PortKey>,
    local: Endpoint,
    /// The address of bind(2), to which a dissolved association returns.
    bound_ip: IpAddr,
    remote: Option<Endpoint>,
    ended: Ended,
    error: Option<Errno>,
    reports: Reports,
    inbox: Inbox,
    drops: u64,
}

/// Of the two protocols that are the same over lo (udplite(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Udp,
    UdpLite,
}

impl Variant {
    fn protocol(self) -> i32 {
        match self {
            Self::Udp => super::UDP,
            Self::UdpLite => super::UDPLITE,
        }
    }
}

/// A UDP socket.
pub(super) struct UdpSocket {
    me: Weak<UdpSocket>,
    common: Common,
    variant: Variant,
    groups: Memberships,
    state: Mutex<State>,
}

/// What /proc/net/udp shows.
pub(super) struct Shown {
    pub(super) version: Version,
    pub(super) variant: Variant,
    pub(super) local: Endpoint,
    pub(super) remote: Option<Endpoint>,
    pub(super) is_bound: bool,
    pub(super) used: usize,
    pub(super) drops: u64,
    pub(super) uid: u32,
}

impl UdpSocket {
    pub(super) fn new(version: Version, network: Arc<Network>, uid: u32, variant: Variant) -> Arc<Self> {
        let groups = Memberships::new(&network);
        let common = Common::new(version, network, uid, Options::default());
        let state = State {
            key: None,
            local: Endpoint::unspecified(version),
            bound_ip: version.any(),
            remote: None,
            ended: Ended::empty(),
            error: None,
            reports: Reports::default(),
            inbox: Inbox::default(),
            drops: 0,
        };
        Arc::new_cyclic(|me| Self { me: Weak::clone(me), common, variant, groups, state: Mutex::new(state) })
    }

    fn ports(&self) -> &Ports<Self> {
        match self.variant {
            Variant::Udp => &self.common.network.udp,
            Variant::UdpLite => &self.common.network.udplite,
        }
    }

    pub(super) fn shown(&self) -> Shown {
        let state = self.state.lock();
        Shown {
            version: self.common.version,
            variant: self.variant,
            local: state.local,
            remote: state.remote,
            is_bound: state.key.is_some(),
            used: state.inbox.used(),
            drops: state.drops,
            uid: self.common.uid,
        }
    }

    fn take_port(&self, state: &mut State, at: Endpoint) -> SysResult<()> {
        let key = self.ports().bind(at.port, self.common.claim(at.ip), self.me.clone())?;
        state.key = Some(key);
        state.local = Endpoint { ip: at.ip, port: key.port };
        state.bound_ip = at.ip;
        Ok(())
    }

    /// A socket that sends has a port.
    fn autobind(&self, state: &mut State) -> SysResult<()> {
        if state.key.is_some() {
            return Ok(());
        }
        let any = Endpoint::unspecified(self.common.version);
        self.take_port(state, any).map_err(|_| Errno::EAGAIN)
    }

    fn enter(&self, state: &State) {
        if let Some(key) = state.key {
            self.ports().connect(key, state.local.ip, state.remote);
        }
    }

    fn associate(&self, to: &[u8]) -> SysResult<()> {
        let mut state = self.state.lock();
        if address::family(to).ok_or(Errno::EINVAL)? == AF_UNSPEC {
            state.remote = None;
            state.ended = Ended::empty();
            state.local.ip = state.bound_ip;
            self.enter(&state);
            return Ok(());
        }
        self.autobind(&mut state)?;
        let wanted = match address::family(to) {
            Some(address::AF_INET) => address::parse_destination(to, self.common.version)?,
            _ => address::parse(to, self.common.version, Purpose::Connect)?,
        };
        let bound = state.bound_ip;
        address::check_scope(to, wanted.ip)?;
        let (remote, from) = self.route(wanted, bound, false)?;
        self.check_broadcast(remote.ip)?;
        state.local.ip = from;
        state.remote = Some(remote);
        state.ended = Ended::empty();
        self.enter(&state);
        Ok(())
    }

    /// As [`Common::route`]; a group is reached by who has named lo in some way.
    fn route(&self, to: Endpoint, bound: IpAddr, has_interface: bool) -> SysResult<(Endpoint, IpAddr)> {
        // Who is bound has named the interface, which broadcasts.
        if to.ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) && !bound.is_unspecified() {
            self.check_broadcast(address::LO_BROADCAST)?;
        }
        if !(to.ip.is_multicast() && to.ip.is_ipv4()) {
            return self.common.route(to, bound);
        }
        let outgoing = self.groups.outgoing();
        if bound.is_unspecified() && outgoing.is_none() && !has_interface {
            return Err(Errno::ENETUNREACH);
        }
        let own = outgoing.filter(|ip| !ip.is_unspecified()).unwrap_or(std::net::Ipv4Addr::LOCALHOST);
        Ok((to, if bound.is_unspecified() { own.into() } else { bound }))
    }

    fn check_broadcast(&self, ip: IpAddr) -> SysResult<()> {
        let is_allowed = !address::is_broadcast(ip) || self.common.options.is_on(so::BROADCAST);
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn send_datagram(&self, who: &dyn Caller, message: &Outgoing<'_>) -> SysResult<usize> {
        // Before anything is looked at (inet_send_prepare).
        self.autobind(&mut self.state.lock())?;
        if message.flags.contains(MessageFlags::OOB) && self.common.version == Version::V4 {
            return Err(Errno::EOPNOTSUPP);
        }
        if message.bytes.len() > MOST {
            return Err(Errno::EMSGSIZE);
        }
        let wanted = match &message.to {
            Some(to)
                if address::family(to.address) == Some(AF_UNSPEC) && self.common.version == Version::V6 =>
            {
                None
            }
            Some(to) => Some(address::parse_destination(to.address, self.common.version)?),
            None => None,
        };
        let settings = cmsg::sending(&message.control.others, self.common.version)?;
        let mut state = self.state.lock();
        if wanted.is_some_and(|to| to.port == 0) {
            return Err(Errno::EINVAL);
        }
        let bound = if wanted.is_some() { state.bound_ip } else { state.local.ip };
        let to = wanted.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.ended.contains(Ended::SENDING) {
            return Err(Errno::EPIPE);
        }
        let (to, from) = self.route(to, settings.from.unwrap_or(bound), settings.has_interface)?;
        self.check_broadcast(to.ip)?;
        let most = if to.ip.is_ipv4() { MOST_V4 } else { MOST_V6 };
        if message.bytes.len() > most {
            return Err(Errno::EMSGSIZE);
        }
        let from = Endpoint { ip: from, port: state.local.port };
        let is_connected = state.remote.is_some();
        drop(state);
        let ttl = settings.ttl.unwrap_or(if to.ip.is_multicast() { 1 } else { DEFAULT_TTL });
        let tos = settings.tos.unwrap_or(0);
        let arrival = Arrival { to: to.ip, tos, ttl, at_ns: who.now_realtime_ns() };
        if to.ip.is_multicast() || address::is_broadcast(to.ip) {
            self.transmit_to_all(message.bytes, from, to, arrival)?;
        } else {
            self.transmit(message.bytes, from, to, arrival, is_connected)?;
        }
        Ok(message.bytes.len())
    }

    fn transmit(
        &self,
        bytes: &[u8],
        from: Endpoint,
        to: Endpoint,
        arrival: Arrival,
        is_connected: bool,
    ) -> SysResult<()> {
        let Some(receiver) = self.ports().find(to, from, Listening::Any) else {
            self.tell_unreachable(bytes, to, is_connected);
            return Ok(());
        };
        receiver.deliver(Datagram::new(bytes, from, arrival)?);
        Ok(())
    }

    /// Nobody has the port. Only who is connected, or has asked, hears of it (__udp4_lib_err).
    fn tell_unreachable(&self, bytes: &[u8], to: Endpoint, is_connected: bool) {
        let settings = &self.common.settings;
        let has_asked = match to.ip {
            IpAddr::V4(_) => settings.is_on(IP, name::IP_RECVERR),
            IpAddr::V6(_) => settings.is_on(IPV6, name::IPV6_RECVERR),
        };
        if !is_connected && !has_asked {
            return;
        }
        let mut state = self.state.lock();
        state.error = Some(Errno::ECONNREFUSED);
        if has_asked {
            state.reports.push(bytes, to);
        }
        drop(state);
        self.common.queue.wake(READABLE | WRITABLE | Events::ERR);
    }

    /// To a group or a broadcast address (__udp4_lib_mcast_deliver).
    fn transmit_to_all(&self, bytes: &[u8], from: Endpoint, to: Endpoint, arrival: Arrival) -> SysResult<()> {
        if to.ip.is_multicast() && !self.common.network.groups.has(to.ip) {
            return Ok(());
        }
        for receiver in self.ports().find_all(to, from) {
            if !to.ip.is_multicast() || receiver.hears(to.ip) {
                receiver.deliver(Datagram::new(bytes, from, arrival)?);
            }
        }
        Ok(())
    }

    /// ip_mc_sf_allow: its own groups, or everybody's on this interface.
    fn hears(&self, group: IpAddr) -> bool {
        self.groups.has(group) || !self.common.settings.is_off(IP, name::IP_MULTICAST_ALL)
    }

    /// A datagram arrives; lost when the buffer is full (__udp_enqueue_schedule_skb: one goes beyond it).
    fn deliver(&self, datagram: Datagram) {
        let mut state = self.state.lock();
        if state.inbox.is_full(self.common.options.receive_buffer()) {
            state.drops += 1;
            drop(state);
            return;
        }
        state.inbox.push(datagram);
        drop(state);
        self.common.queue.wake(READABLE);
    }

    fn receive_datagram(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let mut state = self.state.lock();
        if flags.contains(MessageFlags::ERRQUEUE) {
            let (received, pending) = state.reports.take(buffer, self.common.version).ok_or(Errno::EAGAIN)?;
            state.error = pending;
            return Ok(received);
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        match state.inbox.take(buffer, flags, &self.common) {
            Some(received) => Ok(received),
            None if state.ended.contains(Ended::RECEIVING) => Ok(Received::default()),
            None => Err(Errno::EAGAIN),
        }
    }

    fn target(&self) -> Target {
        let state = self.state.lock();
        let (is_bound, is_connected) = (state.key.is_some(), state.remote.is_some());
        Target { version: self.common.version, protocol: self.variant.protocol(), is_bound, is_connected }
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Some(key) = self.state.get_mut().key.take() {
            self.ports().release(key);
        }
    }
}

impl Socket for UdpSocket {
    fn identity(&self) -> Identity {
        let domain = self.common.version.domain();
        Identity { domain, kind: SocketKind::Datagram, protocol: self.variant.protocol() }
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

    /// datagram_poll.
    fn poll(&self) -> Events {
        let state = self.state.lock();
        let mut events = WRITABLE;
        if state.error.is_some() || !state.reports.is_empty() {
            events |= Events::ERR;
        }
        if state.ended.contains(Ended::RECEIVING) {
            events |= Events::RDHUP | READABLE;
        }
        if state.ended == Ended::all() {
            events |= Events::HUP;
        }
        if !state.inbox.is_empty() {
            events |= READABLE;
        }
        events
    }

    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        let at = self.common.bind_address(to.walk.who, to.address, SocketKind::Datagram)?;
        let mut state = self.state.lock();
        if state.key.is_some() {
            return Err(Errno::EINVAL);
        }
        self.take_port(&mut state, at)
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        self.associate(to.address)
    }
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        let mut state = self.state.lock();
        // Unconnected sockets are shut down, too, whatever the answer says (inet_shutdown).
        let answer = if state.remote.is_none() { Err(Errno::ENOTCONN) } else { Ok(()) };
        state.ended |= match how {
            Shutdown::Read => Ended::RECEIVING,
            Shutdown::Write => Ended::SENDING,
            Shutdown::Both => Ended::all(),
        };
        drop(state);
        self.common.queue.wake(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
        answer
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        self.send_datagram(who, &message)
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        self.receive_datagram(buffer, flags)
    }
    fn max_message(&self) -> Option<usize> {
        // What is longer is refused here, too, but need not be copied.
        Some(2 * BUFFER_DEFAULT)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        Ok(self.state.lock().local.to_bytes(self.common.version))
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        // Without a port it is connected, and has no name (inet_getname).
        let remote = self.state.lock().remote.filter(|remote| remote.port != 0).ok_or(Errno::ENOTCONN)?;
        Ok(remote.to_bytes(self.common.version))
    }
    fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }
    fn set_general_option(&self, _who: &dyn Caller, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        self.common.settings.set_stamp(name, value)
    }
    fn general_option(&self, name: i32, wanted: usize) -> Option<SysResult<Vec<u8>>> {
        self.common.settings.get_stamp(name, wanted).map(Ok)
    }
    fn set_option(&self, who: &dyn Caller, level: i32, option: i32, value: &[u8]) -> SysResult<()> {
        let of_groups = self.groups.set((level, option), value, self.common.version);
        of_groups.unwrap_or_else(|| self.common.settings.set(&self.target(), who, (level, option), value))
    }
    fn option(&self, _who: &dyn Caller, level: i32, option: i32, wanted: usize) -> SysResult<Vec<u8>> {
        if (level, option) == (IP, name::IP_MULTICAST_IF) {
            let ip = self.groups.outgoing().map_or([0; 4], |ip| ip.octets());
            return Ok(ip.get(..wanted.min(4)).unwrap_or_default().to_vec());
        }
        self.common.settings.get(&self.target(), (level, option), wanted)
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let amount = self.state.lock().inbox.amount(request)?;
        who.mem().write(UserRef::new(arg), &i32::try_from(amount).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
