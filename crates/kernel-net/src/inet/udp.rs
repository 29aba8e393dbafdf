//! UDP (udp(7); net/ipv4/udp.c, net/ipv6/udp.c).

use std::any::Any;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;

use super::address::{self, AF_UNSPEC, Endpoint, LOOPBACK_INDEX, Purpose, Version, shown_v6};
use super::ports::{Listening, PortKey};
use super::settings::{DEFAULT_TTL, IP, IPV6, Target, name};
use super::{Common, Network};
use crate::memory;
use crate::options::{BUFFER_DEFAULT, Options, so};
use crate::socket::{
    Destination, Identity, MessageFlags, Outgoing, RawControl, Received, Shutdown, Socket, SocketKind,
};
use crate::unix::queue::{Layout, READABLE, WRITABLE, true_size};

/// What an IP packet can carry, without its headers: of v4 it has 20 bytes, of v6 they do not count.
const MOST_V4: usize = 65_535 - 8 - 20;
const MOST_V6: usize = 65_535 - 8;
/// The longest length that the header can say.
const MOST: usize = 65_535;
const SIOCOUTQ: u32 = 0x5411;

/// A datagram in its receiver's queue.
struct Datagram {
    bytes: Box<[u8]>,
    from: Endpoint,
    to: IpAddr,
    tos: u8,
    ttl: i32,
    cost: usize,
}

impl Drop for Datagram {
    fn drop(&mut self) {
        memory::release(self.cost);
    }
}

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
    received: VecDeque<Datagram>,
    /// What they cost.
    used: usize,
    drops: u64,
}

/// A UDP socket.
pub(super) struct UdpSocket {
    me: Weak<UdpSocket>,
    common: Common,
    state: Mutex<State>,
}

/// What /proc/net/udp shows.
pub(super) struct Shown {
    pub(super) version: Version,
    pub(super) local: Endpoint,
    pub(super) remote: Option<Endpoint>,
    pub(super) is_bound: bool,
    pub(super) used: usize,
    pub(super) drops: u64,
    pub(super) uid: u32,
}

impl UdpSocket {
    pub(super) fn new(version: Version, network: Arc<Network>, uid: u32) -> Arc<Self> {
        let common = Common::new(version, network, uid, Options::default());
        let state = State {
            key: None,
            local: Endpoint::unspecified(version),
            bound_ip: version.any(),
            remote: None,
            ended: Ended::empty(),
            error: None,
            received: VecDeque::new(),
            used: 0,
            drops: 0,
        };
        Arc::new_cyclic(|me| Self { me: Weak::clone(me), common, state: Mutex::new(state) })
    }

    pub(super) fn shown(&self) -> Shown {
        let state = self.state.lock();
        Shown {
            version: self.common.version,
            local: state.local,
            remote: state.remote,
            is_bound: state.key.is_some(),
            used: state.used,
            drops: state.drops,
            uid: self.common.uid,
        }
    }

    fn take_port(&self, state: &mut State, at: Endpoint) -> SysResult<()> {
        let key = self.common.network.udp.bind(at.port, self.common.claim(at.ip), self.me.clone())?;
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
            self.common.network.udp.connect(key, state.local.ip, state.remote);
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
        let wanted = match address::family(to) {
            Some(address::AF_INET) => address::parse_destination(to, self.common.version)?,
            _ => address::parse(to, self.common.version, Purpose::Connect)?,
        };
        let bound = state.bound_ip;
        let (remote, from) = self.common.route(wanted, bound)?;
        self.check_broadcast(remote.ip)?;
        self.autobind(&mut state)?;
        state.local.ip = from;
        state.remote = Some(remote);
        state.ended = Ended::empty();
        self.enter(&state);
        Ok(())
    }

    fn check_broadcast(&self, ip: IpAddr) -> SysResult<()> {
        let is_allowed = !address::is_broadcast(ip) || self.common.options.is_on(so::BROADCAST);
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn send_datagram(&self, message: &Outgoing<'_>) -> SysResult<usize> {
        if message.flags.contains(MessageFlags::OOB) {
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
        let settings = check_control(&message.control.others, self.common.version)?;
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
        let (to, from) = self.common.route(to, settings.from.unwrap_or(bound))?;
        self.check_broadcast(to.ip)?;
        let most = if to.ip.is_ipv4() { MOST_V4 } else { MOST_V6 };
        if message.bytes.len() > most {
            return Err(Errno::EMSGSIZE);
        }
        self.autobind(&mut state)?;
        let from = Endpoint { ip: from, port: state.local.port };
        let is_connected = state.remote.is_some();
        drop(state);
        let ttl = settings.ttl.unwrap_or(DEFAULT_TTL);
        self.transmit(message.bytes, from, to, (settings.tos.unwrap_or(0), ttl), is_connected)?;
        Ok(message.bytes.len())
    }

    fn transmit(
        &self,
        bytes: &[u8],
        from: Endpoint,
        to: Endpoint,
        (tos, ttl): (u8, i32),
        is_connected: bool,
    ) -> SysResult<()> {
        let receiver = self.common.network.udp.find(to, from, Listening::Any);
        let Some(receiver) = receiver else {
            // The port is unreachable. Only who is connected, or has asked, hears of it.
            let settings = &self.common.settings;
            let has_asked = settings.is_on(IP, name::IP_RECVERR) || settings.is_on(IPV6, name::IPV6_RECVERR);
            if (is_connected || has_asked) && !address::is_broadcast(to.ip) {
                self.state.lock().error = Some(Errno::ECONNREFUSED);
                self.common.queue.wake(READABLE | WRITABLE | Events::ERR);
            }
            return Ok(());
        };
        let cost = true_size(bytes.len(), Layout::Packet);
        memory::reserve(cost)?;
        let datagram = Datagram { bytes: bytes.into(), from, to: to.ip, tos, ttl, cost };
        receiver.deliver(datagram);
        Ok(())
    }

    /// A datagram arrives; lost when the buffer is full (__udp_enqueue_schedule_skb: one goes beyond it).
    fn deliver(&self, datagram: Datagram) {
        let mut state = self.state.lock();
        if state.used > self.common.options.receive_buffer() {
            state.drops += 1;
            drop(state);
            return;
        }
        state.used += datagram.cost;
        state.received.push_back(datagram);
        drop(state);
        self.common.queue.wake(READABLE);
    }

    fn receive_datagram(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN);
        }
        let mut state = self.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let Some(datagram) = state.received.front() else {
            let is_ended = state.ended.contains(Ended::RECEIVING);
            return if is_ended { Ok(Received::default()) } else { Err(Errno::EAGAIN) };
        };
        let full_len = datagram.bytes.len();
        let len = full_len.min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), datagram.bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        let received = Received {
            len,
            full_len,
            address: datagram.from.to_bytes(self.common.version),
            flags: if len < full_len { MessageFlags::TRUNC } else { MessageFlags::empty() },
            others: self.control_of(datagram),
            is_last: true,
            ..Received::default()
        };
        if !flags.contains(MessageFlags::PEEK) {
            let taken = state.received.pop_front();
            state.used -= taken.as_ref().map_or(0, |datagram| datagram.cost);
            drop(state);
            drop(taken);
        }
        Ok(received)
    }

    /// ip_cmsg_recv and ip6_datagram_recv_ctl.
    fn control_of(&self, datagram: &Datagram) -> Vec<RawControl> {
        let settings = &self.common.settings;
        let mut found = Vec::new();
        let mut put = |is_wanted: bool, level, kind, data: &[u8]| {
            if is_wanted {
                found.push(RawControl { level, kind, data: data.to_vec() });
            }
        };
        let index = LOOPBACK_INDEX.to_ne_bytes();
        let ttl = datagram.ttl.to_ne_bytes();
        if let IpAddr::V4(to) = datagram.to {
            let info = [index, to.octets(), to.octets()].concat();
            put(settings.is_on(IP, name::IP_PKTINFO), IP, name::IP_PKTINFO, &info);
            put(settings.is_on(IP, name::IP_RECVTTL), IP, name::IP_TTL, &ttl);
            put(settings.is_on(IP, name::IP_RECVTOS), IP, name::IP_TOS, &[datagram.tos]);
        }
        if self.common.version == Version::V6 {
            let info = [shown_v6(datagram.to).octets().as_slice(), &index].concat();
            put(settings.is_on(IPV6, name::IPV6_RECVPKTINFO), IPV6, name::IPV6_PKTINFO, &info);
            put(settings.is_on(IPV6, name::IPV6_RECVHOPLIMIT), IPV6, name::IPV6_HOPLIMIT, &ttl);
            let class = i32::from(datagram.tos).to_ne_bytes();
            put(settings.is_on(IPV6, name::IPV6_RECVTCLASS), IPV6, name::IPV6_TCLASS, &class);
        }
        found
    }

    fn target(&self) -> Target {
        let state = self.state.lock();
        let (is_bound, is_connected) = (state.key.is_some(), state.remote.is_some());
        Target { version: self.common.version, protocol: super::UDP, is_bound, is_connected }
    }
}

/// What control messages say of one datagram.
#[derive(Default, Debug)]
struct Sending {
    from: Option<IpAddr>,
    ttl: Option<i32>,
    tos: Option<u8>,
}

/// ip_cmsg_send and ip6_datagram_send_ctl: EINVAL for what they do not know, or a wrong size.
fn check_control(messages: &[RawControl], version: Version) -> SysResult<Sending> {
    let mut sending = Sending::default();
    for RawControl { level, kind, data } in messages {
        let int = || data.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Errno::EINVAL);
        let address = |ip: IpAddr| {
            let is_known = ip.is_unspecified() || address::is_local(ip);
            let given = Some(ip).filter(|ip| !ip.is_unspecified());
            if is_known { Ok(given) } else { Err(Errno::EINVAL) }
        };
        match (*level, *kind) {
            (IP, name::IP_PKTINFO) if data.len() == 12 => {
                let octets: [u8; 4] =
                    data.get(4..8).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
                sending.from = address(octets.into())?;
            }
            (IP, name::IP_TTL) => {
                sending.ttl = Some(int()?).filter(|ttl| (1..=255).contains(ttl));
                sending.ttl.ok_or(Errno::EINVAL)?;
            }
            (IP, name::IP_TOS) if matches!(data.len(), 1 | 4) => sending.tos = data.first().copied(),
            (IPV6, name::IPV6_PKTINFO) if version == Version::V6 && data.len() >= 20 => {
                let octets: [u8; 16] = data.first_chunk().copied().unwrap_or_default();
                sending.from = address(IpAddr::from(octets).to_canonical())?;
            }
            (IPV6, name::IPV6_HOPLIMIT) if version == Version::V6 => {
                let ttl = int()?;
                if !(-1..=255).contains(&ttl) {
                    return Err(Errno::EINVAL);
                }
                sending.ttl = Some(ttl).filter(|&ttl| ttl >= 0);
            }
            (IPV6, name::IPV6_TCLASS) if version == Version::V6 => {
                let class = int()?;
                if !(-1..=255).contains(&class) {
                    return Err(Errno::EINVAL);
                }
                sending.tos = u8::try_from(class).ok();
            }
            // A level that is not this protocol's is passed over.
            (IP | IPV6, _) => return Err(Errno::EINVAL),
            _ => {}
        }
    }
    Ok(sending)
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Some(key) = self.state.get_mut().key.take() {
            self.common.network.udp.release(key);
        }
    }
}

impl Socket for UdpSocket {
    fn identity(&self) -> Identity {
        let domain = self.common.version.domain();
        Identity { domain, kind: SocketKind::Datagram, protocol: super::UDP }
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
        if state.error.is_some() {
            events |= Events::ERR;
        }
        if state.ended.contains(Ended::RECEIVING) {
            events |= Events::RDHUP | READABLE;
        }
        if state.ended == Ended::all() {
            events |= Events::HUP;
        }
        if !state.received.is_empty() {
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
        if state.remote.is_none() {
            return Err(Errno::ENOTCONN);
        }
        state.ended |= match how {
            Shutdown::Read => Ended::RECEIVING,
            Shutdown::Write => Ended::SENDING,
            Shutdown::Both => Ended::all(),
        };
        drop(state);
        self.common.queue.wake(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
        Ok(())
    }
    fn send(&self, _who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        self.send_datagram(&message)
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
        let remote = self.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(remote.to_bytes(self.common.version))
    }
    fn take_error(&self) -> Option<Errno> {
        self.state.lock().error.take()
    }
    fn set_option(&self, who: &dyn Caller, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        self.common.settings.set(&self.target(), who, (level, name), value)
    }
    fn option(&self, _who: &dyn Caller, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        self.common.settings.get(&self.target(), (level, name), wanted)
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let amount = match request {
            FIONREAD => self.state.lock().received.front().map_or(0, |datagram| datagram.bytes.len()),
            SIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        who.mem().write(UserRef::new(arg), &i32::try_from(amount).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Version, check_control};
    use crate::socket::RawControl;
    use proptest::prelude::{any, prop_oneof, proptest};
    use proptest::strategy::Just;

    proptest! {
        #[test]
        fn control_data_never_panics(
            level in prop_oneof![Just(0), Just(41), any::<i32>()],
            kind in 0i32..70,
            data in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let messages = [RawControl { level, kind, data }];
            for version in [Version::V4, Version::V6] {
                let _ = check_control(&messages, version);
            }
        }
    }
}
