//! Structures that say their own size, so that they can grow (copy_struct_from_user of lib/usercopy.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use zerocopy::{FromBytes, IntoBytes};

use crate::user::GuestMem;

/// Callers may say a page at most.
const MAX_SIZE: usize = 4096;

/// What a guest gave as a structure that has grown since, or that has yet to grow: missing bytes are zero; E2BIG when
/// bytes that are not known here are anything else.
fn fit<T: FromBytes + IntoBytes>(given: &[u8]) -> SysResult<T> {
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    let (known, unknown) = given.split_at(given.len().min(bytes.len()));
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    if let Some(part) = bytes.get_mut(..known.len()) {
        part.copy_from_slice(known);
    }
    Ok(value)
}

impl GuestMem<'_> {
    /// Reads a structure of which the guest has `size` bytes: EINVAL below `least`, E2BIG over a page.
    pub fn read_sized<T: FromBytes + IntoBytes>(&self, at: u64, size: usize, least: usize) -> SysResult<T> {
        if size < least {
            return Err(Errno::EINVAL);
        }
        if size > MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        let mut given = vec![0; size];
        self.read_bytes(at, &mut given)?;
        fit(&given)
    }
}

#[cfg(test)]
mod tests {
    use super::fit;
    use abi_linux::Errno;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn known_bytes_are_kept_and_others_must_be_zero(
            given in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 255]), 0..64)
        ) {
            let tail_is_zero = given.iter().skip(16).all(|&byte| byte == 0);
            match fit::<[u8; 16]>(&given) {
                Ok(value) => {
                    prop_assert!(tail_is_zero);
                    let padded = given.iter().copied().chain(std::iter::repeat(0)).take(16);
                    prop_assert_eq!(value.to_vec(), padded.collect::<Vec<_>>());
                }
                Err(errno) => prop_assert!(!tail_is_zero && errno == Errno::E2BIG),
            }
        }

        #[test]
        fn any_bytes_fit_or_are_refused(given in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = fit::<[u64; 8]>(&given);
        }
    }
}
