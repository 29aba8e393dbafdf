//! What a new process does between clone and exec: raw calls that neither allocate nor lock, each safe to call in
//! a child of a process with any number of threads.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use abi_linux::{Errno, SysResult};

use crate::{check, check_long};

/// Which side of a clone we are on.
pub enum Side {
    Parent { pid: i32, pidfd: OwnedFd },
    Child,
}

/// clone(2) as fork(2) does it, with new namespaces `flags`.
///
/// # Safety
/// In the child only functions of this module and of [`crate::seccomp::install`], and other code that neither
/// allocates, locks nor unwinds, may run before it execs or exits.
pub unsafe fn clone(flags: libc::c_int) -> SysResult<Side> {
    let mut pidfd: libc::c_int = -1;
    let pointer: *mut libc::c_int = &mut pidfd;
    let flags = libc::c_long::from(flags) | libc::c_long::from(libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has a copy of everything, so the null stack means "the same place in the
    // copy"; `pointer` is live and receives the pidfd in the parent.
    let ret = unsafe { libc::syscall(libc::SYS_clone, flags, 0, pointer, 0, 0) };
    let pid = i32::try_from(check_long(ret)?).map_err(|_| Errno::EAGAIN)?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent { pid, pidfd })
}

/// fork(2) with new namespaces `flags`, and with the caller's parent as the child's, too (CLONE_PARENT). The child's id,
/// and 0 in the child.
///
/// # Safety
/// As [`clone`].
pub unsafe fn clone_sibling(flags: libc::c_int) -> SysResult<i32> {
    let flags = libc::c_long::from(flags) | libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has a copy of everything; null pointers ask for nothing.
    let ret = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    i32::try_from(check_long(ret)?).map_err(|_| Errno::EAGAIN)
}

/// setns(2): enters namespaces of the process behind the pidfd `number`.
pub fn enter_namespaces(number: i32, flags: libc::c_int) -> SysResult<()> {
    // SAFETY: integers only.
    let ret = unsafe { libc::setns(number, flags) };
    check(ret).map(drop)
}

/// Ends the calling process at once.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit never returns and runs no handlers.
    unsafe { libc::_exit(code) }
}

/// mount(2); a null source, type or data is an empty string's job nowhere, so `Option`.
pub fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    data: Option<&CStr>,
) -> SysResult<()> {
    let pointer = |string: Option<&CStr>| string.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null or a live NUL-terminated string; the kernel only reads them.
    let ret =
        unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data).cast()) };
    check(ret).map(drop)
}

/// chdir(2).
pub fn chdir(path: &CStr) -> SysResult<()> {
    // SAFETY: `path` is a live NUL-terminated string.
    let ret = unsafe { libc::chdir(path.as_ptr()) };
    check(ret).map(drop)
}

/// pivot_root(".", "."): stacks the old root on the new one (pivot_root(2), NOTES).
pub fn pivot_root_here() -> SysResult<()> {
    let here = c".".as_ptr();
    // SAFETY: both arguments are the same live NUL-terminated string.
    let ret = unsafe { libc::syscall(libc::SYS_pivot_root, here, here) };
    check_long(ret).map(drop)
}

/// Lazily unmounts what is mounted on top at `path`.
pub fn detach_mount(path: &CStr) -> SysResult<()> {
    // SAFETY: `path` is a live NUL-terminated string.
    let ret = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    check(ret).map(drop)
}

/// setgroups(2) to no groups.
pub fn clear_groups() -> SysResult<()> {
    // The raw call: libc's wrapper talks to the other threads, which do not exist in the child.
    // SAFETY: with a count of 0 the list is not looked at.
    let ret = unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) };
    check_long(ret).map(drop)
}

/// Sets all three group ids, then all three user ids. Raw calls, as in [`clear_groups`].
pub fn become_user(uid: u32, gid: u32) -> SysResult<()> {
    // SAFETY: integers only.
    let ret = unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) };
    check_long(ret)?;
    // SAFETY: integers only.
    let ret = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    check_long(ret).map(drop)
}

/// prctl(2) with integer arguments.
pub fn prctl(option: libc::c_int, arg: libc::c_ulong) -> SysResult<libc::c_int> {
    // SAFETY: callers pass options whose argument is an integer; PR_* options of this crate's users take no pointer.
    let ret = unsafe { libc::prctl(option, arg, 0, 0, 0) };
    check(ret)
}

/// Empties the bounding, ambient, effective, permitted and inheritable capability sets.
pub fn drop_capabilities() -> SysResult<()> {
    crate::confine::keep_capabilities(0)
}

/// Makes the caller the leader of a process group of its own.
pub fn new_group() -> SysResult<()> {
    // SAFETY: integers only.
    let ret = unsafe { libc::setpgid(0, 0) };
    check(ret).map(drop)
}

/// struct sigaction of the kernel (arch/x86/include/uapi/asm/signal.h), which is not libc's.
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Gives every signal its default action, and blocks none. What our caller had ignored stays so, as through an exec
/// (nohup(1), a shell's background); SIGPIPE does not, which Rust's start ignores whatever it was, nor do 32 and 33, which
/// glibc's posix_spawn(3) leaves ignored since they are its own.
pub fn reset_signals() -> SysResult<()> {
    let action = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let pointer: *const KernelAction = &action;
    let none = std::ptr::null_mut::<KernelAction>();
    const OF_LIBC: std::ops::RangeInclusive<libc::c_int> = 32..=33;
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        let mut old = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
        let found: *mut KernelAction = &mut old;
        // SAFETY: `found` is to a live struct of the kernel's layout with a mask of 8 bytes; nothing is set.
        let ret = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, none, found, 8) };
        check_long(ret)?;
        if old.handler == libc::SIG_IGN && signal != libc::SIGPIPE && !OF_LIBC.contains(&signal) {
            continue;
        }
        // SAFETY: `pointer` is to a live struct of the kernel's layout with a mask of 8 bytes; SIG_DFL runs no code.
        let ret = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, pointer, none, 8) };
        check_long(ret)?;
    }
    let mask: u64 = 0;
    let pointer: *const u64 = &mask;
    // SAFETY: `pointer` is to 8 live bytes, the size that is passed; the old mask is not wanted.
    let ret = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, pointer, std::ptr::null_mut::<u64>(), 8)
    };
    check_long(ret).map(drop)
}

/// Sets a resource limit, soft and hard.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> SysResult<()> {
    set_limit_of(0, resource, soft, hard)
}

/// prlimit(2) on a process; 0 is the caller.
pub fn set_limit_of(pid: i32, resource: u32, soft: u64, hard: u64) -> SysResult<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let pointer: *const libc::rlimit64 = &new;
    let old = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `pointer` is to a live struct rlimit64, only read; the old limit is not wanted.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, pointer, old) };
    check_long(ret).map(drop)
}

/// The soft and hard limit of a process; 0 is the caller.
pub fn limit_of(pid: i32, resource: u32) -> SysResult<(u64, u64)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let pointer: *mut libc::rlimit64 = &mut old;
    let new = std::ptr::null::<libc::rlimit64>();
    // SAFETY: `pointer` is to a live, unique struct rlimit64, which the kernel fills.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, pointer) };
    check_long(ret)?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Puts a copy of `fd` at `number`, not close-on-exec, whatever was there.
pub fn place_fd(fd: i32, number: i32) -> SysResult<()> {
    // SAFETY: integers only. The child gives up all its descriptors next, so none of an owner is closed under it
    // that would still be used.
    let ret = unsafe { libc::dup2(fd, number) };
    check(ret).map(drop)
}

/// Closes the descriptors `first..=last`.
pub fn close_fds(first: u32, last: u32) -> SysResult<()> {
    // SAFETY: integers only; see place_fd about owners.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check_long(ret).map(drop)
}

/// Marks all descriptors from `first` on close-on-exec, those that were inherited included.
pub fn close_on_exec_from(first: u32) -> SysResult<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: integers only; no descriptor is closed here.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    check_long(ret).map(drop)
}

/// Sends bytes on a socket, all or none, without SIGPIPE.
pub fn send(socket: i32, bytes: &[u8]) -> SysResult<()> {
    // SAFETY: the kernel reads `bytes.len()` bytes of the live `bytes`.
    let ret = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if ret == -1 { Err(crate::last()) } else { Ok(()) }
}

/// write(2), all or an error.
pub fn write(file: i32, bytes: &[u8]) -> SysResult<()> {
    // SAFETY: the kernel reads `bytes.len()` bytes of the live `bytes`.
    let ret = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    match usize::try_from(ret) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(Errno::EIO),
        Err(_) => Err(crate::last()),
    }
}

/// Receives one byte; `None` at the end of the stream. Without `block` EAGAIN says that there is none yet.
pub fn receive(socket: i32, block: bool) -> SysResult<Option<u8>> {
    let mut byte = 0u8;
    let pointer: *mut u8 = &mut byte;
    let flags = if block { 0 } else { libc::MSG_DONTWAIT };
    loop {
        // SAFETY: the kernel writes at most one byte to the live, unique `pointer`.
        let ret = unsafe { libc::recv(socket, pointer.cast(), 1, flags) };
        match ret {
            -1 if crate::last() == Errno::EINTR => {}
            -1 => return Err(crate::last()),
            0 => return Ok(None),
            _ => return Ok(Some(byte)),
        }
    }
}

/// NULL-terminated pointers for exec, with the strings that they point to.
pub struct Strings {
    /// Owns what `pointers` points to; never changed after new().
    _strings: Vec<std::ffi::CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Builds the array; call it before clone.
    #[must_use]
    pub fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

/// execveat(fd, "", argv, envp, AT_EMPTY_PATH). Returns only when it failed.
#[must_use]
pub fn exec_fd(fd: i32, argv: &Strings, envp: &Strings) -> Errno {
    // SAFETY: both arrays are NULL-terminated and point to strings that their `Strings` owns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd,
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    crate::last()
}

/// The number behind a borrowed descriptor, for the calls above that take numbers because the child's table is
/// rebuilt under its owners.
#[must_use]
pub fn number(fd: BorrowedFd<'_>) -> i32 {
    fd.as_raw_fd()
}

/// Marks a descriptor close-on-exec.
pub fn close_on_exec(fd: i32) -> SysResult<()> {
    // SAFETY: F_SETFD takes an integer.
    let ret = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    check(ret).map(drop)
}
