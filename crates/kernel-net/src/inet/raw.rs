//! Raw sockets (raw(7), icmp(7); net/ipv4/raw.c, net/ipv6/raw.c; Linux v6.18). What they send goes to the raw sockets
//! of the same protocol, and to an ICMP that answers echo requests; TCP and UDP have no packets here.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, RwLock};
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;

use super::address::{self, AF_UNSPEC, Endpoint, Purpose, Version};
use super::cmsg::{self, Arrival};
use super::groups::Memberships;
use super::inbox::{Datagram, Inbox};
use super::packet::{self, Header};
use super::settings::{DEFAULT_TTL, IP, Target, name};
use super::{Common, ICMP, ICMPV6, Network, RAW};
use crate::options::Options;
use crate::socket::{Destination, Identity, MessageFlags, Outgoing, Received, Shutdown, Socket, SocketKind};
use crate::unix::queue::{READABLE, WRITABLE};

/// ICMP_FILTER of SOL_RAW, ICMPV6_FILTER of SOL_ICMPV6.
const SOL_RAW: i32 = 255;
const FILTER: i32 = 1;
/// Longest packet.
const MOST: usize = 65_535;

/// All raw sockets of a namespace.
pub(super) type RawSockets = RwLock<Vec<Weak<RawSocket>>>;

struct State {
    local: IpAddr,
    remote: Option<IpAddr>,
    is_shut: bool,
    inbox: Inbox,
    /// A set bit keeps an ICMP type away: 32 types of v4, 256 of v6.
    filter: [u8; 32],
}

/// A raw socket.
pub(super) struct RawSocket {
    common: Common,
    protocol: i32,
    groups: Memberships,
    state: Mutex<State>,
}

impl RawSocket {
    pub(super) fn new(version: Version, network: Arc<Network>, uid: u32, protocol: i32) -> Arc<Self> {
        let groups = Memberships::new(&network);
        let common = Common::new(version, network, uid, Options::default());
        let state = State {
            local: version.any(),
            remote: None,
            is_shut: false,
            inbox: Inbox::default(),
            filter: [0; 32],
        };
        let socket = Arc::new(Self { common, protocol, groups, state: Mutex::new(state) });
        let mut all = socket.common.network.raw.write();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&socket));
        drop(all);
        socket
    }

    fn destination(&self, to: &Destination<'_>) -> SysResult<IpAddr> {
        let to = address::parse_destination(to.address, self.common.version)?;
        let has_port = self.common.version == Version::V6 && to.port != 0;
        if has_port && i32::from(to.port) != self.protocol {
            return Err(Errno::EINVAL);
        }
        Ok(to.ip)
    }

    fn has_header(&self) -> bool {
        let settings = &self.common.settings;
        let by_default = self.protocol == RAW && !settings.is_off(IP, name::IP_HDRINCL);
        self.common.version == Version::V4 && (by_default || settings.is_on(IP, name::IP_HDRINCL))
    }

    fn send_packet(&self, who: &dyn Caller, message: &Outgoing<'_>) -> SysResult<usize> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if message.bytes.len() > MOST {
            return Err(Errno::EMSGSIZE);
        }
        let wanted = message.to.as_ref().map(|to| self.destination(to)).transpose()?;
        let sending = cmsg::sending(&message.control.others, self.common.version)?;
        let state = self.state.lock();
        let (bound, remote) = (state.local, state.remote);
        drop(state);
        let to = wanted.or(remote).ok_or(Errno::EDESTADDRREQ)?;
        let (to, from) = self.common.route(Endpoint { ip: to, port: 0 }, sending.from.unwrap_or(bound))?;
        let ttl = sending.ttl.unwrap_or(DEFAULT_TTL);
        let (tos, at_ns) = (sending.tos.unwrap_or(0), who.now_realtime_ns());
        let header = Header { protocol: self.protocol, from, to: to.ip, tos, ttl, at_ns };
        let network = &self.common.network;
        if self.has_header() {
            let (header, packet) = packet::with_header(message.bytes, &header).ok_or(Errno::EINVAL)?;
            deliver(network, &header, &packet);
        } else if self.common.version == Version::V6 && self.protocol == ICMPV6 {
            deliver(network, &header, &packet::with_checksum(message.bytes, &header).ok_or(Errno::EINVAL)?);
        } else {
            deliver(network, &header, &packet::assemble(&header, message.bytes));
        }
        Ok(message.bytes.len())
    }

    /// Whether a packet is for it (raw_v4_match, rawv6_rcv, icmp_filter).
    fn wants(&self, header: &Header, payload: &[u8]) -> bool {
        let is_v6 = self.common.version == Version::V6;
        if header.to.is_ipv6() != is_v6 || header.protocol != self.protocol {
            return false;
        }
        let state = self.state.lock();
        let is_for = state.local.is_unspecified() || state.local == header.to;
        let is_from = state.remote.is_none_or(|remote| remote == header.from);
        let kind = payload.first().copied().unwrap_or(0);
        let byte = state.filter.get(usize::from(kind) / 8).copied().unwrap_or(0);
        let has_filter = match self.protocol {
            ICMP => !is_v6 && kind < 32,
            ICMPV6 => is_v6,
            _ => false,
        };
        is_for && is_from && !(has_filter && byte & (1 << (kind % 8)) != 0)
    }

    fn put(&self, header: &Header, bytes: &[u8]) {
        let mut state = self.state.lock();
        if state.is_shut || state.inbox.is_full(self.common.options.receive_buffer()) {
            return;
        }
        let arrival = Arrival { to: header.to, tos: header.tos, ttl: header.ttl, at_ns: header.at_ns };
        let Ok(packet) = Datagram::new(bytes, Endpoint { ip: header.from, port: 0 }, arrival) else { return };
        state.inbox.push(packet);
        drop(state);
        self.common.queue.wake(READABLE);
    }

    fn target(&self) -> Target {
        let is_connected = self.state.lock().remote.is_some();
        Target { version: self.common.version, protocol: RAW, is_bound: true, is_connected }
    }

    /// The bytes of its filter option, and whether `level` and `option` name it.
    fn filter_size(&self, (level, option): (i32, i32)) -> SysResult<Option<usize>> {
        match (level, self.common.version) {
            (SOL_RAW, Version::V4) if option == FILTER && self.protocol == ICMP => Ok(Some(4)),
            (SOL_RAW, Version::V4) if self.protocol != ICMP => Err(Errno::EOPNOTSUPP),
            (ICMPV6, Version::V6) if option == FILTER && self.protocol == ICMPV6 => Ok(Some(32)),
            // IPV6_CHECKSUM by its other level.
            (SOL_RAW, Version::V6) if option == name::IPV6_CHECKSUM => Ok(Some(0)),
            (SOL_RAW, Version::V4) | (ICMPV6, Version::V6) => Err(Errno::ENOPROTOOPT),
            _ => Ok(None),
        }
    }
}

/// A packet over lo: `bytes` have the header of v4.
fn deliver(network: &Network, header: &Header, bytes: &[u8]) {
    let mut next = Some((*header, bytes.to_vec()));
    while let Some((header, bytes)) = next.take() {
        let payload = packet::payload(&header, &bytes);
        let all: Vec<_> = network.raw.read().iter().filter_map(Weak::upgrade).collect();
        for socket in all {
            if socket.wants(&header, payload) {
                socket.put(&header, &bytes);
            }
        }
        next = packet::echo_reply(&header, payload);
    }
}

impl Socket for RawSocket {
    fn identity(&self) -> Identity {
        Identity { domain: self.common.version.domain(), kind: SocketKind::Raw, protocol: self.protocol }
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
    fn poll(&self) -> Events {
        let state = self.state.lock();
        if state.inbox.is_empty() && !state.is_shut { WRITABLE } else { WRITABLE | READABLE }
    }
    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        let to = address::parse(to.address, self.common.version, Purpose::Bind)?;
        if !(to.ip.is_unspecified() || address::is_local(to.ip)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.state.lock().local = to.ip;
        Ok(())
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        let mut state = self.state.lock();
        if address::family(to.address).ok_or(Errno::EINVAL)? == AF_UNSPEC {
            state.remote = None;
            return Ok(());
        }
        let wanted = address::parse(to.address, self.common.version, Purpose::Connect)?;
        let (remote, from) = self.common.route(wanted, state.local)?;
        (state.local, state.remote) = (from, Some(remote.ip));
        Ok(())
    }
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.remote.is_none() {
            return Err(Errno::ENOTCONN);
        }
        state.is_shut |= how != Shutdown::Write;
        drop(state);
        self.common.queue.wake(READABLE);
        Ok(())
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        self.send_packet(who, &message)
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if flags.contains(MessageFlags::ERRQUEUE) {
            return Err(Errno::EAGAIN);
        }
        match state.inbox.take(buffer, flags, &self.common) {
            Some(received) => Ok(received),
            None if state.is_shut => Ok(Received::default()),
            None => Err(Errno::EAGAIN),
        }
    }
    fn max_message(&self) -> Option<usize> {
        Some(MOST + 1)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        let port = u16::try_from(self.protocol).unwrap_or(0);
        Ok(Endpoint { ip: self.state.lock().local, port }.to_bytes(self.common.version))
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        let ip = self.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(Endpoint { ip, port: 0 }.to_bytes(self.common.version))
    }
    fn set_general_option(&self, _who: &dyn Caller, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        self.common.settings.set_stamp(name, value)
    }
    fn general_option(&self, name: i32, wanted: usize) -> Option<SysResult<Vec<u8>>> {
        self.common.settings.get_stamp(name, wanted).map(Ok)
    }
    fn set_option(&self, who: &dyn Caller, level: i32, option: i32, value: &[u8]) -> SysResult<()> {
        if let Some(size) = self.filter_size((level, option))? {
            let mut state = self.state.lock();
            let len = value.len().min(size);
            if let (Some(to), Some(from)) = (state.filter.get_mut(..len), value.get(..len)) {
                to.copy_from_slice(from);
            }
            return Ok(());
        }
        let of_groups = self.groups.set((level, option), value, self.common.version);
        of_groups.unwrap_or_else(|| self.common.settings.set(&self.target(), who, (level, option), value))
    }
    fn option(&self, _who: &dyn Caller, level: i32, option: i32, wanted: usize) -> SysResult<Vec<u8>> {
        match self.filter_size((level, option))? {
            None if (level, option) == (IP, name::IP_HDRINCL) => {
                let word = i32::from(self.has_header()).to_ne_bytes();
                Ok(word.get(..wanted.min(4)).unwrap_or_default().to_vec())
            }
            Some(size) => {
                let state = self.state.lock();
                Ok(state.filter.get(..wanted.min(size)).unwrap_or_default().to_vec())
            }
            None => self.common.settings.get(&self.target(), (level, option), wanted),
        }
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let amount = self.state.lock().inbox.amount(request)?;
        who.mem().write(UserRef::new(arg), &i32::try_from(amount).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
