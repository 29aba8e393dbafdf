//! [`NotifyPlatform`]: the platform interface on a listener.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use host_sys::meter;
use host_sys::seccomp::{self, Answer, At};
use host_sys::signal;
use host_sys::{pidfd, schedule};
use platform_api::{
    CallId, Clock, CpuTimeOf, HostFile, HostTid, Identity, Metering, Performed, Platform, ProcFile, Range,
    ReadyListener, Reply, Restart, SignalInfo, SignalState, SignalTarget, Spent, Step, Syscall, WatchId,
};
use rustix::time::{ClockId, clock_gettime};

use crate::calls::Standing;
use crate::joined::JoinedProcesses;
use crate::line::{Line, Lines};
use crate::proc::Proc;
use crate::reactor::Reactor;
use crate::spawn::Container;
use crate::{errno, memory, trace};

/// The time by which the book of calls goes: as of the last tick, which is near enough, at a quarter of the price.
pub(crate) fn coarse_now_ns() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// One container's guests.
pub struct NotifyPlatform {
    init: HostTid,
    pidfd: OwnedFd,
    loader: OwnedFd,
    lines: Lines,
    pub(crate) joined: JoinedProcesses,
    proc: Proc,
    reactor: Reactor,
    reaped: AtomicBool,
    /// What each worker's thread does first.
    pub(crate) worker_start: OnceLock<WorkerStart>,
}

/// Runs on a worker's thread before it takes calls.
pub type WorkerStart = Box<dyn Fn() + Send + Sync>;

/// Tries to read the init's memory, which is a copy of ours until it executes.
fn read_copy_of_ourselves(init: HostTid) -> SysResult<()> {
    static MARK: [u8; 8] = *b"palisade";
    let mut copy = [0; MARK.len()];
    let range = Range { addr: MARK.as_ptr() as u64, len: copy.len() };
    memory::read(init, &[range], &mut copy)?;
    if copy == MARK { Ok(()) } else { Err(Errno::EIO) }
}

impl NotifyPlatform {
    /// Takes a container over. Its first call, the init's execveat, waits until [`NotifyPlatform::run`].
    /// Fails when the host does not let the supervisor into the guests' memory, /proc or deaths.
    pub fn new(container: Container) -> SysResult<Arc<Self>> {
        read_copy_of_ourselves(container.init())?;
        let (proc, reactor) = (Proc::new(container.init())?, Reactor::new()?);
        reactor.watch_exit(container.init())?;
        let parts = container.into_parts()?;
        Ok(Arc::new(Self {
            init: parts.init,
            pidfd: parts.pidfd,
            loader: parts.loader,
            lines: Lines::new(parts.listener),
            joined: JoinedProcesses::default(),
            proc,
            reactor,
            reaped: AtomicBool::new(false),
            worker_start: OnceLock::new(),
        }))
    }

    /// Says what each worker's thread does before it takes calls; once, before there are any.
    pub fn set_worker_start(&self, start: WorkerStart) {
        let _ = self.worker_start.set(start);
    }

    /// The init's id in our pid namespace.
    #[must_use]
    pub fn init(&self) -> HostTid {
        self.init
    }

    /// Kills every guest; [`NotifyPlatform::run`] then returns.
    pub fn kill(&self) -> SysResult<()> {
        pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL)
    }

    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub(crate) fn loader(&self) -> BorrowedFd<'_> {
        self.loader.as_fd()
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    pub(crate) fn mark_reaped(&self) {
        self.reaped.store(true, Ordering::Release);
    }

    /// ESRCH when `tid` has a call in flight whose thread is gone.
    fn check_alive(&self, tid: HostTid) -> SysResult<()> {
        let ask = |line: &Line| match line.calls.standing(tid, coarse_now_ns) {
            Standing::Silent => None,
            Standing::Known => Some(Ok(())),
            Standing::Ask(id) if seccomp::id_valid(line.listener(), id) => Some(Ok(())),
            Standing::Ask(_) => Some(Err(Errno::ESRCH)),
        };
        self.lines.find_map(ask).unwrap_or(Ok(()))
    }

    /// A descriptor of a guest's process, watched or not. ESRCH when the id is no guest's: it may have gone to another
    /// process of the host since, whom no signal of a guest may reach.
    fn process(&self, tgid: HostTid) -> SysResult<Arc<OwnedFd>> {
        if let Some(pidfd) = self.reactor.pidfd(tgid) {
            return Ok(pidfd);
        }
        let pidfd = pidfd::open_process(tgid)?;
        // After it was opened: the answer is about the process that it names, or about none.
        self.proc.check_in_container(tgid)?;
        Ok(Arc::new(pidfd))
    }

    /// ESRCH unless the guest's process lives. Until the host has given out all other ids, which takes far longer than
    /// a call, its numbers and those of its threads mean nobody else.
    fn check_lives(&self, tgid: HostTid) -> SysResult<()> {
        match self.reactor.pidfd(tgid) {
            Some(_) if self.reactor.has_died(tgid) => Err(Errno::ESRCH),
            Some(_) => Ok(()),
            None => self.proc.check_in_container(tgid),
        }
    }

    /// Whether the process is a child of ours, whose end somebody here waits for.
    fn is_own_child(&self, tid: HostTid) -> bool {
        tid == self.init || self.joined.has(tid)
    }

    /// Has `body` answer a call.
    fn consume(
        &self,
        call: &Syscall,
        body: impl FnOnce(&Line, bool) -> SysResult<()>,
        on_error: impl FnOnce(Errno) -> i32,
    ) -> SysResult<()> {
        self.lines.with(call.id.0, |line| {
            // Before it happens: the new call may reach another worker at once.
            line.calls.answered(call.id.0);
            let result = body(line, self.is_own_child(call.tid));
            if let Err(error) = result {
                // The guest must not hang. If the call was answered before the failure, this finds no call.
                let _ = seccomp::send(line.listener(), call.id.0, Answer::Error(on_error(error)));
            }
            result
        })
    }

    /// Substitutes a call that is not answered yet.
    fn try_substitute(&self, line: &Line, call: &Syscall, nr: i32, args: [u64; 6]) -> SysResult<()> {
        if libc::c_long::from(nr) == libc::SYS_execveat {
            let [number, ..] = args;
            let number = i32::try_from(number).map_err(|_| Errno::EBADF)?;
            match install(line, call.id, number, self.loader.as_fd()) {
                Err(Errno::ENOENT) => return Ok(()), // killed meanwhile
                other => other?,
            }
        }
        trace::substitute(line.listener(), self.is_own_child(call.tid), call, nr, args)
    }
}

/// Puts a descriptor into the table of a call's thread.
fn install(line: &Line, id: CallId, number: i32, fd: BorrowedFd<'_>) -> SysResult<()> {
    let number = u32::try_from(number).map_err(|_| Errno::EBADF)?;
    seccomp::add_fd(line.listener(), id.0, fd, At::Number(number)).map(drop)
}

/// The host's siginfo_t. A sender outside the pid namespace shows as process 0 whatever stands in it.
fn siginfo(number: Signal, info: SignalInfo) -> signal::Info {
    let signo = number.raw();
    match info {
        SignalInfo::Timer { id, overrun, value } => signal::Info {
            signo,
            code: libc::SI_TIMER,
            first: id,
            second: overrun,
            value,
            ..signal::Info::default()
        },
        SignalInfo::Queue { code, errno, value } => {
            signal::Info { signo, errno, code, value, ..signal::Info::default() }
        }
        // si_band is a long where others have pid and uid.
        SignalInfo::Poll { code, band, fd } => signal::Info {
            signo,
            code,
            first: band as i32,
            second: (band >> 32) as i32,
            value: u64::from(fd.cast_unsigned()),
            ..signal::Info::default()
        },
    }
}

impl Drop for NotifyPlatform {
    fn drop(&mut self) {
        if !self.reaped.load(Ordering::Acquire) && self.kill().is_ok() {
            let _ = pidfd::reap(self.pidfd.as_fd());
        }
    }
}

impl Platform for NotifyPlatform {
    fn read_memory(&self, tid: HostTid, ranges: &[Range], local: &mut [u8]) -> SysResult<usize> {
        meter::copy(|| {
            let count = memory::read(tid, ranges, local)?;
            // After the copy: what was read is the thread's if the thread is still there.
            self.check_alive(tid)?;
            Ok(count)
        })
    }

    fn write_memory(&self, tid: HostTid, ranges: &[Range], local: &[u8]) -> SysResult<usize> {
        meter::copy(|| {
            self.check_alive(tid)?;
            memory::write(tid, ranges, local)
        })
    }

    fn reply(&self, id: CallId, reply: Reply) {
        let answer = match reply {
            Reply::Value(value) => Answer::Value(value),
            Reply::Errno(errno) => Answer::Error(errno.raw()),
            Reply::Continue => Answer::Continue,
        };
        self.lines.with(id.0, |line| {
            line.calls.answered(id.0);
            match seccomp::send(line.listener(), id.0, answer) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => tracing::error!(%error, ?reply, "cannot answer a call"),
            }
        });
    }

    fn is_waiting(&self, id: CallId) -> bool {
        self.lines.with(id.0, |line| seccomp::id_valid(line.listener(), id.0))
    }

    fn install_fd(&self, id: CallId, number: i32, fd: BorrowedFd<'_>) -> SysResult<()> {
        meter::host(|| self.lines.with(id.0, |line| install(line, id, number, fd)))
    }

    /// The loader is lent for one exec: guests hold no descriptor of it otherwise, so no number is reserved.
    fn substitute(&self, call: &Syscall, nr: i32, args: [u64; 6]) -> SysResult<()> {
        self.consume(call, |line, _| self.try_substitute(line, call, nr, args), |error| error.raw())
    }

    fn perform(&self, call: &Syscall, next: &mut dyn FnMut(Performed) -> Step) -> SysResult<()> {
        let perform = |line: &Line, own_child| trace::perform(line.listener(), own_child, call, next);
        self.consume(call, perform, |error| error.raw())
    }

    fn interrupt(&self, call: &Syscall, restart: Restart, certain: bool) -> SysResult<()> {
        let interrupt =
            |line: &Line, own_child| trace::interrupt(line.listener(), own_child, call, restart, certain);
        self.consume(call, interrupt, |_| libc::EINTR)
    }

    fn identify(&self, tid: HostTid) -> SysResult<Identity> {
        meter::host(|| self.proc.identify(tid))
    }

    fn children(&self, tgid: HostTid, tid: HostTid) -> SysResult<Vec<HostTid>> {
        meter::host(|| self.proc.children(tgid, tid))
    }

    fn threads(&self, tgid: HostTid) -> SysResult<Vec<HostTid>> {
        meter::host(|| self.proc.threads(tgid))
    }

    fn signal_state(&self, tid: HostTid) -> SysResult<SignalState> {
        meter::host(|| self.proc.signal_state(tid))
    }

    /// kill(2) or tgkill(2): from an outer pid namespace they give si_code SI_USER or SI_TKILL, and si_pid 0, as
    /// near to the kernel's own SI_KERNEL as a process may send (rt_sigqueueinfo(2) allows negative codes
    /// only, which would claim a timer or a queue that the guest never made).
    fn send_signal(&self, target: SignalTarget, number: Signal) -> SysResult<()> {
        match target {
            SignalTarget::Process(tgid) => {
                let process = self.process(tgid)?;
                meter::host(|| pidfd::send_signal(process.as_fd(), number.raw()))
            }
            SignalTarget::Thread { tgid, tid } => {
                self.check_lives(tgid)?;
                meter::host(|| signal::kill_thread(tgid, tid, number.raw()))
            }
        }
    }

    fn queue_signal(&self, target: SignalTarget, number: Signal, info: SignalInfo) -> SysResult<()> {
        let info = siginfo(number, info);
        match target {
            SignalTarget::Process(tgid) => pidfd::queue_signal(self.process(tgid)?.as_fd(), &info),
            SignalTarget::Thread { tgid, tid } => {
                self.check_lives(tgid)?;
                signal::queue_to_thread(tgid, tid, &info)
            }
        }
    }

    fn watch_exit(&self, tgid: HostTid) -> SysResult<()> {
        self.reactor.watch_exit(tgid)
    }

    fn has_died(&self, tgid: HostTid) -> bool {
        self.reactor.has_died(tgid)
    }

    fn watch_fd(&self, fd: BorrowedFd<'_>, listener: Arc<dyn ReadyListener>) -> SysResult<WatchId> {
        self.reactor.watch_fd(fd, listener)
    }

    fn watch_shared(&self, fd: &Arc<OwnedFd>, listener: Arc<dyn ReadyListener>) -> SysResult<WatchId> {
        self.reactor.watch_shared(fd, listener)
    }

    fn look_at_shared(&self) {
        self.reactor.look_at_shared();
    }

    fn looks(&self) -> u64 {
        self.reactor.looks()
    }

    fn call_waits(&self) {
        self.reactor.call_waits();
    }

    fn always_tell(&self) {
        self.reactor.always_tell();
    }

    fn unwatch_fd(&self, watch: WatchId) {
        self.reactor.unwatch_fd(watch);
    }

    fn arm_timer(&self, deadline_ns: Option<u64>) {
        self.reactor.arm_timer(deadline_ns);
    }

    fn read_proc(&self, tid: HostTid, file: ProcFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        meter::host(|| self.proc.read_file(tid, file, limit, out))
    }

    fn read_host(&self, file: HostFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        meter::host(|| self.proc.read_host(file, limit, out))
    }

    fn set_limit(&self, tgid: HostTid, resource: u32, soft: u64, hard: u64) -> SysResult<()> {
        self.check_lives(tgid)?;
        host_sys::child::set_limit_of(tgid, resource, soft, hard)
    }

    fn set_nice(&self, tid: HostTid, nice: i32) -> SysResult<()> {
        self.proc.check_in_container(tid)?;
        let thread = rustix::process::Pid::from_raw(tid).ok_or(Errno::ESRCH)?;
        rustix::process::setpriority_process(Some(thread), nice).map_err(errno)
    }

    fn now_ns(&self, clock: Clock) -> u64 {
        let id = match clock {
            Clock::Realtime => ClockId::Realtime,
            Clock::Monotonic => ClockId::Monotonic,
            Clock::Boottime => ClockId::Boottime,
        };
        let now = clock_gettime(id);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(now.tv_nsec).unwrap_or(0))
    }

    fn cpu_time_ns(&self, of: CpuTimeOf) -> SysResult<u64> {
        const LINE_LEN: usize = 128;
        match of {
            CpuTimeOf::Process(tgid) => schedule::cpu_time_ns(tgid),
            // Clocks of threads are for their own process. The first number is time on a CPU (proc_pid_schedstat(5)).
            CpuTimeOf::Thread(tid) => {
                let mut line = Vec::new();
                self.proc.read_file(tid, ProcFile::Schedstat, LINE_LEN, &mut line)?;
                let number = std::str::from_utf8(&line).ok().and_then(|line| line.split_whitespace().next());
                number.and_then(|number| number.parse().ok()).ok_or(Errno::EIO)
            }
        }
    }

    fn meter(&self, metering: Metering) {
        match metering {
            Metering::On => meter::begin(),
            Metering::Off => meter::end(),
        }
    }

    fn spent(&self) -> Spent {
        let meter::Spent { calls, call_ns, copies, copy_ns } = meter::spent();
        Spent { host_calls: calls, host_ns: call_ns, copies, copy_ns }
    }

    fn random(&self, buf: &mut [u8]) -> SysResult<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            match rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(())
    }
}
