//! Signals to guests, and the signal that wakes our own threads.

use abi_linux::SysResult;

use crate::{check, check_long};

/// tgkill(2).
pub fn kill_thread(tgid: i32, tid: i32, signal: i32) -> SysResult<()> {
    // SAFETY: tgkill takes integers only.
    let ret = unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) };
    check_long(ret).map(drop)
}

/// siginfo_t of a signal that carries a value: the fields that SI_QUEUE and SI_TIMER share.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Info {
    pub signo: i32,
    pub errno: i32,
    /// Negative: the kernel refuses others from a process.
    pub code: i32,
    pub padding: i32,
    /// si_pid, or si_timerid.
    pub first: i32,
    /// si_uid, or si_overrun.
    pub second: i32,
    pub value: u64,
    pub rest: [u64; 12],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());

/// rt_tgsigqueueinfo(2).
pub fn queue_to_thread(tgid: i32, tid: i32, info: &Info) -> SysResult<()> {
    let pointer: *const Info = info;
    // SAFETY: `pointer` is to 128 live bytes, the size of a siginfo_t, which the kernel reads; the rest are integers.
    let ret = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, info.signo, pointer) };
    check_long(ret).map(drop)
}

/// The calling thread's id.
#[must_use]
pub fn own_tid() -> i32 {
    // SAFETY: gettid has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// Gives `signal` a handler that does nothing and does not restart calls, so that it ends a blocking call of
/// the thread it is sent to.
pub fn make_interrupting(signal: i32) -> SysResult<()> {
    // SAFETY: sigaction is a C struct for which all zeroes is a value (no flags, empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = nothing;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the handler touches nothing, so it may run anywhere; `action` is live; the old one is not wanted.
    let ret = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    check(ret).map(drop)
}

/// Lets `signal` through to the calling thread.
pub fn unblock(signal: i32) -> SysResult<()> {
    let bit = u32::try_from(signal.checked_sub(1).unwrap_or(-1)).map_err(|_| abi_linux::Errno::EINVAL)?;
    let mask = 1u64.checked_shl(bit).ok_or(abi_linux::Errno::EINVAL)?;
    let pointer: *const u64 = &mask;
    let old = std::ptr::null_mut::<u64>();
    // SAFETY: `pointer` is to 8 live bytes, the size of the kernel's sigset_t that is passed; the old mask is not
    // wanted. It concerns the calling thread alone.
    let ret = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_UNBLOCK, pointer, old, 8) };
    check_long(ret).map(drop)
}
