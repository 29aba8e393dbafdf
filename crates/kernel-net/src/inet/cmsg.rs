//! Control messages of levels IPPROTO_IP and IPPROTO_IPV6 (ip(7), ipv6(7); net/ipv4/ip_sockglue.c,
//! net/ipv6/datagram.c). Pure but for the receiver's settings.

use std::net::IpAddr;

use abi_linux::{Errno, SysResult};

use super::address::{self, LOOPBACK_INDEX, Version, shown_v6};
use super::settings::{IP, IPV6, Settings, name};
use crate::socket::RawControl;

/// What a packet says beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) to: IpAddr,
    pub(super) tos: u8,
    pub(super) ttl: i32,
    /// When it was sent, of the real-time clock.
    pub(super) at_ns: u64,
}

/// What a receiver wants to know of a packet (ip_cmsg_recv, ip6_datagram_recv_ctl).
pub(super) fn received(settings: &Settings, version: Version, arrival: &Arrival) -> Vec<RawControl> {
    let mut found = Vec::new();
    let mut put = |is_wanted: bool, level, kind, data: &[u8]| {
        if is_wanted {
            found.push(RawControl { level, kind, data: data.to_vec() });
        }
    };
    if let Some(stamp) = settings.stamp(arrival.at_ns) {
        put(true, stamp.level, stamp.kind, &stamp.data);
    }
    let index = LOOPBACK_INDEX.to_ne_bytes();
    let ttl = arrival.ttl.to_ne_bytes();
    if let IpAddr::V4(to) = arrival.to {
        // Of a group or a broadcast, the address that took it is the interface's own.
        let own =
            if to.is_loopback() && !address::is_broadcast(arrival.to) { to } else { [127, 0, 0, 1].into() };
        let info = [index, own.octets(), to.octets()].concat();
        put(settings.is_on(IP, name::IP_PKTINFO), IP, name::IP_PKTINFO, &info);
        put(settings.is_on(IP, name::IP_RECVTTL), IP, name::IP_TTL, &ttl);
        put(settings.is_on(IP, name::IP_RECVTOS), IP, name::IP_TOS, &[arrival.tos]);
    }
    if version == Version::V6 {
        let info = [shown_v6(arrival.to).octets().as_slice(), &index].concat();
        put(settings.is_on(IPV6, name::IPV6_RECVPKTINFO), IPV6, name::IPV6_PKTINFO, &info);
        put(settings.is_on(IPV6, name::IPV6_RECVHOPLIMIT), IPV6, name::IPV6_HOPLIMIT, &ttl);
        let class = i32::from(arrival.tos).to_ne_bytes();
        put(settings.is_on(IPV6, name::IPV6_RECVTCLASS), IPV6, name::IPV6_TCLASS, &class);
    }
    found
}

const UDP: i32 = 17;
const UDP_SEGMENT: i32 = 103;

/// What control messages say of one packet to be sent.
#[derive(Default, Debug)]
pub(super) struct Sending {
    pub(super) from: Option<IpAddr>,
    pub(super) ttl: Option<i32>,
    pub(super) tos: Option<u8>,
    /// lo was named.
    pub(super) has_interface: bool,
}

/// ip_cmsg_send and ip6_datagram_send_ctl: EINVAL for what they do not know, or a wrong size.
pub(super) fn sending(messages: &[RawControl], version: Version) -> SysResult<Sending> {
    let mut sending = Sending::default();
    for RawControl { level, kind, data } in messages {
        let int = || data.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Errno::EINVAL);
        let address = |ip: IpAddr| {
            let is_known = ip.is_unspecified() || address::is_local(ip);
            let given = Some(ip).filter(|ip| !ip.is_unspecified());
            if is_known { Ok(given) } else { Err(Errno::EINVAL) }
        };
        let index = |word: Option<&[u8; 4]>| match word.map_or(0, |word| u32::from_ne_bytes(*word)) {
            0 => Ok(false),
            LOOPBACK_INDEX => Ok(true),
            _ => Err(Errno::ENODEV),
        };
        match (*level, *kind) {
            (IP, name::IP_PKTINFO) if data.len() == 12 => {
                let octets: [u8; 4] =
                    data.get(4..8).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
                sending.from = address(octets.into())?;
                sending.has_interface = index(data.first_chunk())?;
            }
            (IP, name::IP_TTL) => {
                sending.ttl = Some(int()?).filter(|ttl| (1..=255).contains(ttl));
                sending.ttl.ok_or(Errno::EINVAL)?;
            }
            (IP, name::IP_TOS) if matches!(data.len(), 1 | 4) => sending.tos = data.first().copied(),
            (IPV6, name::IPV6_PKTINFO) if version == Version::V6 && data.len() >= 20 => {
                let octets: [u8; 16] = data.first_chunk().copied().unwrap_or_default();
                sending.from = address(IpAddr::from(octets).to_canonical())?;
                sending.has_interface = index(data.get(16..).and_then(<[u8]>::first_chunk))?;
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
            // UDP_SEGMENT would cut the message, which lo need not do.
            (UDP, UDP_SEGMENT) if data.len() == 2 => {}
            (UDP, _) => return Err(Errno::EINVAL),
            (IP, _) if version == Version::V4 => return Err(Errno::EINVAL),
            (IPV6, _) if version == Version::V6 => return Err(Errno::EINVAL),
            // A level that is not this protocol's is passed over.
            _ => {}
        }
    }
    Ok(sending)
}

#[cfg(test)]
mod tests {
    use super::{Version, sending};
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
                let _ = sending(&messages, version);
            }
        }
    }
}
