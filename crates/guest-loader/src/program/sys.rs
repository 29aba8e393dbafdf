//! The calls that the loader makes, and no others: mmap, munmap, mprotect, clone, wait4, setpgid,
//! exit_group and the private ones.

use core::arch::asm;

use crate::Failure;
use crate::protocol::{INIT_EVENT, LOADER_DONE, LOADER_INFO, MAX_PLAN_LEN, OUTCOME_OK};
use crate::stack::Image;

const SYS_MMAP: u64 = 9;
const SYS_MPROTECT: u64 = 10;
const SYS_MUNMAP: u64 = 11;
const SYS_CLONE: u64 = 56;
const SYS_WAIT4: u64 = 61;
const SYS_SETPGID: u64 = 109;
const SYS_EXIT_GROUP: u64 = 231;

const SIGCHLD: u64 = 17;
const WUNTRACED: u64 = 2;
const WCONTINUED: u64 = 8;

pub(crate) const EINTR: u64 = 4;
pub(crate) const EINVAL: u64 = 22;

pub(crate) const PROT_NONE: u64 = 0;
pub(crate) const PROT_READ: u64 = 1;
pub(crate) const PROT_WRITE: u64 = 2;
pub(crate) const PROT_EXEC: u64 = 4;
pub(crate) const PROT_GROWSDOWN: u64 = 0x0100_0000;

pub(crate) const MAP_PRIVATE: u64 = 0x02;
pub(crate) const MAP_FIXED: u64 = 0x10;
pub(crate) const MAP_ANONYMOUS: u64 = 0x20;
pub(crate) const MAP_NORESERVE: u64 = 0x4000;
pub(crate) const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// A system call; `Err` holds the errno.
///
/// # Safety
/// The call must not change memory that Rust code relies on, other than through `args`.
unsafe fn call(nr: u64, args: [u64; 6]) -> Result<u64, u64> {
    let [a, b, c, d, e, f] = args;
    let result: u64;
    // SAFETY: the register convention is the x86_64 system call's; the effect is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") nr => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if result > -4096i64 as u64 { Err(result.wrapping_neg()) } else { Ok(result) }
}

/// mmap(2).
///
/// # Safety
/// With MAP_FIXED the range holds nothing that this program uses.
pub(crate) unsafe fn mmap(addr: u64, len: u64, prot: u64, flags: u64, fd: i32, off: u64) -> Result<u64, u64> {
    // SAFETY: only a fixed mapping replaces memory; the caller vouches for that range.
    unsafe { call(SYS_MMAP, [addr, len, prot, flags, fd as i64 as u64, off]) }
}

/// munmap(2).
///
/// # Safety
/// The range holds nothing that this program uses.
pub(crate) unsafe fn munmap(addr: u64, len: u64) {
    // SAFETY: the caller vouches for the range. The result does not matter: what stays is unused.
    let _ = unsafe { call(SYS_MUNMAP, [addr, len, 0, 0, 0, 0]) };
}

/// mprotect(2) that only adds permissions.
pub(crate) fn make_executable(addr: u64, len: u64) -> Result<u64, u64> {
    let prot = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN;
    // SAFETY: memory that was readable and writable stays so.
    unsafe { call(SYS_MPROTECT, [addr, len, prot, 0, 0, 0]) }
}

/// mprotect(2).
///
/// # Safety
/// The range holds nothing that this program uses in another way.
pub(crate) unsafe fn protect(addr: u64, len: u64, prot: u64) -> Result<u64, u64> {
    // SAFETY: the caller vouches for the range.
    unsafe { call(SYS_MPROTECT, [addr, len, prot, 0, 0, 0]) }
}

/// fork: the child's pid, or 0 in the child.
pub(crate) fn fork() -> Result<u64, u64> {
    // SAFETY: no CLONE_VM, so the child has its own copy of everything.
    unsafe { call(SYS_CLONE, [SIGCHLD, 0, 0, 0, 0, 0]) }
}

/// wait4(-1) that also reports stops and continuations: pid and raw status.
pub(crate) fn wait() -> Result<(u64, u32), u64> {
    let mut status = 0u32;
    let pointer = &raw mut status as u64;
    // SAFETY: the kernel writes four bytes to `status`.
    let pid = unsafe { call(SYS_WAIT4, [u64::MAX, pointer, WUNTRACED | WCONTINUED, 0, 0, 0]) }?;
    Ok((pid, status))
}

/// setpgid(0, 0). The supervisor's books decide; there is nothing to do about a refusal.
pub(crate) fn lead_process_group() {
    // SAFETY: no memory is involved.
    let _ = unsafe { call(SYS_SETPGID, [0; 6]) };
}

pub(crate) fn exit_group(code: u64) -> ! {
    loop {
        // SAFETY: does not return.
        let _ = unsafe { call(SYS_EXIT_GROUP, [code, 0, 0, 0, 0, 0]) };
    }
}

/// The private call `LOADER_INFO`: length of the plan.
///
/// # Safety
/// `MAX_PLAN_LEN` bytes at `buf` are writable and not borrowed.
pub(crate) unsafe fn info(buf: *mut u8, role: u64, signal_page: u64) -> Result<u64, u64> {
    // SAFETY: the supervisor writes at most that many bytes at `buf`.
    unsafe { call(LOADER_INFO, [buf as u64, MAX_PLAN_LEN as u64, role, signal_page, 0, 0]) }
}

/// The private call `LOADER_DONE` for a complete image.
pub(crate) fn done(image: &Image, exe_bias: u64) {
    let args = [OUTCOME_OK, image.sp, image.vdso, exe_bias, image.arg_start, image.arg_end];
    // SAFETY: the supervisor takes numbers and writes nothing.
    let _ = unsafe { call(LOADER_DONE, args) };
}

/// The private call `LOADER_DONE` for a failure. The supervisor's answer is SIGKILL.
pub(crate) fn fail(failure: &Failure) -> ! {
    // SAFETY: the supervisor takes numbers and writes nothing.
    let _ = unsafe { call(LOADER_DONE, [failure.step, failure.errno, failure.index, 0, 0, 0]) };
    exit_group(127)
}

/// The private call `INIT_EVENT`.
pub(crate) fn init_event(event: u64, pid: u64, status: u32) {
    // SAFETY: the supervisor takes numbers and writes nothing.
    let _ = unsafe { call(INIT_EVENT, [event, pid, u64::from(status), 0, 0, 0]) };
}
