//! pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), and waitid(2) on a pidfd (kernel/pid.c, kernel/signal.c,
//! kernel/exit.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::pidfd::PidFd;
use kernel_fs::proc;
use kernel_task::Process;
use kernel_task::kill::Wanted;
use platform_api::{Performed, SignalInfo, SignalTarget, Step};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::check_pointer;
use crate::cx::{Cx, Outcome};
use crate::poll::epoll::open_anonymous;

/// PIDFD_NONBLOCK and PIDFD_THREAD are open(2)'s O_NONBLOCK and O_EXCL.
const PIDFD_THREAD: u32 = OpenFlags::EXCL.bits();
/// PIDFD_SIGNAL_THREAD, _THREAD_GROUP, _PROCESS_GROUP.
const PIDFD_SIGNAL_THREAD: u32 = 1;
const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 4;
const PIDFD_SIGNAL_ALL: u32 = 7;
const SI_TKILL: i32 = -6;

/// pidfd_open(2). A thread's own pidfd only for leaders.
pub(crate) fn sys_pidfd_open(cx: &Cx, pid: i32, flags: u32) -> SysResult<Fd> {
    if flags & !(PIDFD_THREAD | OpenFlags::NONBLOCK.bits()) != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = cx.kernel();
    let Some(process) = kernel.process_or_zombie(pid) else {
        let is_thread = kernel.task_by_guest_tid(pid).is_some();
        return Err(match is_thread {
            true if flags & PIDFD_THREAD != 0 => Errno::EINVAL,
            true => Errno::ENOENT,
            false => Errno::ESRCH,
        });
    };
    let status = OpenFlags::RDWR | OpenFlags::from_bits_retain(flags) & OpenFlags::NONBLOCK;
    cx.install(open_anonymous(cx, "anon_inode:[pidfd]", PidFd::new(process), status), true)
}

/// The fields of siginfo_t that are looked at.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct UserInfo {
    signo: i32,
    errno: i32,
    code: i32,
    padding: i32,
    pid_and_uid: u64,
    value: u64,
    rest: [u64; 12],
}

/// pidfd_send_signal(2). The supervisor sends it, so si_pid is 0.
pub(crate) fn sys_pidfd_send_signal(
    cx: &Cx,
    pidfd: Fd,
    sig: i32,
    info: UserRef<[u8; 128]>,
    flags: u32,
) -> SysResult<()> {
    if flags & !PIDFD_SIGNAL_ALL != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(pidfd)?;
    let target = &PidFd::process_of(&file).map(Arc::clone).or_else(|_| proc::process_of_dir(&file))?;
    let info = UserRef::<UserInfo>::new(info.addr()).non_null().map(|at| cx.mem().read(at)).transpose()?;
    if let Some(info) = info {
        if info.signo != sig {
            return Err(Errno::EINVAL);
        }
        let is_own = Arc::ptr_eq(target, &cx.process) && flags != PIDFD_SIGNAL_PROCESS_GROUP;
        if !is_own && (info.code >= 0 || info.code == SI_TKILL) {
            return Err(Errno::EPERM);
        }
    }
    if flags == PIDFD_SIGNAL_PROCESS_GROUP {
        let Wanted::Signal(signal) = Wanted::new(sig)? else { return cx.kill(-target.pgid(), 0).map(drop) };
        cx.kill(-target.pgid(), 0)?;
        return cx.kernel().signal_group(target.pgid(), signal);
    }
    if target.has_exited() {
        let wanted = Wanted::new(sig);
        return if target.is_reaped() { Err(Errno::ESRCH) } else { wanted.map(drop) };
    }
    cx.kill_process(target.pid, sig)?;
    match Wanted::new(sig)? {
        Wanted::Probe => Ok(()),
        Wanted::Signal(signal) => send(cx, target, signal, info, flags == PIDFD_SIGNAL_THREAD),
    }
}

fn send(
    cx: &Cx,
    target: &Arc<Process>,
    signal: Signal,
    info: Option<UserInfo>,
    to_thread: bool,
) -> SysResult<()> {
    let (kernel, tgid) = (cx.kernel(), target.tgid);
    let to = if to_thread { SignalTarget::Thread { tgid, tid: tgid } } else { SignalTarget::Process(tgid) };
    match info.filter(|info| info.code < 0 && info.code != SI_TKILL) {
        Some(UserInfo { code, errno, value, .. }) => {
            kernel.platform.queue_signal(to, signal, SignalInfo::Queue { code, errno, value })?;
        }
        None => kernel.platform.send_signal(to, signal)?,
    }
    kernel.check_signals(target);
    kernel.hint_parent_of_stop(target, signal);
    Ok(())
}

/// ptrace_may_access with PTRACE_MODE_ATTACH_REALCREDS.
pub(crate) fn may_attach(cx: &Cx, target: &Arc<Process>) -> bool {
    let (own, its) = (cx.credentials(), target.credentials());
    let users = [its.euid, its.suid, its.ruid].iter().all(|&uid| uid == own.ruid);
    let groups = [its.egid, its.sgid, its.rgid].iter().all(|&gid| gid == own.rgid);
    let dumpable = target.dumpable.load(std::sync::atomic::Ordering::Relaxed) == 1;
    Arc::ptr_eq(target, &cx.process)
        || own.has_in(&its.user_ns, Cap::SYS_PTRACE)
        || users
            && groups
            && dumpable
            && its.user_ns == own.user_ns
            && its.permitted.0 & !own.permitted.0 == 0
}

/// pidfd_getfd(2).
pub(crate) fn sys_pidfd_getfd(cx: &Cx, pidfd: Fd, targetfd: Fd, flags: u32) -> SysResult<Fd> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(pidfd)?;
    let target = PidFd::process_of(&file)?;
    if target.is_dying() || target.has_exited() {
        return Err(Errno::ESRCH);
    }
    if !may_attach(cx, target) {
        return Err(Errno::EPERM);
    }
    cx.install(target.files.get(targetfd)?, true)
}

const P_PID: u64 = 1;
const P_PIDFD: i32 = 3;
const WNOHANG: u32 = 1;
const WNOWAIT: u32 = 0x0100_0000;
const WEXITED: u32 = 4;
/// WSTOPPED, WEXITED, WCONTINUED.
const W_ANY: u32 = 2 | WEXITED | 8;
/// The others, with WNOWAIT, __WNOTHREAD, __WALL and __WCLONE.
const W_ALL: u32 = W_ANY | WNOHANG | WNOWAIT | 0x2000_0000 | 0x4000_0000 | 0x8000_0000;

/// waitid(2) of a pidfd; the filter lets the others through. Waits for the death here, then has the host's
/// waitid answer, without waiting.
pub(crate) async fn sys_waitid(
    cx: &Cx,
    idtype: i32,
    id: i32,
    infop: UserRef<[u8; 128]>,
    options: u32,
    rusage: UserRef<[u8; 144]>,
) -> SysResult<Outcome> {
    check_pointer(infop.addr())?;
    check_pointer(rusage.addr())?;
    if idtype != P_PIDFD {
        return Ok(Outcome::Continue);
    }
    if options & !W_ALL != 0 || options & W_ANY == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(Fd(id))?;
    let target = PidFd::process_of(&file)?;
    let is_child = target.parent().is_some_and(|parent| Arc::ptr_eq(&parent, &cx.process));
    let may_wait = options & WNOHANG == 0 && !file.is_nonblocking();
    if is_child && may_wait && options & WEXITED != 0 {
        target.exit_queue.wait_until(Events::IN, || target.has_exited().then_some(())).await;
    }
    // The host tells of a death a little later than its own waitid would.
    if !target.has_exited() && cx.kernel().platform.has_died(target.tgid) {
        cx.kernel().process_died(target.tgid);
    }
    // The caller hears EAGAIN then: what the host may know by now is not to be taken.
    let no_news = options & WNOHANG == 0 && !target.has_exited();
    let peek = if no_news { WNOWAIT } else { 0 };
    let host_options = u64::from(options | WNOHANG | peek);
    let args = [P_PID, u64::from(target.pid.cast_unsigned()), infop.addr(), host_options, rusage.addr(), 0];
    let performed = cx.kernel().platform.perform(&cx.call, &mut |event| match event {
        Performed::Started => Step::Perform { nr: cx.call.nr, args },
        Performed::Interrupted => Step::Again,
        Performed::Result(0) if no_news => Step::Return(-i64::from(Errno::EAGAIN.raw())),
        Performed::Result(result) => Step::Return(result),
    });
    if let Err(error) = performed {
        tracing::debug!(tid = cx.tid, %error, "cannot wait on a pidfd");
    }
    Ok(Outcome::Answered)
}
