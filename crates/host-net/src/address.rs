//! Guests' socket addresses, built anew: of the families that a socket of ours could take, the fields that the host reads;
//! of others the family's number alone, for which the host has the right errno.

use abi_linux::{Errno, SysResult};

use crate::kinds::{AF_INET, AF_INET6};

const AF_UNSPEC: u16 = 0;
/// `struct sockaddr_in` up to its padding, and `struct sockaddr_in6`.
const USED_V4: usize = 8;
const MOST: usize = 28;

/// An address for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    bytes: [u8; MOST],
    len: usize,
}

impl Address {
    /// From a guest's bytes: EINVAL without a family.
    pub fn from_guest(guest: &[u8]) -> SysResult<Self> {
        let family = guest.first_chunk().copied().map(u16::from_ne_bytes).ok_or(Errno::EINVAL)?;
        let used = match family {
            AF_INET | AF_UNSPEC => USED_V4,
            AF_INET6 => MOST,
            _ => size_of::<u16>(),
        };
        let (mut bytes, len) = ([0; MOST], guest.len().min(MOST));
        let used = used.min(len);
        if let (Some(to), Some(from)) = (bytes.get_mut(..used), guest.get(..used)) {
            to.copy_from_slice(from);
        }
        Ok(Self { bytes, len })
    }

    /// For the host.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// AF_INET and its like.
    #[must_use]
    pub fn family(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[0], self.bytes[1]])
    }

    /// The port, where the address is long enough to have one.
    #[must_use]
    pub fn port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Just;

    #[test]
    fn foreign_families_keep_nothing_but_their_number() {
        let path = Address::from_guest(b"\x01\x00/run/secret.sock\0").unwrap();
        assert_eq!(path.as_bytes(), [&[1u8][..], &[0; 18]].concat());
        assert_eq!(Address::from_guest(&[2]), Err(Errno::EINVAL));
        let padded =
            Address::from_guest(&[[2, 0, 0, 80, 127, 0, 0, 1].as_slice(), &[0xff; 8]].concat()).unwrap();
        assert_eq!(padded.as_bytes()[8..], [0; 8]);
    }

    proptest! {
        #[test]
        fn nothing_is_invented(
            family in prop_oneof![Just(0u16), Just(2), Just(10), any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 0..126),
        ) {
            let guest = [family.to_ne_bytes().to_vec(), rest].concat();
            let built = Address::from_guest(&guest).unwrap();
            prop_assert_eq!(built.as_bytes().len(), guest.len().min(28));
            prop_assert_eq!(built.family(), family);
            prop_assert!(built.as_bytes().iter().zip(&guest).all(|(ours, theirs)| *ours == 0 || ours == theirs));
        }
    }
}
