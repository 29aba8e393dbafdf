//! clone(2), fork(2), vfork(2). All flags are registers, so the host can perform what was checked.
//!
//! A thread shares everything, a process what it asks for. Descriptors that processes have in common are our business
//! alone: the host, whose tables hold mapped files and now and then the loader, performs such a clone without CLONE_FILES.

use abi_linux::raw::general::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_DETACHED, CLONE_FILES, CLONE_FS, CLONE_IO, CLONE_NEWIPC,
    CLONE_NEWNS, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND,
    CLONE_SYSVSEM, CLONE_THREAD, CLONE_VFORK, CLONE_VM, CSIGNAL,
};
use abi_linux::signal::{NSIG, Signal};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_task::limits::{INFINITY, Resource};
use kernel_task::namespaces::{CLONE_NAMESPACES, Changed, ChildChange, ChildFiles};

use super::{check_pointer, namespaces};
use crate::cx::{Cx, Outcome};
use crate::stub;

/// CLONE_NEWTIME is within the exit signal of clone(2): only unshare(2) knows it.
const NAMESPACES: u32 = CLONE_NAMESPACES & !CLONE_NEWTIME;
/// What threads and processes may ask for.
const COMMON: u32 = CLONE_VM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_SYSVSEM
    | CLONE_IO
    | CLONE_DETACHED;
/// What processes may ask for besides.
const SHARED: u32 = CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND;
/// What a thread must share.
const THREAD: u32 = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_FS | CLONE_FILES;

const SYS_CLONE: i32 = 56;
const SYS_FORK: i32 = 57;
const SYS_VFORK: i32 = 58;

/// What a clone makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Thread,
    Process,
}

fn check(flags: u32) -> SysResult<Made> {
    // Linux v6.12 kernel/fork.c:copy_process.
    if flags & CLONE_SIGHAND != 0 && flags & CLONE_VM == 0 {
        return Err(Errno::EINVAL);
    }
    let with_own_directories = flags & (CLONE_NEWNS | CLONE_NEWUSER) != 0;
    if with_own_directories && flags & CLONE_FS != 0
        || flags & CLONE_NEWIPC != 0 && flags & CLONE_SYSVSEM != 0
    {
        return Err(Errno::EINVAL);
    }
    let asked = flags & !CSIGNAL & !NAMESPACES;
    if flags & CLONE_THREAD != 0 && flags & NAMESPACES != 0 {
        // Namespaces belong to processes.
        return Err(Errno::EINVAL);
    }
    if flags & CLONE_THREAD != 0 {
        let exact = asked & THREAD == THREAD && asked & !(THREAD | COMMON) == 0;
        return if exact { Ok(Made::Thread) } else { Err(Errno::EINVAL) };
    }
    let is_plain = asked & !(COMMON | SHARED) == 0 && flags & CSIGNAL <= u32::from(NSIG);
    if is_plain { Ok(Made::Process) } else { Err(Errno::EINVAL) }
}

/// EAGAIN when the caller's user has as many threads as RLIMIT_NPROC allows (kernel/fork.c:copy_process). The host
/// can't count them: to it all guests are one user. Threads that have made no call yet are not seen.
fn check_process_limit(cx: &Cx) -> SysResult<()> {
    let limit = cx.process.limits.get(Resource::Nproc).soft;
    let credentials = cx.credentials();
    let is_exempt =
        credentials.ruid == 0 || credentials.has(Cap::SYS_RESOURCE) || credentials.has(Cap::SYS_ADMIN);
    if limit == INFINITY || is_exempt {
        return Ok(());
    }
    let all = cx.kernel().processes();
    let own = all.iter().filter(|process| process.credentials().ruid == credentials.ruid);
    let count: usize = own.map(|process| process.tasks().len()).sum();
    if count as u64 >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// clone(2). Only the low half of `flags` counts (kernel/fork.c, lower_32_bits).
pub(crate) fn sys_clone(
    cx: &Cx,
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
) -> SysResult<Outcome> {
    let flags = flags as u32;
    let made = match check(flags) {
        Ok(made) => made,
        Err(errno) => return stub::counted(cx, errno),
    };
    check_pointer(stack)?;
    for (flag, pointer) in [
        (CLONE_PARENT_SETTID, parent_tid),
        (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, child_tid),
        (CLONE_SETTLS, tls),
    ] {
        if flags & flag != 0 {
            check_pointer(pointer)?;
        }
    }
    check_process_limit(cx)?;
    if made == Made::Thread {
        cx.prepare_thread();
        return Ok(Outcome::Continue);
    }
    let changed = if flags & NAMESPACES != 0 { Some(namespaces::unshared(cx, flags)?) } else { None };
    if changed.is_some() || flags & CLONE_FILES != 0 {
        return Ok(without_ours(cx, flags, changed));
    }
    cx.prepare_clone(flags);
    cx.take_child_change(&cx.call);
    Ok(Outcome::Continue)
}

/// The host never sees the flags of namespaces and descriptors, which are ours: it performs the same call without them.
/// That call comes to us as well, and its child gets what is kept here. Where fork(2) or vfork(2) do the same, which
/// have no arguments, the thread keeps its registers.
fn without_ours(cx: &Cx, flags: u32, changed: Option<Changed>) -> Outcome {
    let plain = flags & !(NAMESPACES | CLONE_FILES);
    let files = if flags & CLONE_FILES != 0 { ChildFiles::Shared } else { ChildFiles::Copied };
    let [_, stack, rest @ ..] = cx.call.args;
    let sigchld = Signal::SIGCHLD.raw().cast_unsigned();
    let nr = match plain {
        _ if stack != 0 => SYS_CLONE,
        _ if plain == sigchld => SYS_FORK,
        _ if plain == CLONE_VM | CLONE_VFORK | sigchld => SYS_VFORK,
        _ => SYS_CLONE,
    };
    let mut args = cx.call.args;
    if nr == SYS_CLONE {
        let [p, c, t, last] = rest;
        args = [u64::from(plain), stack, p, c, t, last];
    }
    let instruction_pointer = cx.call.instruction_pointer;
    cx.keep_child_change(ChildChange { nr, args, instruction_pointer, changed, files });
    Outcome::Substitute { nr, args }
}

/// fork(2).
pub(crate) fn sys_fork(cx: &Cx) -> SysResult<Outcome> {
    check_process_limit(cx)?;
    cx.prepare_fork();
    cx.take_child_change(&cx.call);
    Ok(Outcome::Continue)
}

/// vfork(2): the host suspends the caller until the child has executed or exited.
pub(crate) fn sys_vfork(cx: &Cx) -> SysResult<Outcome> {
    check_process_limit(cx)?;
    cx.prepare_clone(CLONE_VM | CLONE_VFORK);
    cx.take_child_change(&cx.call);
    Ok(Outcome::Continue)
}

#[cfg(test)]
mod tests {
    use super::{Made, check};
    use abi_linux::Errno;

    #[test]
    fn threads_of_glibc_musl_and_go_are_admitted() {
        for flags in [0x003d_0f00, 0x007d_0f00, 0x0005_0f00, 0x000d_0f00] {
            assert_eq!(check(flags), Ok(Made::Thread), "{flags:#x}");
        }
    }

    #[test]
    fn fork_vfork_and_posix_spawn_are_processes() {
        for flags in [0x0120_0011, 0x4111, 0x4100 | 17, 17, 0, 0x400 | 17, 0x200 | 17, 0x900 | 17, 0x4f11] {
            assert_eq!(check(flags), Ok(Made::Process), "{flags:#x}");
        }
    }

    #[test]
    fn half_shared_processes_are_refused() {
        for flags in [0x800 | 17, 0x8011, 0x2011, 0x0080_0011, 0x1011, 65] {
            assert_eq!(check(flags), Err(Errno::EINVAL), "{flags:#x}");
        }
        // With namespaces: threads, directories of others', and undo lists of another's semaphores.
        for flags in [0x1001_0f00, 0x1000_0211, 0x0002_0211, 0x0804_0011] {
            assert_eq!(check(flags), Err(Errno::EINVAL), "{flags:#x}");
        }
        for flags in [0x1000_0011, 0x2000_0011, 0x0002_0011, 0x4000_0011] {
            assert_eq!(check(flags), Ok(Made::Process), "{flags:#x}");
        }
        // A thread that keeps its own descriptors.
        assert_eq!(check(0x0001_0b00), Err(Errno::EINVAL));
    }
}
