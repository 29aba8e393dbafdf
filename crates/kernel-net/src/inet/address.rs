//! `struct sockaddr_in` and `struct sockaddr_in6` as bytes, and which addresses a namespace with only lo has.
//! Pure: bytes in, values out.
//!
//! Inside, an address that a v6 socket writes as ::ffff:a.b.c.d is the v4 address, so that sockets of both families
//! meet; a v6 socket shows it mapped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi_linux::{Errno, SysResult};

/// AF_UNSPEC, AF_INET and AF_INET6.
pub const AF_UNSPEC: u16 = 0;
/// AF_INET.
pub const AF_INET: u16 = 2;
/// AF_INET6.
pub const AF_INET6: u16 = 10;
/// `struct sockaddr_in`, and `struct sockaddr_in6` as old programs have it (SIN6_LEN_RFC2133).
const SIZE_V4: usize = 16;
const SIZE_V6_LEAST: usize = 24;
/// The number of lo.
pub const LOOPBACK_INDEX: u32 = 1;

/// The two address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V4,
    V6,
}

impl Version {
    /// AF_INET or AF_INET6.
    #[must_use]
    pub const fn domain(self) -> u16 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }

    /// INADDR_ANY or in6addr_any.
    #[must_use]
    pub const fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
}

impl Endpoint {
    /// No address and no port.
    #[must_use]
    pub const fn unspecified(version: Version) -> Self {
        Self { ip: version.any(), port: 0 }
    }

    /// As a socket of family `version` shows it.
    #[must_use]
    pub fn to_bytes(self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend_from_slice(&version.domain().to_ne_bytes());
        bytes.extend_from_slice(&self.port.to_be_bytes());
        match (version, self.ip) {
            (Version::V4, IpAddr::V4(ip)) => {
                bytes.extend_from_slice(&ip.octets());
                bytes.extend_from_slice(&[0; 8]);
            }
            (Version::V4, IpAddr::V6(_)) => bytes.extend_from_slice(&[0; 12]),
            (Version::V6, ip) => {
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&shown_v6(ip).octets());
                bytes.extend_from_slice(&[0; 4]);
            }
        }
        bytes
    }
}

/// An address as a v6 socket shows it.
#[must_use]
pub fn shown_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The family of a guest's address; AF_UNSPEC of one that is too short for any.
#[must_use]
pub fn family(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

/// Which call an address is for: they differ in what they let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Bind,
    Connect,
}

fn parse_v4(bytes: &[u8]) -> Option<Endpoint> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.first_chunk().copied()?);
    let ip: [u8; 4] = bytes.get(4..8)?.first_chunk().copied()?;
    Some(Endpoint { ip: IpAddr::V4(ip.into()), port })
}

fn parse_v6(bytes: &[u8]) -> Option<Endpoint> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.first_chunk().copied()?);
    let ip: [u8; 16] = bytes.get(8..24)?.first_chunk().copied()?;
    let ip = Ipv6Addr::from(ip);
    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
    Some(Endpoint { ip, port })
}

/// A guest's address for a socket of family `version` (inet_bind, inet6_bind, tcp_v4_connect …).
pub fn parse(bytes: &[u8], version: Version, purpose: Purpose) -> SysResult<Endpoint> {
    let family = family(bytes).ok_or(Errno::EINVAL)?;
    match version {
        Version::V4 => {
            let endpoint = parse_v4(bytes).filter(|_| bytes.len() >= SIZE_V4).ok_or(Errno::EINVAL)?;
            // Old programs bind to zeroes (inet_bind_sk).
            let is_zero = family == AF_UNSPEC && purpose == Purpose::Bind && endpoint.ip.is_unspecified();
            if family == AF_INET || is_zero { Ok(endpoint) } else { Err(Errno::EAFNOSUPPORT) }
        }
        Version::V6 => {
            let endpoint = parse_v6(bytes).filter(|_| bytes.len() >= SIZE_V6_LEAST).ok_or(Errno::EINVAL)?;
            if family == AF_INET6 { Ok(endpoint) } else { Err(Errno::EAFNOSUPPORT) }
        }
    }
}

/// As `parse` for a datagram, which a v6 socket may send to a v4 address as well (udpv6_sendmsg).
pub fn parse_destination(bytes: &[u8], version: Version) -> SysResult<Endpoint> {
    match (version, family(bytes)) {
        (Version::V4, Some(AF_UNSPEC)) => {
            parse_v4(bytes).filter(|_| bytes.len() >= SIZE_V4).ok_or(Errno::EINVAL)
        }
        (Version::V6, Some(AF_INET)) => parse(bytes, Version::V4, Purpose::Connect),
        (Version::V6, Some(AF_INET6)) => parse(bytes, version, Purpose::Connect),
        (Version::V6, _) => Err(Errno::EINVAL),
        _ => parse(bytes, version, Purpose::Connect),
    }
}

/// Whether the namespace has the address.
#[must_use]
pub const fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// lo's broadcast address.
#[must_use]
pub fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255)) || ip == IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0))
}

/// lo's broadcast address as it is written.
pub const LO_BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255));

/// The interface that a `struct sockaddr_in6` names; 0: none.
fn scope(bytes: &[u8]) -> u32 {
    bytes.get(24..28).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_ne_bytes)
}

/// Addresses of one link alone say which: EINVAL.
pub fn check_scope(bytes: &[u8], ip: IpAddr) -> SysResult<()> {
    let is_lost = matches!(ip, IpAddr::V6(ip) if is_of_link(ip)) && scope(bytes) == 0;
    if is_lost { Err(Errno::EINVAL) } else { Ok(()) }
}

/// As [`check_scope`], of bind(2): ENODEV for an interface that there is not.
pub fn check_bound_scope(bytes: &[u8], ip: IpAddr) -> SysResult<()> {
    check_scope(bytes, ip)?;
    let is_unknown =
        matches!(ip, IpAddr::V6(ip) if is_of_link(ip)) && !matches!(scope(bytes), 0 | LOOPBACK_INDEX);
    if is_unknown { Err(Errno::ENODEV) } else { Ok(()) }
}

fn is_of_link(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_unicast_link_local() || first == 0xff && second & 0xf == 2
}

/// Where a packet to `ip` arrives, and from which address it comes unless the socket has one: no address stands for
/// the loopback's, and nothing else can be reached.
pub fn route(ip: IpAddr) -> SysResult<(IpAddr, IpAddr)> {
    match ip {
        IpAddr::V4(to) if to.is_unspecified() => Ok((Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into())),
        IpAddr::V4(to) if to.is_loopback() => Ok((ip, Ipv4Addr::LOCALHOST.into())),
        IpAddr::V6(to) if to.is_unspecified() || to.is_loopback() => {
            Ok((Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()))
        }
        _ => Err(Errno::ENETUNREACH),
    }
}

#[cfg(test)]
mod tests {
    use super::{AF_INET, AF_INET6, Endpoint, Purpose, Version, parse, parse_destination, route};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Just;

    #[test]
    fn short_and_foreign_addresses_are_refused() {
        let v4 = Endpoint { ip: [127, 0, 0, 1].into(), port: 80 }.to_bytes(Version::V4);
        assert_eq!(parse(&v4[..15], Version::V4, Purpose::Bind), Err(Errno::EINVAL));
        assert_eq!(parse(&v4, Version::V6, Purpose::Bind), Err(Errno::EINVAL));
        let v6 = Endpoint { ip: [0, 0, 0, 0, 0, 0, 0, 1].into(), port: 80 }.to_bytes(Version::V6);
        assert_eq!(parse(&v6, Version::V4, Purpose::Bind), Err(Errno::EAFNOSUPPORT));
        assert!(parse(&v6[..24], Version::V6, Purpose::Bind).is_ok());
        assert_eq!(parse(&v6[..23], Version::V6, Purpose::Bind), Err(Errno::EINVAL));
    }

    #[test]
    fn only_loopback_is_reached() {
        assert!(route([127, 9, 9, 9].into()).is_ok());
        assert!(route([0, 0, 0, 0].into()).is_ok());
        for ip in [[10, 0, 0, 1], [169, 254, 169, 254], [255, 255, 255, 255], [224, 0, 0, 1]] {
            assert_eq!(route(ip.into()), Err(Errno::ENETUNREACH));
        }
        assert_eq!(route([0xfe80, 0, 0, 0, 0, 0, 0, 1].into()), Err(Errno::ENETUNREACH));
    }

    proptest! {
        #[test]
        fn parse_never_panics(
            family in prop_oneof![Just(AF_INET), Just(AF_INET6), any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 0..126),
        ) {
            let bytes = [family.to_ne_bytes().to_vec(), rest].concat();
            for version in [Version::V4, Version::V6] {
                let _ = parse(&bytes, version, Purpose::Bind);
                let _ = parse_destination(&bytes, version);
            }
        }

        #[test]
        fn what_is_shown_is_parsed(ip in any::<[u8; 4]>(), port in any::<u16>()) {
            let endpoint = Endpoint { ip: ip.into(), port };
            for version in [Version::V4, Version::V6] {
                prop_assert_eq!(parse(&endpoint.to_bytes(version), version, Purpose::Connect), Ok(endpoint));
            }
        }
    }
}
