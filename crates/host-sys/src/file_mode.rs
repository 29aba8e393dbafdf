//! fchmodat2(2) (Linux 6.6), which rustix does not wrap: the mode of an O_PATH descriptor's file.

use std::os::fd::{AsRawFd, BorrowedFd};

use abi_linux::SysResult;

/// Sets the permission bits of the file that `fd` (O_PATH or not) refers to.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> SysResult<()> {
    let empty = c"";
    // SAFETY: `fd` is open for the length of the call; the path is a static NUL-terminated string; the
    // kernel reads nothing else and writes nothing.
    let ret = unsafe {
        libc::syscall(libc::SYS_fchmodat2, fd.as_raw_fd(), empty.as_ptr(), mode & 0o7777, libc::AT_EMPTY_PATH)
    };
    crate::check_long(ret).map(drop)
}
