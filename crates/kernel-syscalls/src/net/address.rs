//! Socket addresses to and from the guest (move_addr_to_kernel, move_addr_to_user).

use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;

use crate::cx::Cx;

/// `struct sockaddr_storage`.
pub(super) const MOST: usize = 128;

/// Reads an address: EINVAL for an impossible length.
pub(super) fn read(cx: &Cx, at: u64, len: u32) -> SysResult<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|&len| len <= MOST).ok_or(Errno::EINVAL)?;
    let mut address = vec![0; len];
    cx.mem().read_bytes(at, &mut address)?;
    Ok(address)
}

/// Writes an address, cut to the length that the guest gives at `len_at`, and its full length there.
pub(super) fn write(cx: &Cx, address: &[u8], at: u64, len_at: u64) -> SysResult<()> {
    let len_at = UserRef::<i32>::new(len_at);
    let room = usize::try_from(cx.mem().read(len_at)?).map_err(|_| Errno::EINVAL)?;
    // The length first: it stays where the address cannot be written.
    cx.mem().write(len_at, &(address.len() as i32))?;
    cx.mem().write_bytes(at, address.get(..room).unwrap_or(address))
}
