//! AF_INET and AF_INET6 of a sandbox without a network: TCP and UDP over lo, in memory (ip(7), tcp(7), udp(7); Linux
//! v6.18). Nothing is a packet: a connection is two buffers that its ends share, a datagram is put into its
//! receiver's queue.
//!
//! A [`Network`] holds the ports. What lo does not reach is ENETUNREACH, as in a network namespace that has
//! only lo.
//!
//! Lock order: `TcpSocket.state` → `tcp::pipe::Pipe.inner`; `Settings` and the tables of [`ports`] are innermost and
//! nothing is dropped or woken below them. Two sockets are never locked together.

pub mod address;
mod cmsg;
mod groups;
mod inbox;
mod info;
pub mod interface;
pub mod listing;
mod packet;
mod ports;
mod raw;
mod reports;
mod settings;
mod tcp;
mod udp;

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::wait::WaitQueue;

use crate::netlink::message::Request;
use crate::netlink::route;
use crate::options::{Options, so};
use crate::socket::{Socket, SocketKind};
use crate::stack::InetStack;
use address::{Endpoint, Purpose, Version};
use groups::Groups;
use interface::Ifreq;
use ports::{Claim, Ports};
use raw::{RawSocket, RawSockets};
use settings::Settings;
use tcp::TcpSocket;
use udp::{UdpSocket, Variant};

/// IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDPLITE, IPPROTO_RAW.
const TCP: i32 = 6;
const UDP: i32 = 17;
const ICMP: i32 = 1;
const ICMPV6: i32 = 58;
const UDPLITE: i32 = 136;
const RAW: i32 = 255;
/// Ports that want CAP_NET_BIND_SERVICE (net.ipv4.ip_unprivileged_port_start).
const UNPRIVILEGED: u16 = 1024;

/// What the sockets of a namespace share.
#[derive(Default)]
pub struct Network {
    tcp: Ports<TcpSocket>,
    udp: Ports<UdpSocket>,
    udplite: Ports<UdpSocket>,
    raw: RawSockets,
    groups: Groups,
}

/// What every socket of the families has.
struct Common {
    version: Version,
    network: Arc<Network>,
    options: Options,
    settings: Settings,
    uid: u32,
    queue: WaitQueue,
}

impl Common {
    fn new(version: Version, network: Arc<Network>, uid: u32, options: Options) -> Self {
        let (settings, queue) = (Settings::default(), WaitQueue::new());
        Self { version, network, options, settings, uid, queue }
    }

    fn claim(&self, ip: std::net::IpAddr) -> Claim {
        Claim {
            ip,
            only_v6: self.settings.is_v6_only(),
            reuses_address: self.options.is_on(so::REUSEADDR),
            reuses_port: self.options.is_on(so::REUSEPORT),
            uid: self.uid,
        }
    }

    /// The address of a bind(2), which must be the namespace's (inet_bind, inet6_bind).
    fn bind_address(&self, who: &dyn Caller, bytes: &[u8], kind: SocketKind) -> SysResult<Endpoint> {
        let to = address::parse(bytes, self.version, Purpose::Bind)?;
        let is_mapped = self.version == Version::V6 && to.ip.is_ipv4();
        if is_mapped && self.settings.is_v6_only() {
            return Err(Errno::EINVAL);
        }
        if kind == SocketKind::Stream && to.ip.is_ipv6() && to.ip.is_multicast() {
            return Err(Errno::EINVAL);
        }
        address::check_bound_scope(bytes, to.ip)?;
        let is_limited = self.version == Version::V4 && to.ip == std::net::Ipv4Addr::BROADCAST;
        let is_group = to.ip.is_multicast() || address::is_broadcast(to.ip) || is_limited;
        let may_be_group = kind == SocketKind::Datagram || self.version == Version::V4;
        if !(to.ip.is_unspecified() || address::is_local(to.ip) || is_group && may_be_group) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if (1..UNPRIVILEGED).contains(&to.port) && !who.credentials().has(Cap::NET_BIND_SERVICE) {
            return Err(Errno::EACCES);
        }
        Ok(to)
    }

    /// Where a packet to `to` arrives, and the address it comes from, which a socket bound to one keeps.
    fn route(&self, to: Endpoint, bound: std::net::IpAddr) -> SysResult<(Endpoint, std::net::IpAddr)> {
        if self.version == Version::V6 && to.ip.is_ipv4() && self.settings.is_v6_only() {
            return Err(Errno::ENETUNREACH);
        }
        let (ip, from) = address::route(to.ip)?;
        let from = if bound.is_unspecified() { from } else { bound };
        if from.is_ipv4() != ip.is_ipv4() {
            // A v6 socket that is bound to a v4 address reaches no v6 address, and the other way round.
            return Err(Errno::ENETUNREACH);
        }
        Ok((Endpoint { ip, port: to.port }, from))
    }
}

/// A stack that has lo alone, in memory.
#[derive(Default)]
pub struct Loopback {
    network: Arc<Network>,
}

impl InetStack for Loopback {
    fn create(
        &self,
        version: Version,
        who: &dyn Caller,
        kind: SocketKind,
        protocol: i32,
    ) -> SysResult<Arc<dyn Socket>> {
        let credentials = who.credentials();
        let network = Arc::clone(&self.network);
        match (kind, protocol) {
            (SocketKind::Stream, 0 | TCP) => Ok(TcpSocket::new(version, network, credentials.euid)),
            (SocketKind::Datagram, 0 | UDP) => {
                Ok(UdpSocket::new(version, network, credentials.euid, Variant::Udp))
            }
            (SocketKind::Datagram, UDPLITE) => {
                Ok(UdpSocket::new(version, network, credentials.euid, Variant::UdpLite))
            }
            // net.ipv4.ping_group_range lets nobody.
            (SocketKind::Datagram, ICMP) if version == Version::V4 => Err(Errno::EACCES),
            (SocketKind::Datagram, ICMPV6) if version == Version::V6 => Err(Errno::EACCES),
            (SocketKind::Raw, 1..) if !credentials.has(Cap::NET_RAW) => Err(Errno::EPERM),
            (SocketKind::Raw, 1..) => Ok(RawSocket::new(version, network, credentials.euid, protocol)),
            (SocketKind::Stream | SocketKind::Datagram | SocketKind::Raw, _) => Err(Errno::EPROTONOSUPPORT),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    fn interface(&self, request: u32, ifreq: &mut Ifreq) -> SysResult<()> {
        interface::loopback(request, ifreq)
    }

    fn interfaces(&self) -> SysResult<Vec<Ifreq>> {
        Ok(vec![interface::loopback_entry()])
    }

    fn route(&self, request: &Request<'_>, port: u32) -> SysResult<Vec<Vec<u8>>> {
        route::answer(request, port)
    }
}
