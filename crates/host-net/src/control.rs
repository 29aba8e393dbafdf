//! Control messages of the INET families (cmsg(3)): which may be sent, with what sizes, and those received as bytes.

use abi_linux::{Errno, SysResult};

use crate::options::{IP, IPV6, UDP};

/// `struct cmsghdr`.
const HEADER: usize = 16;
/// Room for what the host sends beside a message: some ten messages of up to 64 bytes.
pub const ROOM: usize = 1024;

/// Messages that may be sent, and the sizes of their data (ip_cmsg_send, ip6_datagram_send_ctl, __udp_cmsg_send).
const SENT: &[(i32, i32, &[usize])] = &[
    // IP_TOS, IP_TTL, IP_PKTINFO.
    (IP, 1, &[1, 4]),
    (IP, 2, &[4]),
    (IP, 8, &[12]),
    // IPV6_PKTINFO, IPV6_HOPLIMIT, IPV6_DONTFRAG, IPV6_TCLASS.
    (IPV6, 50, &[20]),
    (IPV6, 52, &[4]),
    (IPV6, 62, &[4]),
    (IPV6, 67, &[4]),
    // UDP_SEGMENT.
    (UDP, 103, &[2]),
];

/// Appends a message of a guest to what is sent by a socket whose own level is `own`: EINVAL for what the host would not
/// know, nothing of another level.
pub fn append(bytes: &mut Vec<u8>, own: i32, level: i32, kind: i32, data: &[u8]) -> SysResult<()> {
    let Some((_, _, sizes)) = SENT.iter().find(|row| (row.0, row.1) == (level, kind)) else {
        return if level == own || level == UDP { Err(Errno::EINVAL) } else { Ok(()) };
    };
    if level != own && level != UDP && own == IP {
        return Ok(());
    }
    if !sizes.contains(&data.len()) || bytes.len() > ROOM {
        return Err(Errno::EINVAL);
    }
    let len = HEADER + data.len();
    bytes.extend_from_slice(&(len as u64).to_ne_bytes());
    bytes.extend_from_slice(&level.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    Ok(())
}

/// The messages that the host has written: level, kind, data.
pub fn each(bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = rest.first_chunk().copied().map(u64::from_ne_bytes)?;
        let len = usize::try_from(len).ok()?;
        let int = |at: usize| rest.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
        let found = (int(8)?, int(12)?, rest.get(HEADER..len)?);
        rest = rest.get(len.checked_next_multiple_of(8)?..).unwrap_or_default();
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::{append, each};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_oneof, proptest};
    use proptest::strategy::Just;

    #[test]
    fn what_is_appended_is_read() {
        let mut bytes = Vec::new();
        append(&mut bytes, 0, 0, 8, &[7; 12]).unwrap();
        append(&mut bytes, 0, 99, 1, &[7; 12]).unwrap();
        append(&mut bytes, 0, 0, 1, &[3]).unwrap();
        let found: Vec<_> = each(&bytes).collect();
        assert_eq!(found, [(0, 8, [7; 12].as_slice()), (0, 1, [3].as_slice())]);
        assert_eq!(append(&mut bytes, 0, 0, 8, &[7; 11]), Err(Errno::EINVAL));
        assert_eq!(append(&mut bytes, 41, 41, 57, &[0; 24]), Err(Errno::EINVAL), "IPV6_RTHDR");
    }

    proptest! {
        #[test]
        fn reading_ends(
            len in prop_oneof![0u64..64, Just(u64::MAX), any::<u64>()],
            tail in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [len.to_ne_bytes().to_vec(), tail].concat();
            let _ = each(&bytes).take(1000).count();
        }
    }
}
