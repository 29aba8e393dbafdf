//! The options of levels IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP and IPPROTO_UDP (ip(7), ipv6(7), tcp(7), udp(7)). Most
//! are numbers without an effect on lo: a table says their limits, and they are remembered.

use abi_linux::time::NSEC_PER_SEC;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;

use super::address::Version;
use crate::control::SOL_SOCKET;
use crate::socket::RawControl;

pub(super) const IP: i32 = 0;
pub(super) const IPV6: i32 = 41;
const TCP: i32 = super::TCP;
const UDP: i32 = super::UDP;
const UDPLITE: i32 = super::UDPLITE;

/// Option names (include/uapi/linux/in.h, in6.h, tcp.h).
pub(super) mod name {
    pub(crate) const IP_TOS: i32 = 1;
    pub(crate) const IP_PKTINFO: i32 = 8;
    pub(crate) const IP_RECVERR: i32 = 11;
    pub(crate) const IP_RECVTTL: i32 = 12;
    pub(crate) const IP_RECVTOS: i32 = 13;
    pub(crate) const IP_MTU: i32 = 14;
    pub(crate) const IP_TRANSPARENT: i32 = 19;
    pub(crate) const IP_HDRINCL: i32 = 3;
    pub(crate) const IP_MULTICAST_IF: i32 = 32;
    pub(crate) const MCAST_JOIN_GROUP: i32 = 42;
    pub(crate) const MCAST_LEAVE_GROUP: i32 = 45;
    pub(crate) const IP_MULTICAST_ALL: i32 = 49;
    pub(crate) const IPV6_CHECKSUM: i32 = 7;
    pub(crate) const IPV6_MULTICAST_IF: i32 = 17;
    pub(crate) const IP_ADD_MEMBERSHIP: i32 = 35;
    pub(crate) const IP_DROP_MEMBERSHIP: i32 = 36;
    pub(crate) const IP_TTL: i32 = 2;
    pub(crate) const IPV6_UNICAST_HOPS: i32 = 16;
    pub(crate) const IPV6_ADD_MEMBERSHIP: i32 = 20;
    pub(crate) const IPV6_DROP_MEMBERSHIP: i32 = 21;
    pub(crate) const IPV6_MTU: i32 = 24;
    pub(crate) const IPV6_RECVERR: i32 = 25;
    pub(crate) const IPV6_V6ONLY: i32 = 26;
    pub(crate) const IPV6_RECVPKTINFO: i32 = 49;
    pub(crate) const IPV6_PKTINFO: i32 = 50;
    pub(crate) const IPV6_RECVHOPLIMIT: i32 = 51;
    pub(crate) const IPV6_HOPLIMIT: i32 = 52;
    pub(crate) const IPV6_RECVTCLASS: i32 = 66;
    pub(crate) const IPV6_TCLASS: i32 = 67;
    pub(crate) const TCP_MAXSEG: i32 = 2;
    pub(crate) const TCP_CONGESTION: i32 = 13;
    pub(crate) const TCP_MD5SIG: i32 = 14;
    pub(crate) const TCP_REPAIR: i32 = 19;
    pub(crate) const TCP_ULP: i32 = 31;
}

/// SO_TIMESTAMP, SO_TIMESTAMPNS, and those with 64-bit times on all machines; which one is on is kept as the first.
const SO_TIMESTAMP: i32 = 29;
const SO_TIMESTAMP_NEW: i32 = 63;
const STAMPS: [i32; 4] = [SO_TIMESTAMP, 35, SO_TIMESTAMP_NEW, 64];
const STAMP: i32 = SO_TIMESTAMP;

/// net.ipv4.ip_default_ttl.
pub(super) const DEFAULT_TTL: i32 = 64;
/// The MTU of lo.
const MTU: i32 = 65_536;
/// TCP_MSS_DEFAULT, and what a connection over lo has.
const SEGMENT: i32 = 536;
const SEGMENT_CONNECTED: i32 = 65_483;
/// TCP_CA_NAME_MAX.
const CONGESTION_SIZE: usize = 16;
const CONGESTION: &[u8] = b"cubic";

/// A number that is remembered.
struct Row {
    level: i32,
    name: i32,
    default: i32,
    least: i32,
    most: i32,
}

const fn number(level: i32, name: i32, default: i32, least: i32, most: i32) -> Row {
    Row { level, name, default, least, most }
}

/// On or off: any number but 0 is 1.
const fn switch(level: i32, name: i32, default: i32) -> Row {
    Row { level, name, default, least: 0, most: 1 }
}

const ROWS: &[Row] = &[
    number(IP, name::IP_TOS, 0, 0, 255),
    number(IP, name::IP_TTL, DEFAULT_TTL, -1, 255),
    switch(IP, name::IP_HDRINCL, 0),
    switch(IP, 6, 0),
    switch(IP, 7, 0),
    switch(IP, name::IP_PKTINFO, 0),
    // IP_MTU_DISCOVER.
    number(IP, 10, 1, 0, 5),
    switch(IP, name::IP_RECVERR, 0),
    switch(IP, name::IP_RECVTTL, 0),
    switch(IP, name::IP_RECVTOS, 0),
    // IP_FREEBIND.
    switch(IP, 15, 0),
    switch(IP, name::IP_TRANSPARENT, 0),
    switch(IP, 20, 0),
    // IP_MINTTL.
    number(IP, 21, 0, 0, 255),
    switch(IP, 23, 0),
    // IP_BIND_ADDRESS_NO_PORT.
    switch(IP, 24, 0),
    // IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL.
    number(IP, 33, 1, -1, 255),
    switch(IP, 34, 1),
    switch(IP, name::IP_MULTICAST_ALL, 1),
    number(IPV6, name::IPV6_UNICAST_HOPS, DEFAULT_TTL, -1, 255),
    number(IPV6, name::IPV6_CHECKSUM, -1, -1, i32::MAX),
    number(IPV6, name::IPV6_MULTICAST_IF, 0, 0, 1),
    // IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP.
    number(IPV6, 18, 1, -1, 255),
    switch(IPV6, 19, 1),
    // IPV6_MTU_DISCOVER.
    number(IPV6, 23, 1, 0, 5),
    switch(IPV6, name::IPV6_RECVERR, 0),
    switch(IPV6, name::IPV6_V6ONLY, 0),
    switch(IPV6, 29, 1),
    switch(IPV6, name::IPV6_RECVPKTINFO, 0),
    switch(IPV6, name::IPV6_RECVHOPLIMIT, 0),
    // IPV6_RECVHOPOPTS, IPV6_RECVRTHDR, IPV6_RECVDSTOPTS.
    switch(IPV6, 53, 0),
    switch(IPV6, 56, 0),
    switch(IPV6, 58, 0),
    // IPV6_RECVPATHMTU, IPV6_DONTFRAG.
    switch(IPV6, 60, 0),
    switch(IPV6, 62, 0),
    switch(IPV6, name::IPV6_RECVTCLASS, 0),
    number(IPV6, name::IPV6_TCLASS, 0, -1, 255),
    // IPV6_AUTOFLOWLABEL, IPV6_MINHOPCOUNT, IPV6_FREEBIND.
    switch(IPV6, 70, 1),
    number(IPV6, 73, 0, 0, 255),
    switch(IPV6, 78, 0),
    // TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT.
    switch(TCP, 1, 0),
    switch(TCP, 3, 0),
    number(TCP, 4, 7200, 1, 32_767),
    number(TCP, 5, 75, 1, 32_767),
    number(TCP, 6, 9, 1, 127),
    number(TCP, 7, 6, 1, 127),
    // TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_QUICKACK.
    number(TCP, 8, 60, i32::MIN, i32::MAX),
    number(TCP, 9, 0, i32::MIN, i32::MAX),
    number(TCP, 10, 0, 0, i32::MAX),
    switch(TCP, 12, 1),
    // TCP_THIN_LINEAR_TIMEOUTS, TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_TIMESTAMP.
    switch(TCP, 16, 0),
    number(TCP, 18, 0, 0, i32::MAX),
    number(TCP, 23, 0, 0, i32::MAX),
    number(TCP, 24, 0, i32::MIN, i32::MAX),
    // TCP_NOTSENT_LOWAT, TCP_SAVE_SYN, TCP_FASTOPEN_CONNECT, TCP_INQ.
    number(TCP, 25, -1, i32::MIN, i32::MAX),
    number(TCP, 27, 0, 0, 2),
    switch(TCP, 30, 0),
    switch(TCP, 36, 0),
    // UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV.
    number(UDPLITE, 10, 0, 0, 65_535),
    number(UDPLITE, 11, 0, 0, 65_535),
];

/// What the options are asked of.
pub(super) struct Target {
    pub(super) version: Version,
    /// [`super::TCP`] or [`super::UDP`].
    pub(super) protocol: i32,
    pub(super) is_bound: bool,
    pub(super) is_connected: bool,
}

/// The numbers that differ from their defaults. The table bounds how many there are.
#[derive(Default)]
pub(super) struct Settings(Mutex<Vec<(i32, i32, i32)>>);

fn row(target: &Target, (level, name): (i32, i32)) -> SysResult<&'static Row> {
    let has_level = match level {
        IP => true,
        IPV6 => target.version == Version::V6,
        TCP | UDP | UDPLITE => level == target.protocol,
        _ => false,
    };
    let found = ROWS.iter().find(|row| has_level && (row.level, row.name) == (level, name));
    found.ok_or(Errno::ENOPROTOOPT)
}

/// The number that a guest passes. IPPROTO_IP takes a byte, too.
fn number_of(level: i32, value: &[u8]) -> SysResult<i32> {
    match (value.first_chunk(), value.first()) {
        (Some(word), _) => Ok(i32::from_ne_bytes(*word)),
        (None, Some(&byte)) if level == IP => Ok(i32::from(byte)),
        _ => Err(Errno::EINVAL),
    }
}

impl Settings {
    fn value(&self, row: &Row) -> i32 {
        let values = self.0.lock();
        let found = values.iter().find(|(level, name, _)| (*level, *name) == (row.level, row.name));
        found.map_or(row.default, |&(_, _, value)| value)
    }

    fn put(&self, row: &Row, value: i32) {
        let mut values = self.0.lock();
        match values.iter_mut().find(|(level, name, _)| (*level, *name) == (row.level, row.name)) {
            Some((_, _, old)) => *old = value,
            None => values.push((row.level, row.name, value)),
        }
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, level: i32, name: i32) -> bool {
        self.0.lock().iter().any(|&(at, of, value)| (at, of) == (level, name) && value != 0)
    }

    /// Whether a switch that is on by default has been turned off.
    pub(super) fn is_off(&self, level: i32, name: i32) -> bool {
        self.0.lock().iter().any(|&(at, of, value)| (at, of) == (level, name) && value == 0)
    }

    /// SO_TIMESTAMP and its relatives, of which one is on; `None` when it is another option (sock_set_timestamp).
    pub(super) fn set_stamp(&self, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        if !STAMPS.contains(&name) {
            return None;
        }
        let Some(word) = value.first_chunk() else { return Some(Err(Errno::EINVAL)) };
        let chosen = if i32::from_ne_bytes(*word) == 0 { 0 } else { name };
        self.put(&number(SOL_SOCKET, STAMP, 0, 0, i32::MAX), chosen);
        Some(Ok(()))
    }

    /// Whether one of them is on.
    pub(super) fn get_stamp(&self, name: i32, wanted: usize) -> Option<Vec<u8>> {
        let chosen = self.value(&number(SOL_SOCKET, STAMP, 0, 0, i32::MAX));
        let value = i32::from(chosen == name).to_ne_bytes();
        STAMPS.contains(&name).then(|| value.get(..wanted.min(4)).unwrap_or_default().to_vec())
    }

    /// The control message that they give.
    pub(super) fn stamp(&self, at_ns: u64) -> Option<RawControl> {
        let kind = self.value(&number(SOL_SOCKET, STAMP, 0, 0, i32::MAX));
        let (seconds, rest) = (at_ns / NSEC_PER_SEC, at_ns % NSEC_PER_SEC);
        let rest = if kind == SO_TIMESTAMP || kind == SO_TIMESTAMP_NEW { rest / 1000 } else { rest };
        let data = [seconds.to_ne_bytes(), rest.to_ne_bytes()].concat();
        (kind != 0).then_some(RawControl { level: SOL_SOCKET, kind, data })
    }

    /// IPV6_V6ONLY.
    pub(super) fn is_v6_only(&self) -> bool {
        self.is_on(IPV6, name::IPV6_V6ONLY)
    }

    /// An accepted connection begins with its listener's.
    pub(super) fn inherit(&self, from: &Self) {
        let values = from.0.lock().clone();
        *self.0.lock() = values;
    }

    /// setsockopt(2).
    pub(super) fn set(
        &self,
        target: &Target,
        who: &dyn Caller,
        option: (i32, i32),
        value: &[u8],
    ) -> SysResult<()> {
        let is_admin = || who.credentials().has(Cap::NET_ADMIN);
        match option {
            (TCP, name) if target.protocol == TCP => match name {
                name::TCP_CONGESTION => return congestion(value),
                name::TCP_MAXSEG => {
                    let size = number_of(TCP, value)?;
                    let is_allowed = size == 0 || (88..=32_767).contains(&size);
                    return if is_allowed { Ok(()) } else { Err(Errno::EINVAL) };
                }
                name::TCP_REPAIR | name::TCP_MD5SIG => return Err(Errno::EPERM),
                name::TCP_ULP => return Err(Errno::ENOENT),
                _ => {}
            },
            (IP, name::IP_TRANSPARENT) if !is_admin() => return Err(Errno::EPERM),
            // Datagram sockets have asked their memberships before (ip_mc_join_group is not for connections).
            (
                IP,
                name::IP_ADD_MEMBERSHIP
                | name::IP_DROP_MEMBERSHIP
                | name::MCAST_JOIN_GROUP
                | name::MCAST_LEAVE_GROUP,
            ) => {
                return Err(Errno::EPROTO);
            }
            (
                IPV6,
                name::IPV6_ADD_MEMBERSHIP
                | name::IPV6_DROP_MEMBERSHIP
                | name::MCAST_JOIN_GROUP
                | name::MCAST_LEAVE_GROUP,
            ) if target.version == Version::V6 => return Err(Errno::EPROTO),
            (IP, name::IP_MULTICAST_IF) => return Err(Errno::EINVAL),
            (IP, name::IP_HDRINCL) | (IPV6, name::IPV6_CHECKSUM) if target.protocol != super::RAW => {
                return Err(Errno::ENOPROTOOPT);
            }
            (IPV6, name::IPV6_MULTICAST_IF) if target.protocol == TCP => return Err(Errno::ENOPROTOOPT),
            (IPV6, name::IPV6_MULTICAST_IF) if number_of(IPV6, value)? > 1 => return Err(Errno::ENODEV),
            (UDPLITE, 10 | 11) if target.protocol == UDPLITE => {
                let wanted = number_of(UDPLITE, value)?;
                let coverage = if wanted == 0 { 0 } else { wanted.clamp(8, 65_535) };
                self.put(row(target, option)?, coverage);
                return Ok(());
            }
            _ => {}
        }
        let row = row(target, option)?;
        let mut value = number_of(option.0, value)?;
        if (row.least, row.most) == (0, 1) {
            value = i32::from(value != 0);
        }
        let is_zero_ttl = option == (IP, name::IP_TTL) && value == 0;
        if !(row.least..=row.most).contains(&value) || is_zero_ttl {
            return Err(Errno::EINVAL);
        }
        if option == (IPV6, name::IPV6_V6ONLY) && target.is_bound {
            return Err(Errno::EINVAL);
        }
        if value == -1 && row.least == -1 {
            value = row.default;
        }
        self.put(row, value);
        Ok(())
    }

    /// getsockopt(2).
    pub(super) fn get(&self, target: &Target, option: (i32, i32), wanted: usize) -> SysResult<Vec<u8>> {
        let value = match option {
            (TCP, name::TCP_CONGESTION) if target.protocol == TCP => {
                let mut name = CONGESTION.to_vec();
                name.resize(CONGESTION_SIZE, 0);
                name.truncate(wanted);
                return Ok(name);
            }
            (TCP, name::TCP_ULP) if target.protocol == TCP => return Ok(Vec::new()),
            (TCP, name::TCP_MAXSEG) if target.protocol == TCP => {
                if target.is_connected {
                    SEGMENT_CONNECTED
                } else {
                    SEGMENT
                }
            }
            (IP, name::IP_MTU) | (IPV6, name::IPV6_MTU) => {
                let has_level = option.0 == IP || target.version == Version::V6;
                match (has_level, target.is_connected) {
                    (false, _) => return Err(Errno::ENOPROTOOPT),
                    (true, false) => return Err(Errno::ENOTCONN),
                    (true, true) => MTU,
                }
            }
            // do_ip_getsockopt, unlike its relatives.
            (level, _) if target.version == Version::V4 && level != IP && level != target.protocol => {
                return Err(Errno::EOPNOTSUPP);
            }
            _ => self.value(row(target, option)?),
        };
        // A byte for who asks for less than an int (do_ip_getsockopt).
        match (option.0, u8::try_from(value)) {
            (IP, Ok(byte)) if (1..4).contains(&wanted) => Ok(vec![byte]),
            _ => Ok(value.to_ne_bytes().get(..wanted.min(4)).unwrap_or_default().to_vec()),
        }
    }
}

/// TCP_CONGESTION: what Linux always has.
fn congestion(value: &[u8]) -> SysResult<()> {
    let name = value.split(|&byte| byte == 0).next().unwrap_or_default();
    match name {
        b"" => Err(Errno::EINVAL),
        b"cubic" | b"reno" => Ok(()),
        _ => Err(Errno::ENOENT),
    }
}
