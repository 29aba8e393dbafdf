//! seccomp(2) and seccomp_unotify(2): installing a filter, and the listener's ioctls.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use abi_linux::{Errno, SysResult};

use crate::{check, check_long};

/// One BPF instruction (struct sock_filter).
pub type Instruction = libc::sock_filter;

/// struct seccomp_notif.
pub type Notification = libc::seccomp_notif;

/// The filter's listener wakes its peer on the same CPU (Linux 6.6, include/uapi/linux/seccomp.h).
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: u64 = 1;
/// _IOW('!', 4, u64).
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: libc::Ioctl = 0x4008_2104;
/// _IOW('!', 2, u64); libc gives the wrong direction of old kernels on some targets.
const SECCOMP_IOCTL_NOTIF_ID_VALID: libc::Ioctl = 0x4008_2102;
/// Only a fatal signal ends a call that the supervisor has received (Linux 5.19).
const FILTER_FLAG_WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
const FILTER_FLAG_NEW_LISTENER: libc::c_ulong = 1 << 3;

/// An all-zero notification, as SECCOMP_IOCTL_NOTIF_RECV wants it.
#[must_use]
pub const fn empty_notification() -> Notification {
    Notification {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
    }
}

/// Takes the next notification; blocks. `slot` must be zeroed ([`empty_notification`]), the kernel says EINVAL
/// otherwise. ENOENT: the caller was killed meanwhile, or (Linux 6.11) no task uses the filter any more.
pub fn receive(listener: BorrowedFd<'_>, slot: &mut Notification) -> SysResult<()> {
    let slot: *mut Notification = slot;
    // SAFETY: `slot` comes from a unique reference to a struct seccomp_notif, which the kernel fills with plain
    // integers and does not keep; the size in the ioctl number is that of the struct.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, slot) };
    check(ret).map(drop)
}

/// How a notification is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Return this value.
    Value(i64),
    /// Return minus this number; may be one of the kernel's restart codes (512 to 516).
    Error(i32),
    /// Let the kernel perform the call.
    Continue,
}

/// Answers a notification. ENOENT: its thread is gone.
pub fn send(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> SysResult<()> {
    let (val, error, flags) = match answer {
        Answer::Value(value) => (value, 0, 0),
        Answer::Error(number) => (0, number.checked_neg().unwrap_or(-libc::EIO), 0),
        Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let response = libc::seccomp_notif_resp { id, val, error, flags };
    let pointer: *const libc::seccomp_notif_resp = &response;
    // SAFETY: `pointer` is to a live struct seccomp_notif_resp, which the kernel only reads.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, pointer) };
    check(ret).map(drop)
}

/// Whether the notification still waits for an answer.
#[must_use]
pub fn id_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    let pointer: *const u64 = &id;
    // SAFETY: `pointer` is to a live u64, which the kernel only reads.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_ID_VALID, pointer) };
    ret == 0
}

/// Where [`add_fd`] puts a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Exactly there, replacing what was there.
    Number(u32),
    /// At the lowest free number.
    LowestFree,
}

/// Installs a copy of `fd`, close-on-exec, in the caller's fd table. Gives the number.
pub fn add_fd(listener: BorrowedFd<'_>, id: u64, fd: BorrowedFd<'_>, at: At) -> SysResult<i32> {
    let srcfd = u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let (flags, newfd) = match at {
        At::Number(number) => (libc::SECCOMP_ADDFD_FLAG_SETFD as u32, number),
        At::LowestFree => (0, 0),
    };
    let request = libc::seccomp_notif_addfd { id, flags, srcfd, newfd, newfd_flags: libc::O_CLOEXEC as u32 };
    let pointer: *const libc::seccomp_notif_addfd = &request;
    // SAFETY: `pointer` is to a live struct seccomp_notif_addfd, which the kernel only reads.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, pointer) };
    check(ret)
}

/// Has wake-ups of listener and caller stay on one CPU (Linux 6.6).
pub fn set_sync_wake_up(listener: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: this ioctl takes its flags by value; no pointer is involved.
    let ret = unsafe {
        libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
    };
    check(ret).map(drop)
}

/// Installs `program` for the calling thread, with a listener whose waits only a fatal signal ends. Needs
/// no_new_privs. Allocation-free, so a child may call it between clone and exec.
pub fn install(program: &[Instruction]) -> SysResult<OwnedFd> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let pointer: *const libc::sock_fprog = &prog;
    // SAFETY: `pointer` and the `len` instructions behind it are live and are only read by the kernel.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            FILTER_FLAG_NEW_LISTENER | FILTER_FLAG_WAIT_KILLABLE_RECV,
            pointer,
        )
    };
    let number = i32::try_from(check_long(ret)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether the kernel knows the flags that [`install`] uses: with a null program it checks flags first
/// (EINVAL) and then the pointer (EFAULT).
#[must_use]
pub fn has_killable_listener() -> bool {
    // SAFETY: a null program is what is wanted here; the kernel answers EFAULT and installs nothing.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            FILTER_FLAG_NEW_LISTENER | FILTER_FLAG_WAIT_KILLABLE_RECV,
            std::ptr::null::<libc::sock_fprog>(),
        )
    };
    check_long(ret) == Err(Errno::EFAULT)
}
