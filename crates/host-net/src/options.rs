//! The options that guests may set and read on sockets of the host, with the sizes of their values. What is not here does
//! not exist (ENOPROTOOPT), or is refused (EPERM): options whose value holds pointers or programs
//! (SO_ATTACH_FILTER, TCP_ZEROCOPY_RECEIVE, TCP_ULP), that reach beyond the socket (SO_MARK, IP_TRANSPARENT,
//! SO_*BUFFORCE), and that make close(2) wait (SO_LINGER with a time).

use abi_linux::{Errno, SysResult};

/// Levels.
pub const SOCKET: i32 = 1;
pub const IP: i32 = 0;
pub const TCP: i32 = 6;
pub const UDP: i32 = 17;
pub const IPV6: i32 = 41;
pub const ICMPV6: i32 = 58;
pub const RAW: i32 = 255;

/// What the value of an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An int, of which level IP takes a byte, too.
    Int,
    /// A structure without pointers of any of these sizes: what is longer is cut, what is shorter than the first is
    /// EINVAL.
    Sized(&'static [usize]),
    /// Text of at most so many bytes.
    Text(usize),
    /// One of these names.
    Names(&'static [&'static [u8]]),
    /// Cannot be set.
    ReadOnly,
    /// EPERM, as without the capability that it wants.
    Refused,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub level: i32,
    pub name: i32,
    pub value: Value,
    /// Most bytes that getsockopt(2) gives; 0: it has no such option.
    pub most: usize,
    /// Switches on control messages with what is received.
    pub adds_control: bool,
}

const fn int(level: i32, name: i32) -> Row {
    Row { level, name, value: Value::Int, most: 4, adds_control: false }
}
const fn receives(level: i32, name: i32) -> Row {
    Row { adds_control: true, ..int(level, name) }
}
const fn sized(level: i32, name: i32, sizes: &'static [usize]) -> Row {
    Row { level, name, value: Value::Sized(sizes), most: 0, adds_control: false }
}
const fn read_only(level: i32, name: i32, most: usize) -> Row {
    Row { level, name, value: Value::ReadOnly, most, adds_control: false }
}
const fn refused(level: i32, name: i32, most: usize) -> Row {
    Row { level, name, value: Value::Refused, most, adds_control: false }
}
/// Longest name of an interface (IFNAMSIZ), and of a congestion control (TCP_CA_NAME_MAX).
const NAME: usize = 16;
/// `struct group_req` and `struct group_source_req`.
const GROUP: &[usize] = &[136];
const GROUP_SOURCE: &[usize] = &[264];

/// include/uapi/asm-generic/socket.h, linux/in.h, in6.h, tcp.h, udp.h, icmp.h, icmpv6.h.
pub const ROWS: &[Row] = &[
    // SO_DEBUG wants CAP_NET_ADMIN; SO_REUSEADDR, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE.
    refused(SOCKET, 1, 4),
    int(SOCKET, 2),
    read_only(SOCKET, 4, 4),
    int(SOCKET, 5),
    int(SOCKET, 6),
    int(SOCKET, 7),
    int(SOCKET, 8),
    int(SOCKET, 9),
    // SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY (up to 6: more is checked before), SO_BSDCOMPAT, SO_REUSEPORT.
    int(SOCKET, 10),
    int(SOCKET, 11),
    int(SOCKET, 12),
    int(SOCKET, 14),
    int(SOCKET, 15),
    // SO_SNDLOWAT, SO_BINDTODEVICE, SO_DETACH_FILTER, SO_TIMESTAMP, SO_ACCEPTCONN.
    read_only(SOCKET, 19, 4),
    Row { level: SOCKET, name: 25, value: Value::Text(NAME), most: NAME, adds_control: false },
    Row { most: 0, ..int(SOCKET, 27) },
    receives(SOCKET, 29),
    read_only(SOCKET, 30, 4),
    // SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS, SO_MARK, SO_RXQ_OVFL, SO_PEEK_OFF.
    refused(SOCKET, 32, 0),
    refused(SOCKET, 33, 0),
    receives(SOCKET, 35),
    refused(SOCKET, 36, 4),
    receives(SOCKET, 40),
    int(SOCKET, 42),
    // SO_LOCK_FILTER, SO_SELECT_ERR_QUEUE, SO_BUSY_POLL, SO_MAX_PACING_RATE, SO_INCOMING_CPU, SO_MEMINFO.
    refused(SOCKET, 44, 4),
    int(SOCKET, 45),
    refused(SOCKET, 46, 4),
    Row { level: SOCKET, name: 47, value: Value::Sized(&[4, 8]), most: 8, adds_control: false },
    int(SOCKET, 49),
    read_only(SOCKET, 55, 36),
    // SO_INCOMING_NAPI_ID, SO_COOKIE.
    read_only(SOCKET, 56, 4),
    read_only(SOCKET, 57, 8),
    // SO_TIMESTAMPING, SO_WIFI_STATUS, SO_NOFCS, SO_BPF_EXTENSIONS, SO_CNX_ADVICE, SO_TXTIME, SO_BINDTOIFINDEX.
    Row { value: Value::Sized(&[4, 8]), most: 8, ..receives(SOCKET, 37) },
    receives(SOCKET, 41),
    int(SOCKET, 43),
    read_only(SOCKET, 48, 4),
    Row { most: 0, ..int(SOCKET, 53) },
    Row { most: 8, ..sized(SOCKET, 61, &[8]) },
    int(SOCKET, 62),
    // SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMPING_NEW.
    receives(SOCKET, 63),
    receives(SOCKET, 64),
    Row { value: Value::Sized(&[4, 8]), most: 8, ..receives(SOCKET, 65) },
    // SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET, SO_NETNS_COOKIE, SO_BUF_LOCK, SO_TXREHASH, SO_RCVMARK; those of AF_UNIX alone.
    refused(SOCKET, 69, 4),
    refused(SOCKET, 70, 0),
    read_only(SOCKET, 71, 8),
    int(SOCKET, 72),
    int(SOCKET, 74),
    refused(SOCKET, 75, 4),
    int(SOCKET, 76),
    int(SOCKET, 83),
    // SO_RCVPRIORITY.
    receives(SOCKET, 82),
    // IP_TOS, IP_TTL, IP_OPTIONS (none are ever set), IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR.
    int(IP, 1),
    int(IP, 2),
    read_only(IP, 4, 40),
    receives(IP, 6),
    receives(IP, 7),
    receives(IP, 8),
    int(IP, 10),
    receives(IP, 11),
    // IP_RECVTTL, IP_RECVTOS, IP_MTU, IP_FREEBIND, IP_TRANSPARENT, IP_RECVORIGDSTADDR, IP_MINTTL, IP_CHECKSUM.
    receives(IP, 12),
    receives(IP, 13),
    read_only(IP, 14, 4),
    int(IP, 15),
    refused(IP, 19, 4),
    receives(IP, 20),
    int(IP, 21),
    receives(IP, 23),
    // IP_PASSSEC, IP_NODEFRAG (for raw sockets), IP_PROTOCOL; IP_BIND_ADDRESS_NO_PORT, IP_RECVFRAGSIZE, IP_RECVERR_RFC4884.
    receives(IP, 18),
    read_only(IP, 22, 4),
    read_only(IP, 52, 4),
    int(IP, 24),
    receives(IP, 25),
    int(IP, 26),
    // IP_MULTICAST_IF, _TTL, _LOOP; memberships; IP_MULTICAST_ALL, IP_UNICAST_IF, IP_LOCAL_PORT_RANGE.
    Row { level: IP, name: 32, value: Value::Sized(&[4, 8, 12]), most: 4, adds_control: false },
    int(IP, 33),
    int(IP, 34),
    sized(IP, 35, &[8, 12]),
    sized(IP, 36, &[8, 12]),
    sized(IP, 37, &[12]),
    sized(IP, 38, &[12]),
    sized(IP, 39, &[12]),
    sized(IP, 40, &[12]),
    sized(IP, 42, GROUP),
    sized(IP, 43, GROUP_SOURCE),
    sized(IP, 44, GROUP_SOURCE),
    sized(IP, 45, GROUP),
    sized(IP, 46, GROUP_SOURCE),
    sized(IP, 47, GROUP_SOURCE),
    int(IP, 49),
    int(IP, 50),
    int(IP, 51),
    // IPV6_UNICAST_HOPS, _MULTICAST_IF, _MULTICAST_HOPS, _MULTICAST_LOOP, _ADD_MEMBERSHIP, _DROP_MEMBERSHIP.
    int(IPV6, 16),
    int(IPV6, 17),
    int(IPV6, 18),
    int(IPV6, 19),
    sized(IPV6, 20, &[20]),
    sized(IPV6, 21, &[20]),
    // IPV6_MTU_DISCOVER, _MTU, _RECVERR, _V6ONLY, _MULTICAST_ALL, _RECVERR_RFC4884, groups.
    int(IPV6, 23),
    int(IPV6, 24),
    receives(IPV6, 25),
    int(IPV6, 26),
    int(IPV6, 29),
    int(IPV6, 31),
    sized(IPV6, 42, GROUP),
    sized(IPV6, 43, GROUP_SOURCE),
    sized(IPV6, 44, GROUP_SOURCE),
    sized(IPV6, 45, GROUP),
    sized(IPV6, 46, GROUP_SOURCE),
    sized(IPV6, 47, GROUP_SOURCE),
    // IPV6_RECVPKTINFO, _RECVHOPLIMIT, _RECVHOPOPTS, _RECVRTHDR, _RECVDSTOPTS, _RECVPATHMTU, _PATHMTU, _DONTFRAG.
    receives(IPV6, 49),
    receives(IPV6, 51),
    receives(IPV6, 53),
    receives(IPV6, 56),
    receives(IPV6, 58),
    receives(IPV6, 60),
    read_only(IPV6, 61, 32),
    int(IPV6, 62),
    // IPV6_RECVTCLASS, _TCLASS, _AUTOFLOWLABEL, _ADDR_PREFERENCES, _MINHOPCOUNT, _RECVORIGDSTADDR, _TRANSPARENT, _UNICAST_IF,
    // _RECVFRAGSIZE, _FREEBIND.
    receives(IPV6, 66),
    int(IPV6, 67),
    int(IPV6, 70),
    int(IPV6, 72),
    int(IPV6, 73),
    receives(IPV6, 74),
    refused(IPV6, 75, 4),
    int(IPV6, 76),
    receives(IPV6, 77),
    int(IPV6, 78),
    // TCP_NODELAY, _MAXSEG, _CORK, _KEEPIDLE, _KEEPINTVL, _KEEPCNT, _SYNCNT, _LINGER2, _DEFER_ACCEPT, _WINDOW_CLAMP, _INFO,
    // _QUICKACK.
    int(TCP, 1),
    int(TCP, 2),
    int(TCP, 3),
    int(TCP, 4),
    int(TCP, 5),
    int(TCP, 6),
    int(TCP, 7),
    int(TCP, 8),
    int(TCP, 9),
    int(TCP, 10),
    read_only(TCP, 11, 512),
    int(TCP, 12),
    // TCP_CONGESTION: a name that the host does not know would have its modules searched.
    Row { level: TCP, name: 13, value: Value::Names(&[b"cubic", b"reno"]), most: NAME, adds_control: false },
    // TCP_THIN_LINEAR_TIMEOUTS, _THIN_DUPACK, _USER_TIMEOUT, _REPAIR, _FASTOPEN, _TIMESTAMP, _NOTSENT_LOWAT, _CC_INFO.
    int(TCP, 16),
    int(TCP, 17),
    int(TCP, 18),
    refused(TCP, 19, 4),
    int(TCP, 23),
    refused(TCP, 24, 4),
    int(TCP, 25),
    read_only(TCP, 26, 64),
    // TCP_SAVE_SYN, _SAVED_SYN, _FASTOPEN_CONNECT, _FASTOPEN_NO_COOKIE, _INQ, _TX_DELAY.
    int(TCP, 27),
    read_only(TCP, 28, 256),
    int(TCP, 30),
    int(TCP, 34),
    receives(TCP, 36),
    int(TCP, 37),
    // TCP_RTO_MAX_MS, TCP_RTO_MIN_US, TCP_DELACK_MAX_US.
    int(TCP, 44),
    int(TCP, 45),
    int(TCP, 46),
    // UDP_CORK, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX, UDP_SEGMENT, UDP_GRO.
    int(UDP, 1),
    int(UDP, 101),
    int(UDP, 102),
    int(UDP, 103),
    receives(UDP, 104),
    // ICMPV6_FILTER, ICMP_FILTER.
    Row { level: ICMPV6, name: 1, value: Value::Sized(&[32]), most: 32, adds_control: false },
    Row { level: RAW, name: 1, value: Value::Sized(&[4]), most: 4, adds_control: false },
];

/// The row of an option.
#[must_use]
pub fn row(level: i32, name: i32) -> Option<&'static Row> {
    ROWS.iter().find(|row| (row.level, row.name) == (level, name))
}

impl Row {
    /// A guest's value for setsockopt(2), as the host is given it.
    pub fn checked<'a>(&self, guest: &'a [u8]) -> SysResult<&'a [u8]> {
        match self.value {
            Value::Int if self.level == IP && (1..4).contains(&guest.len()) => {
                guest.get(..1).ok_or(Errno::EINVAL)
            }
            Value::Int => guest.get(..4).ok_or(Errno::EINVAL),
            Value::Sized(sizes) => {
                let fits = sizes.iter().rev().find(|&&size| size <= guest.len());
                fits.and_then(|&size| guest.get(..size)).ok_or(Errno::EINVAL)
            }
            Value::Text(most) => {
                let text = guest.split(|&byte| byte == 0).next().unwrap_or_default();
                text.get(..text.len().min(most - 1)).ok_or(Errno::EINVAL)
            }
            Value::Names(names) => {
                let text = guest.split(|&byte| byte == 0).next().unwrap_or_default();
                match names.contains(&text) {
                    true => Ok(text),
                    false if guest.is_empty() => Err(Errno::EINVAL),
                    false => Err(Errno::ENOENT),
                }
            }
            Value::ReadOnly => Err(Errno::ENOPROTOOPT),
            Value::Refused => Err(Errno::EPERM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IP, ROWS, TCP, Value, row};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn no_option_stands_twice() {
        for (at, one) in ROWS.iter().enumerate() {
            let again = ROWS.iter().skip(at + 1).any(|two| (one.level, one.name) == (two.level, two.name));
            assert!(!again, "{one:?}");
        }
    }

    #[test]
    fn values_keep_their_sizes() {
        let membership = row(IP, 35).unwrap();
        assert_eq!(membership.checked(&[0; 7]), Err(Errno::EINVAL));
        assert_eq!(membership.checked(&[0; 11]).map(<[u8]>::len), Ok(8));
        assert_eq!(membership.checked(&[0; 400]).map(<[u8]>::len), Ok(12));
        let congestion = row(TCP, 13).unwrap();
        assert_eq!(congestion.checked(b"reno\0garbage"), Ok(b"reno".as_slice()));
        assert_eq!(congestion.checked(b"bbr"), Err(Errno::ENOENT));
        assert_eq!(row(TCP, 31).map(|row| row.value), None, "TCP_ULP");
        assert_eq!(row(1, 26).map(|row| row.value), None, "SO_ATTACH_FILTER");
        assert_eq!(row(1, 36).map(|row| row.value), Some(Value::Refused), "SO_MARK");
    }

    proptest! {
        #[test]
        fn no_value_is_longer_than_the_longest(value in proptest::collection::vec(any::<u8>(), 0..400)) {
            for row in ROWS {
                prop_assert!(row.checked(&value).is_ok_and(|value| value.len() <= 264) || row.checked(&value).is_err());
            }
        }
    }
}
