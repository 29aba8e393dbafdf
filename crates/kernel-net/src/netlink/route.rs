//! NETLINK_ROUTE of a namespace with lo alone (rtnetlink(7); net/core/rtnetlink.c, net/ipv4/devinet.c, fib_frontend.c,
//! net/ipv6/addrconf.c, route.c; Linux v6.18): links, addresses and routes can be read, nothing can be changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi_linux::Errno;

use super::message::{DUMP, MULTI, Request, Writer, attribute, word};
use crate::inet::address::{AF_INET, AF_INET6, AF_UNSPEC, LOOPBACK_INDEX, route};

/// RTM_*: of each object a NEW, DEL, GET and SET.
const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const GET: u16 = 2;
const GETLINK: u16 = NEWLINK + GET;
const GETADDR: u16 = NEWADDR + GET;
const GETROUTE: u16 = NEWROUTE + GET;
const GETNEIGH: u16 = 30;
const NEWRULE: u16 = 32;
const GETRULE: u16 = NEWRULE + GET;
const GETQDISC: u16 = 38;
const GETNEIGHTBL: u16 = 66;
const GETNEXTHOP: u16 = 106;
const MOST: u16 = 127;

/// ARPHRD_LOOPBACK; IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP.
const HARDWARE: u16 = 772;
const FLAGS: u32 = 0x1_0049;
const MTU: u32 = 65_536;
/// IFA_F_PERMANENT; RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST.
const PERMANENT: u8 = 0x80;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
/// RT_TABLE_LOCAL; RTPROT_KERNEL; RTN_LOCAL, RTN_BROADCAST.
const TABLE_LOCAL: u8 = 255;
const BY_KERNEL: u8 = 2;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
/// RTM_F_CLONED.
const CLONED: u32 = 0x200;

/// Whether a request asks for something (RTM_GET*), or is too short to be looked at. All others change something.
pub(crate) fn is_question(request: &Request<'_>) -> bool {
    request.kind > MOST || request.kind & 3 == GET || request.body().is_empty()
}

/// Answers a question of the socket with this port: messages, or the errno.
pub(crate) fn answer(request: &Request<'_>, port: u32) -> Result<Vec<Vec<u8>>, Errno> {
    if request.kind > MOST {
        return Err(Errno::EOPNOTSUPP);
    }
    let Some(&family) = request.body().first() else { return Ok(Vec::new()) };
    let family = u16::from(family);
    let is_dump = request.flags & DUMP != 0;
    match (request.kind, is_dump) {
        (GETLINK, true) => Ok(vec![link(request, port, MULTI)]),
        (GETLINK, false) => one_link(request, port),
        (GETADDR, true) => Ok(addresses(request, port, family)),
        (GETROUTE, true) => Ok(routes(request, port, family)),
        (GETROUTE, false) => one_route(request, port, family),
        (GETRULE, true) => Ok(rules(request, port, family)),
        (GETNEIGH | GETQDISC | GETNEIGHTBL | GETNEXTHOP, true) => Ok(Vec::new()),
        (GETNEIGH, false) => Err(Errno::ENOENT),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn link(request: &Request<'_>, port: u32, flags: u16) -> Vec<u8> {
    let head = [
        [0, 0].as_slice(),
        &HARDWARE.to_ne_bytes(),
        &LOOPBACK_INDEX.to_ne_bytes(),
        &FLAGS.to_ne_bytes(),
        &0u32.to_ne_bytes(),
    ]
    .concat();
    Writer::new(request, port, NEWLINK, flags)
        .raw(&head)
        // IFLA_IFNAME, IFLA_TXQLEN, IFLA_OPERSTATE, IFLA_LINKMODE, IFLA_MTU.
        .put(3, b"lo\0")
        .put_word(13, 1000)
        .put(16, &[0])
        .put(17, &[0])
        .put_word(4, MTU)
        // IFLA_GROUP, IFLA_PROMISCUITY, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_CARRIER.
        .put_word(27, 0)
        .put_word(30, 0)
        .put_word(31, 1)
        .put_word(32, 1)
        .put(33, &[1])
        // IFLA_QDISC, IFLA_ADDRESS, IFLA_BROADCAST, IFLA_STATS64, IFLA_STATS.
        .put(6, b"noqueue\0")
        .put(1, &[0; 6])
        .put(2, &[0; 6])
        .put(23, &[0; 200])
        .put(7, &[0; 96])
        .finish()
}

/// By its number, or its name (IFLA_IFNAME, IFLA_ALT_IFNAME).
fn one_link(request: &Request<'_>, port: u32) -> Result<Vec<Vec<u8>>, Errno> {
    let body = request.body();
    let index = word(body, 4).ok_or(Errno::EINVAL)?;
    let name = attribute(body, 16, 3).or_else(|| attribute(body, 16, 53));
    let name = name.and_then(|name| name.split(|&byte| byte == 0).next());
    match (index, name) {
        (LOOPBACK_INDEX, _) | (0, Some(b"lo")) => Ok(vec![link(request, port, 0)]),
        (0, None) => Err(Errno::EINVAL),
        _ => Err(Errno::ENODEV),
    }
}

fn addresses(request: &Request<'_>, port: u32, family: u16) -> Vec<Vec<u8>> {
    let wanted_index = word(request.body(), 4).unwrap_or(0);
    if wanted_index != 0 && wanted_index != LOOPBACK_INDEX {
        return Vec::new();
    }
    let message = |family: u16, prefix: u8| {
        let head = [family as u8, prefix, PERMANENT, SCOPE_HOST];
        let head = [head, LOOPBACK_INDEX.to_ne_bytes()].concat();
        Writer::new(request, port, NEWADDR, MULTI).raw(&head)
    };
    // IFA_CACHEINFO: valid for ever; made when the namespace was.
    let times = [[0xff; 4], [0xff; 4], [0; 4], [0; 4]].concat();
    let mut found = Vec::new();
    if matches!(family, AF_UNSPEC | AF_INET) {
        let ip = Ipv4Addr::LOCALHOST.octets();
        // IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_FLAGS.
        let v4 = message(AF_INET, 8).put(1, &ip).put(2, &ip).put(3, b"lo\0").put_word(8, PERMANENT.into());
        found.push(v4.put(6, &times).finish());
    }
    if matches!(family, AF_UNSPEC | AF_INET6) {
        let v6 = message(AF_INET6, 128).put(1, &Ipv6Addr::LOCALHOST.octets()).put(6, &times);
        found.push(v6.put_word(8, PERMANENT.into()).finish());
    }
    found
}

/// The rules that a namespace begins with (fib_default_rules_init, fib6_rules_net_init).
fn rules(request: &Request<'_>, port: u32, family: u16) -> Vec<Vec<u8>> {
    /// RT_TABLE_DEFAULT, RT_TABLE_MAIN; FR_ACT_TO_TBL.
    const TABLE_DEFAULT: u8 = 253;
    const TABLE_MAIN: u8 = 254;
    const TO_TABLE: u8 = 1;
    let all = [
        (AF_INET, 0, TABLE_LOCAL),
        (AF_INET, 32_766, TABLE_MAIN),
        (AF_INET, 32_767, TABLE_DEFAULT),
        (AF_INET6, 0, TABLE_LOCAL),
        (AF_INET6, 32_766, TABLE_MAIN),
    ];
    let wanted = all.iter().filter(|(of, ..)| family == AF_UNSPEC || family == *of);
    let message = |&(of, priority, table): &(u16, u32, u8)| {
        let head = [of as u8, 0, 0, 0, table, 0, 0, TO_TABLE, 0, 0, 0, 0];
        // FRA_TABLE, FRA_SUPPRESS_PREFIXLEN, FRA_PROTOCOL, FRA_PRIORITY.
        let message = Writer::new(request, port, NEWRULE, MULTI).raw(&head).put_word(15, table.into());
        let message = message.put_word(14, u32::MAX).put(21, &[BY_KERNEL]);
        if priority == 0 { message.finish() } else { message.put_word(6, priority).finish() }
    };
    wanted.map(message).collect()
}

/// `struct rtmsg` of a route that the kernel has made.
fn route_head(family: u16, prefix: u8, table: u8, scope: u8, kind: u8, flags: u32) -> Vec<u8> {
    let head = [family as u8, prefix, 0, 0, table, BY_KERNEL, scope, kind];
    [head.as_slice(), &flags.to_ne_bytes()].concat()
}

fn routes(request: &Request<'_>, port: u32, family: u16) -> Vec<Vec<u8>> {
    /// RTA_TABLE.
    const TABLE: u16 = 15;
    let body = request.body();
    let in_head = body.get(4).copied().unwrap_or(0);
    let in_attribute = attribute(body, 12, TABLE).and_then(|bytes| word(bytes, 0));
    let wanted = in_attribute.unwrap_or(in_head.into());
    let message = |family: u16, prefix: u8, table: u8, scope: u8, kind: u8| {
        let head = route_head(family, prefix, table, scope, kind, 0);
        Writer::new(request, port, NEWROUTE, MULTI).raw(&head).put_word(TABLE, table.into())
    };
    let mut found = Vec::new();
    let is_wanted = |table: u8| wanted == 0 || wanted == u32::from(table);
    if matches!(family, AF_UNSPEC | AF_INET) && is_wanted(TABLE_LOCAL) {
        let ip = Ipv4Addr::LOCALHOST.octets();
        let all = [
            (8, SCOPE_HOST, LOCAL, [127, 0, 0, 0]),
            (32, SCOPE_HOST, LOCAL, ip),
            (32, SCOPE_LINK, BROADCAST, [127, 255, 255, 255]),
        ];
        for (prefix, scope, kind, to) in all {
            // RTA_DST, RTA_PREFSRC, RTA_OIF.
            let message = message(AF_INET, prefix, TABLE_LOCAL, scope, kind).put(1, &to).put(7, &ip);
            found.push(message.put_word(4, LOOPBACK_INDEX).finish());
        }
    }
    if matches!(family, AF_UNSPEC | AF_INET6) && is_wanted(TABLE_LOCAL) {
        let to = Ipv6Addr::LOCALHOST.octets();
        // RTA_PRIORITY, RTA_OIF, RTA_CACHEINFO, RTA_PREF.
        let message = message(AF_INET6, 128, TABLE_LOCAL, SCOPE_UNIVERSE, LOCAL).put(1, &to).put_word(6, 0);
        found.push(message.put_word(4, LOOPBACK_INDEX).put(12, &[0; 32]).put(20, &[0]).finish());
    }
    found
}

/// The way to one address (inet_rtm_getroute, inet6_rtm_getroute).
fn one_route(request: &Request<'_>, port: u32, family: u16) -> Result<Vec<Vec<u8>>, Errno> {
    let to = attribute(request.body(), 12, 1);
    let (wanted, prefix): (IpAddr, u8) = match family {
        AF_INET => {
            let octets: Option<[u8; 4]> = to.and_then(<[u8]>::first_chunk).copied();
            (octets.unwrap_or_default().into(), 32)
        }
        AF_INET6 => {
            let octets: Option<[u8; 16]> = to.and_then(<[u8]>::first_chunk).copied();
            (octets.unwrap_or_default().into(), 128)
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let (to, from) = route(wanted)?;
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let head = route_head(family, prefix, TABLE_LOCAL, SCOPE_UNIVERSE, LOCAL, CLONED);
    let message = Writer::new(request, port, NEWROUTE, 0).raw(&head).put_word(15, TABLE_LOCAL.into());
    let message = message.put(1, &octets(to)).put_word(4, LOOPBACK_INDEX).put(7, &octets(from));
    Ok(vec![message.put(12, &[0; 32]).finish()])
}

#[cfg(test)]
mod tests {
    use super::{Request, answer};
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn any_request_is_answered(
            kind in 0u16..140, flags in any::<u16>(), tail in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let bytes = [vec![0; 16], tail].concat();
            let _ = answer(&Request { kind, flags, sequence: 1, bytes: &bytes }, 1);
        }
    }
}
