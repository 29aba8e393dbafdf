//! Ids across pid namespaces (ioctl_nsfs(2), Linux 6.11).

use std::os::fd::{AsRawFd, BorrowedFd};

use abi_linux::SysResult;

use crate::check;

/// _IOR(0xb7, 8, int)
const NS_GET_PID_IN_PIDNS: libc::Ioctl = 0x8004_b708;
/// _IOR(0xb7, 9, int)
const NS_GET_TGID_IN_PIDNS: libc::Ioctl = 0x8004_b709;

/// The id that our thread `tid` has in the pid namespace `ns`. ENOTTY before Linux 6.11.
pub fn tid_in(ns: BorrowedFd<'_>, tid: i32) -> SysResult<i32> {
    // SAFETY: this ioctl takes the id by value and returns the answer; no pointer is involved.
    let ret = unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_PID_IN_PIDNS, libc::c_long::from(tid)) };
    check(ret)
}

/// The id that the process of our thread `tid` has in the pid namespace `ns`.
pub fn tgid_in(ns: BorrowedFd<'_>, tid: i32) -> SysResult<i32> {
    // SAFETY: this ioctl takes the id by value and returns the answer; no pointer is involved.
    let ret = unsafe { libc::ioctl(ns.as_raw_fd(), NS_GET_TGID_IN_PIDNS, libc::c_long::from(tid)) };
    check(ret)
}
