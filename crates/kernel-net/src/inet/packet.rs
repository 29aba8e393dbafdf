//! IP headers, checksums, and the echo of ICMP, as bytes (RFC 791, 792, 1071, 4443). Pure.

use std::net::IpAddr;

use super::{ICMP, ICMPV6};

const HEADER_V4: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;
/// ICMP_ECHO, ICMP_ECHOREPLY, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY, and what comes before their data.
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
const ICMP_HEADER: usize = 8;

/// What matters of a packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) protocol: i32,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) tos: u8,
    pub(super) ttl: i32,
    /// When it was sent, of the real-time clock.
    pub(super) at_ns: u64,
}

/// The Internet checksum of some pieces, of which all but the last have an even length.
fn checksum(pieces: &[&[u8]]) -> u16 {
    let words = pieces.iter().flat_map(|piece| piece.chunks(2));
    let word = |chunk: &[u8]| match *chunk {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    let mut sum: u64 = words.map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The header of a v4 packet with `len` bytes of payload.
fn header_v4(header: &Header, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x45, header.tos];
    bytes.extend_from_slice(&u16::try_from(HEADER_V4 + len).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&DONT_FRAGMENT.to_be_bytes());
    bytes.push(u8::try_from(header.ttl).unwrap_or(u8::MAX));
    bytes.push(u8::try_from(header.protocol).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend(octets(header.from));
    bytes.extend(octets(header.to));
    let sum = checksum(&[&bytes]);
    bytes.splice(10..12, sum.to_be_bytes());
    bytes
}

/// The packet as its receivers see it: of v6 they see no header.
pub(super) fn assemble(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = if header.to.is_ipv4() { header_v4(header, payload.len()) } else { Vec::new() };
    bytes.extend_from_slice(payload);
    bytes
}

/// What follows the header in a packet made by [`assemble`].
pub(super) fn payload<'a>(header: &Header, bytes: &'a [u8]) -> &'a [u8] {
    let skip =
        if header.to.is_ipv4() { bytes.first().map_or(0, |first| usize::from(first & 15) * 4) } else { 0 };
    bytes.get(skip..).unwrap_or_default()
}

/// A packet whose header the guest has made, with what the kernel fills in (raw_send_hdrinc). `None` when it is no
/// packet.
pub(super) fn with_header(bytes: &[u8], route: &Header) -> Option<(Header, Vec<u8>)> {
    let mut packet = bytes.to_vec();
    let length = usize::from(packet.first()? & 15) * 4;
    if length < HEADER_V4 || packet.len() < length {
        return None;
    }
    let total = u16::try_from(packet.len()).ok()?;
    packet.splice(2..4, total.to_be_bytes());
    if packet.get(12..16)? == [0; 4] {
        packet.splice(12..16, octets(route.from));
    }
    packet.splice(10..12, [0; 2]);
    let sum = checksum(&[packet.get(..length)?]);
    packet.splice(10..12, sum.to_be_bytes());
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = packet.get(at..)?.first_chunk().copied()?;
        Some(octets.into())
    };
    let header = Header {
        protocol: i32::from(*packet.get(9)?),
        from: address(12)?,
        to: route.to,
        tos: *packet.get(1)?,
        ttl: i32::from(*packet.get(8)?),
        at_ns: route.at_ns,
    };
    Some((header, packet))
}

fn checksum_v6(header: &Header, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let next = header.protocol.to_be_bytes();
    checksum(&[&octets(header.from), &octets(header.to), &length, &next, payload])
}

/// A message of ICMPv6, whose checksum is the kernel's work. `None` when it is too short for one.
pub(super) fn with_checksum(payload: &[u8], header: &Header) -> Option<Vec<u8>> {
    let mut bytes = payload.to_vec();
    bytes.get_mut(2..4)?.fill(0);
    let sum = checksum_v6(header, &bytes);
    bytes.splice(2..4, sum.to_be_bytes());
    Some(bytes)
}

/// What ICMP sends back (icmp_echo, icmpv6_echo_reply); nothing for what is no sound echo request.
pub(super) fn echo_reply(header: &Header, payload: &[u8]) -> Option<(Header, Vec<u8>)> {
    if payload.len() < ICMP_HEADER {
        return None;
    }
    let back = Header { from: header.to, to: header.from, ttl: 64, ..*header };
    let mut reply = payload.to_vec();
    match (header.protocol, header.to, payload.first()) {
        (ICMP, IpAddr::V4(_), Some(&ECHO)) if checksum(&[payload]) == 0 => {
            reply.splice(..4, [ECHO_REPLY, 0, 0, 0]);
            let sum = checksum(&[&reply]);
            reply.splice(2..4, sum.to_be_bytes());
            Some((back, assemble(&back, &reply)))
        }
        (ICMPV6, IpAddr::V6(_), Some(&ECHO_V6)) => {
            reply.splice(..2, [ECHO_REPLY_V6, 0]);
            Some((back, with_checksum(&reply, &back)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, assemble, checksum, echo_reply, payload, with_header};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn icmp() -> Header {
        Header {
            protocol: 1,
            from: [127, 0, 0, 1].into(),
            to: [127, 0, 0, 2].into(),
            tos: 0,
            ttl: 64,
            at_ns: 0,
        }
    }

    #[test]
    fn echo_is_answered_when_its_checksum_is_right() {
        let mut request = vec![8, 0, 0, 0, 1, 2, 0, 1, 9];
        assert_eq!(echo_reply(&icmp(), &request), None);
        let sum = checksum(&[&request]);
        request.splice(2..4, sum.to_be_bytes());
        let (back, reply) = echo_reply(&icmp(), &request).expect("an answer");
        assert_eq!((back.from, back.to), (icmp().to, icmp().from));
        assert_eq!(checksum(&[&reply[..20]]), 0);
        assert_eq!((reply[20], &reply[24..]), (0, &request[4..]));
        assert_eq!(echo_reply(&back, payload(&back, &reply)), None, "a reply is not answered");
    }

    proptest! {
        #[test]
        fn packets_never_panic(protocol in 0i32..256, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let header = Header { protocol, ..icmp() };
            let packet = assemble(&header, &bytes);
            prop_assert_eq!(payload(&header, &packet), bytes.as_slice());
            let _ = echo_reply(&header, &bytes);
            if let Some((header, packet)) = with_header(&bytes, &header) {
                let _ = payload(&header, &packet);
            }
        }
    }
}
