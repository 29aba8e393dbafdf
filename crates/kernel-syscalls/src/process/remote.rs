//! Calls on another process's memory and kernel objects: process_vm_readv(2), process_vm_writev(2), kcmp(2),
//! process_madvise(2), process_mrelease(2) (Linux v6.18 mm/process_vm_access.c, kernel/kcmp.c, mm/madvise.c,
//! mm/oom_kill.c). All ask whether the caller might trace that process.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use abi_linux::fs::IoVec;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::{GuestMem, Pieces, UserRef};
use kernel_fs::epoll::Epoll;
use kernel_fs::pidfd::PidFd;
use kernel_task::{Process, Task};
use platform_api::{Performed, Range, Step};

use super::pidfd::may_attach;
use crate::cx::{Cx, Outcome, SCRATCH_LEN, with_scratch};

/// The task that stands for a process or thread id, to be read or changed; ESRCH, EPERM.
fn traceable(cx: &Cx, pid: i32) -> SysResult<Arc<Task>> {
    let task = cx.kernel().task_by_guest_tid(pid).ok_or(Errno::ESRCH)?;
    if task.process.is_dying() || task.process.has_exited() {
        return Err(Errno::ESRCH);
    }
    let is_allowed = may_attach(cx, &task.process) && !task.process.is_loaders_init();
    if is_allowed { Ok(task) } else { Err(Errno::EPERM) }
}

/// Between whom bytes are copied.
struct Copy<'a> {
    from: (GuestMem<'a>, Pieces),
    to: (GuestMem<'a>, Pieces),
    target: &'a Process,
}

impl Copy<'_> {
    /// Copies as much as there is room for and as can be reached; EFAULT when that is nothing.
    fn run(&self, cx: &Cx) -> SysResult<usize> {
        let total = self.from.1.total().min(self.to.1.total());
        let mut done = 0;
        while done < total {
            let len = (total - done).min(SCRATCH_LEN);
            let moved = with_scratch(len, |scratch| {
                let got = self.from.0.gather(&self.from.1, done, scratch)?;
                // Its id could be another process's by now.
                if cx.kernel().platform.has_died(self.target.tgid) {
                    return Err(Errno::ESRCH);
                }
                self.to.0.scatter(&self.to.1, done, scratch.get(..got).unwrap_or_default())
            });
            match moved {
                Ok(0) | Err(_) if done > 0 => return Ok(done),
                Ok(0) => return Err(Errno::EFAULT),
                Ok(count) => done += count,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }
}

/// The two vectors of a call, the caller's and the other's.
struct Vectors {
    local: (u64, u64),
    remote: (u64, u64),
}

enum Direction {
    Read,
    Write,
}

fn transfer(cx: &Cx, pid: i32, vectors: &Vectors, flags: u64, direction: &Direction) -> SysResult<usize> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let pieces = |(at, count): (u64, u64)| {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        cx.mem().read_iovec(UserRef::<IoVec>::new(at), count)
    };
    let local = pieces(vectors.local)?;
    if local.total() == 0 {
        return Ok(0);
    }
    let remote = pieces(vectors.remote)?;
    let task = traceable(cx, pid)?;
    let (own, its) = ((cx.mem(), local), (task.mem(), remote));
    let target = &*task.process;
    match direction {
        Direction::Read => Copy { from: its, to: own, target }.run(cx),
        Direction::Write => Copy { from: own, to: its, target }.run(cx),
    }
}

/// process_vm_readv(2).
pub(crate) fn sys_process_vm_readv(
    cx: &Cx,
    pid: i32,
    local_iov: u64,
    liovcnt: u64,
    remote_iov: u64,
    riovcnt: u64,
    flags: u64,
) -> SysResult<usize> {
    let vectors = Vectors { local: (local_iov, liovcnt), remote: (remote_iov, riovcnt) };
    transfer(cx, pid, &vectors, flags, &Direction::Read)
}

/// process_vm_writev(2).
pub(crate) fn sys_process_vm_writev(
    cx: &Cx,
    pid: i32,
    local_iov: u64,
    liovcnt: u64,
    remote_iov: u64,
    riovcnt: u64,
    flags: u64,
) -> SysResult<usize> {
    let vectors = Vectors { local: (local_iov, liovcnt), remote: (remote_iov, riovcnt) };
    transfer(cx, pid, &vectors, flags, &Direction::Write)
}

const KCMP_FILE: i32 = 0;
const KCMP_VM: i32 = 1;
const KCMP_FILES: i32 = 2;
const KCMP_FS: i32 = 3;
const KCMP_SIGHAND: i32 = 4;
const KCMP_IO: i32 = 5;
const KCMP_SYSVSEM: i32 = 6;
const KCMP_EPOLL_TFD: i32 = 7;

/// kcmp(2): 0 for the same object, else an order that tells nothing of addresses.
pub(crate) fn sys_kcmp(cx: &Cx, pid1: i32, pid2: i32, kind: i32, idx1: u64, idx2: u64) -> SysResult<i32> {
    let (first, second) = (traceable(cx, pid1)?, traceable(cx, pid2)?);
    match kind {
        KCMP_FILE => {
            let file = |task: &Task, number: u64| task.process.files.get(Fd(number as i32));
            let (first, second) = (file(&first, idx1)?, file(&second, idx2)?);
            order(cx, Arc::as_ptr(&first).addr(), Arc::as_ptr(&second).addr())
        }
        KCMP_VM..=KCMP_SIGHAND => {
            let part = |task: &Task| match kind {
                KCMP_VM => task.process.memory_identity(),
                KCMP_FILES => task.process.files.identity(),
                KCMP_FS => task.process.fs.identity(),
                _ => task.process.signal_actions_identity(),
            };
            order(cx, part(&first), part(&second))
        }
        // Nobody has any.
        KCMP_IO | KCMP_SYSVSEM => Ok(0),
        KCMP_EPOLL_TFD => {
            // struct kcmp_epoll_slot: efd, tfd, toff.
            let [epoll, target, skip] = cx.mem().read(UserRef::<[u32; 3]>::new(idx2))?;
            let file = first.process.files.get(Fd(idx1 as i32))?;
            let epoll = second.process.files.get(Fd(epoll.cast_signed()))?;
            let watched = Epoll::of(&epoll)?.target(target.cast_signed(), skip as usize)?;
            order(cx, Arc::as_ptr(&file).addr(), watched)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// kptr_obfuscate: the order is that of scrambled addresses.
fn order(cx: &Cx, first: usize, second: usize) -> SysResult<i32> {
    static COOKIES: OnceLock<[u64; 2]> = OnceLock::new();
    let [mask, factor] = match COOKIES.get() {
        Some(cookies) => *cookies,
        None => {
            let mut bytes = [0; 16];
            cx.kernel().platform.random(&mut bytes)?;
            let number = u128::from_ne_bytes(bytes);
            *COOKIES.get_or_init(|| [number as u64, (number >> 64) as u64 | 1])
        }
    };
    let scrambled = |address: usize| (address as u64 ^ mask).wrapping_mul(factor);
    Ok(match scrambled(first).cmp(&scrambled(second)) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

const MADVISE: i32 = 28;
const MADV_WILLNEED: i32 = 3;
const MADV_COLD: i32 = 20;
const MADV_PAGEOUT: i32 = 21;
const MADV_COLLAPSE: i32 = 25;

/// process_madvise(2). On the caller itself its thread is made to call madvise(2); on others the advice is checked,
/// and needs to have no effect.
pub(crate) fn sys_process_madvise(
    cx: &Cx,
    pidfd: Fd,
    iovec: u64,
    vlen: usize,
    advice: i32,
    flags: u32,
) -> SysResult<Outcome> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let pieces = cx.mem().read_iovec(UserRef::<IoVec>::new(iovec), vlen)?;
    let file = cx.file(pidfd)?;
    let target = PidFd::process_of(&file)?;
    if target.is_dying() || target.has_exited() {
        return Err(Errno::ESRCH);
    }
    if Arc::ptr_eq(target, &cx.process) {
        return advise(cx, &pieces, advice);
    }
    if !matches!(advice, MADV_WILLNEED | MADV_COLD | MADV_PAGEOUT | MADV_COLLAPSE) {
        return Err(Errno::EINVAL);
    }
    if !may_attach(cx, target) || !cx.credentials().has(Cap::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    Ok(pieces.total().into())
}

fn advise(cx: &Cx, pieces: &Pieces, advice: i32) -> SysResult<Outcome> {
    let calls: Vec<[u64; 6]> =
        pieces.iter().map(|&Range { addr, len }| [addr, len as u64, advice as u64, 0, 0, 0]).collect();
    let row = syscall_table::by_nr(MADVISE).ok_or(Errno::ENOSYS)?;
    let passes =
        |args: &[u64; 6]| syscall_table::seccomp::judge(row, args) == syscall_table::seccomp::Verdict::Admit;
    if !calls.iter().all(passes) {
        return Err(Errno::EINVAL);
    }
    let (mut next, mut done) = (calls.iter(), 0);
    let performed = cx.kernel().platform.perform(&cx.call, &mut |event| {
        if let Performed::Result(error @ ..0) = event {
            return Step::Return(if done > 0 { done } else { error });
        }
        if let Performed::Result(_) = event {
            done = next.next().map_or(done, |args| done + args[1].cast_signed());
        }
        match (event, next.as_slice().first()) {
            (Performed::Interrupted, _) if done == 0 => Step::Again,
            (Performed::Started | Performed::Result(_), Some(&args)) => Step::Perform { nr: MADVISE, args },
            _ => Step::Return(done),
        }
    });
    if let Err(error) = performed {
        tracing::debug!(tid = cx.tid, %error, "cannot advise");
    }
    Ok(Outcome::Answered)
}

/// process_mrelease(2): the host takes a killed process's memory by itself.
pub(crate) fn sys_process_mrelease(cx: &Cx, pidfd: Fd, flags: u32) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(pidfd)?;
    let target = PidFd::process_of(&file)?;
    if target.has_exited() {
        return Err(Errno::ESRCH);
    }
    let signals = cx.kernel().platform.signal_state(target.tgid)?;
    let is_killed =
        signals.shared_pending.contains(Signal::SIGKILL) || signals.pending.contains(Signal::SIGKILL);
    let is_going = is_killed || target.is_dying() || cx.kernel().platform.has_died(target.tgid);
    if is_going { Ok(()) } else { Err(Errno::EINVAL) }
}
