//! Which sockets are opened.

use abi_linux::{Errno, SysResult};

/// AF_INET and AF_INET6.
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;

const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const RAW: u32 = 3;
pub(crate) const TCP: i32 = 6;
pub(crate) const UDP: i32 = 17;
pub(crate) const ICMP: i32 = 1;
pub(crate) const ICMPV6: i32 = 58;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    /// ICMP echo, whose headers the host checks (ping(8) without privilege).
    Echo,
    /// ICMP as it is.
    RawIcmp,
}

/// One kind of socket.
struct Row {
    domain: u16,
    kind: u32,
    /// The argument of socket(2), where 0 stands for it too if `is_default`.
    protocol: i32,
    is_default: bool,
    is: Protocol,
}

const fn row(domain: u16, kind: u32, protocol: i32, is_default: bool, is: Protocol) -> Row {
    Row { domain, kind, protocol, is_default, is }
}

const ROWS: &[Row] = &[
    row(AF_INET, STREAM, TCP, true, Protocol::Tcp),
    row(AF_INET6, STREAM, TCP, true, Protocol::Tcp),
    row(AF_INET, DATAGRAM, UDP, true, Protocol::Udp),
    row(AF_INET6, DATAGRAM, UDP, true, Protocol::Udp),
    row(AF_INET, DATAGRAM, ICMP, false, Protocol::Echo),
    row(AF_INET6, DATAGRAM, ICMPV6, false, Protocol::Echo),
    row(AF_INET, RAW, ICMP, false, Protocol::RawIcmp),
    row(AF_INET6, RAW, ICMPV6, false, Protocol::RawIcmp),
];

/// What a socket of these arguments speaks, and the protocol's number: EPROTONOSUPPORT and ESOCKTNOSUPPORT as inet_create
/// (net/ipv4/af_inet.c).
pub fn find(domain: u16, kind: u32, protocol: i32) -> SysResult<(Protocol, i32)> {
    let is = |row: &&Row| row.domain == domain && row.kind == kind;
    let found =
        ROWS.iter().filter(is).find(|row| row.protocol == protocol || protocol == 0 && row.is_default);
    match found {
        Some(row) => Ok((row.is, row.protocol)),
        None if matches!(kind, STREAM | DATAGRAM | RAW) => Err(Errno::EPROTONOSUPPORT),
        None => Err(Errno::ESOCKTNOSUPPORT),
    }
}
