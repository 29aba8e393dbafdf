//! pidfds: opening, asking who it is, taking a descriptor out of another process.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use abi_linux::{Errno, SysResult};

use crate::{check, check_long};

/// PIDFD_THREAD of include/uapi/linux/pidfd.h: the pidfd stands for one thread (Linux 6.9).
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;
/// _IOWR(0xff, 11, struct pidfd_info of 64 bytes).
const PIDFD_GET_INFO: libc::Ioctl = 0xc040_ff0b;
const PIDFD_INFO_PID: u64 = 1;

/// struct pidfd_info, version 0 (64 bytes).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// Who a pidfd stands for, in our pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    pub tgid: i32,
    pub ppid: i32,
}

fn owned(ret: libc::c_long) -> SysResult<OwnedFd> {
    let number = i32::try_from(check_long(ret)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn open(pid: i32, flags: libc::c_uint) -> SysResult<OwnedFd> {
    // SAFETY: pidfd_open takes integers only.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) };
    owned(ret)
}

/// A pidfd of the process whose leader is `pid`.
pub fn open_process(pid: i32) -> SysResult<OwnedFd> {
    open(pid, 0)
}

/// A pidfd of a thread. EINVAL before Linux 6.9.
pub fn open_thread(tid: i32) -> SysResult<OwnedFd> {
    open(tid, PIDFD_THREAD)
}

/// A copy of descriptor `number` of another process (pidfd_getfd(2)).
pub fn take_fd(pidfd: BorrowedFd<'_>, number: i32) -> SysResult<OwnedFd> {
    // SAFETY: pidfd_getfd takes integers only.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    owned(ret)
}

/// Sends a signal as kill(2) does, but never to another process that has the id now.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> SysResult<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means "as kill(2)"; the rest are integers.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) };
    check_long(ret).map(drop)
}

/// Queues a signal as rt_sigqueueinfo(2) does, but never to another process that has the id now.
pub fn queue_signal(pidfd: BorrowedFd<'_>, info: &crate::signal::Info) -> SysResult<()> {
    let (number, pointer): (_, *const crate::signal::Info) = (pidfd.as_raw_fd(), info);
    // SAFETY: `pointer` is to 128 live bytes, the size of a siginfo_t, which the kernel reads; the rest are integers.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, info.signo, pointer, 0) };
    check_long(ret).map(drop)
}

/// Asks who it is (Linux 6.13; ENOTTY before).
pub fn info(pidfd: BorrowedFd<'_>) -> SysResult<Info> {
    let mut raw = RawInfo { mask: PIDFD_INFO_PID, ..RawInfo::default() };
    let pointer: *mut RawInfo = &mut raw;
    // SAFETY: `pointer` is to a live struct of the size in the ioctl number, and the kernel writes integers.
    let ret = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, pointer) };
    check(ret)?;
    let id = |value: u32| i32::try_from(value).map_err(|_| Errno::ESRCH);
    Ok(Info { tgid: id(raw.tgid)?, ppid: id(raw.ppid)? })
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

/// Waits for our own child behind `pidfd` to end, and reaps it.
pub fn reap(pidfd: BorrowedFd<'_>) -> SysResult<Ending> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    loop {
        // SAFETY: siginfo_t is a C struct of integers and pointers for which all zeroes is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is live and unique; the kernel fills it.
        let ret = unsafe { libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED) };
        match check(ret) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // SAFETY: waitid(2) fills si_status whenever it succeeds without WNOHANG.
        let status = unsafe { info.si_status() };
        return Ok(if info.si_code == libc::CLD_EXITED {
            Ending::Exited(status)
        } else {
            Ending::Killed(status)
        });
    }
}
