//! process_vm_readv(2) and process_vm_writev(2), one call each.

use abi_linux::SysResult;

use crate::last;

/// Most pieces of one call (UIO_MAXIOV of include/uapi/linux/uio.h).
pub const MAX_PIECES: usize = 1024;

/// A piece of another process's memory: any address at all is safe to name.
pub type Piece = libc::iovec;

/// A remote piece at `addr`.
#[must_use]
pub const fn piece(addr: u64, len: usize) -> Piece {
    Piece { iov_base: std::ptr::without_provenance_mut(addr as usize), iov_len: len }
}

fn count(ret: isize) -> SysResult<usize> {
    usize::try_from(ret).map_err(|_| last())
}

/// Copies `remote` of thread `tid` into `local`; short where a page is missing.
pub fn read(tid: i32, remote: &[Piece], local: &mut [u8]) -> SysResult<usize> {
    let mine = libc::iovec { iov_base: local.as_mut_ptr().cast(), iov_len: local.len() };
    let pointer: *const libc::iovec = &mine;
    // SAFETY: the kernel writes at most `local.len()` bytes, into `local`, which we hold uniquely; remote
    // addresses are looked up in the other process and never followed here.
    let ret =
        unsafe { libc::process_vm_readv(tid, pointer, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0) };
    count(ret)
}

/// Copies `local` into `remote` of thread `tid`; short where a page is missing or read-only.
pub fn write(tid: i32, remote: &[Piece], local: &[u8]) -> SysResult<usize> {
    let mine = libc::iovec { iov_base: local.as_ptr().cast_mut().cast(), iov_len: local.len() };
    let pointer: *const libc::iovec = &mine;
    // SAFETY: the kernel only reads `local`; remote addresses belong to the other process. That the other
    // process is not the caller itself is the caller's concern only for its own data, which `tid` of a
    // guest never names.
    let ret = unsafe {
        libc::process_vm_writev(tid, pointer, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0)
    };
    count(ret)
}
