//! What the userspace kernel needs from whatever runs its guests.
//!
//! A platform delivers system calls ([`Syscall`]) to [`Worker`]s, carries [`Reply`]s back, reaches guest
//! memory, and asks the host about threads. `platform-notify` implements it over seccomp user
//! notification; tests and fuzzers implement it over a byte array. Nothing here assumes that calls
//! come from a seccomp listener: a shared-memory mailbox can deliver them as well.
//!
//! Host ids ([`HostTid`]) are those of the supervisor's pid namespace; guest ids are those of the
//! container's and are plain `i32`.
#![forbid(unsafe_code)]

pub mod fake;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::signal::{SigSet, Signal};
use abi_linux::{Errno, SysResult};

/// A thread id in the supervisor's pid namespace.
pub type HostTid = i32;

/// Names one call in flight; unique for the platform's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub u64);

/// One system call of a guest thread that waits for an answer. All of it is an allegation of the guest
/// but `id` and `tid`.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    pub id: CallId,
    pub tid: HostTid,
    pub nr: i32,
    pub args: [u64; 6],
    /// The instruction after the call.
    pub instruction_pointer: u64,
}

/// How a call is to be restarted after a signal (Linux's ERESTART* family).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Restart unless a handler without SA_RESTART runs: read, write, open of a fifo, wait …
    Sys,
    /// Restart only when no handler runs, else EINTR: poll, select, sigsuspend.
    NoHandler,
    /// EINTR, by the handler that is about to run, which the guest installed without SA_RESTART.
    Interrupted,
    /// Always EINTR: epoll_wait, semop, calls with a receive timeout.
    Never,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The call returns this.
    Value(i64),
    /// The call fails.
    Errno(Errno),
    /// The host kernel performs the call with the caller's own registers (gate).
    Continue,
}

/// One piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub addr: u64,
    pub len: usize,
}

/// Who a host thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host id of its process.
    pub tgid: HostTid,
    /// Thread id inside the container.
    pub guest_tid: i32,
    /// Process id inside the container.
    pub guest_tgid: i32,
    /// Host id of the process's parent.
    pub parent: HostTid,
}

/// A thread's signal books on the host (SigPnd, ShdPnd, SigBlk, SigIgn, SigCgt of /proc/tid/status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalState {
    /// Pending for this thread.
    pub pending: SigSet,
    /// Pending for its process.
    pub shared_pending: SigSet,
    pub blocked: SigSet,
    pub ignored: SigSet,
    pub caught: SigSet,
}

impl SignalState {
    /// Which of `set` the thread would act on now: not blocked, and caught or with a default action
    /// that does something.
    #[must_use]
    pub const fn deliverable(&self, set: SigSet) -> SigSet {
        let defaults = !self.caught.0 & SigSet::DEFAULT_IGNORED.0;
        SigSet(set.0 & !self.blocked.0 & !self.ignored.0 & !defaults)
    }
}

/// A file of the host's /proc about one guest thread. Nothing in the name comes from a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcFile {
    Stat,
    Status,
    Statm,
    Maps,
    Smaps,
    SmapsRollup,
    Cmdline,
    Environ,
    Io,
    Sched,
    Schedstat,
    Wchan,
    Auxv,
    OomScore,
    OomScoreAdj,
    Limits,
    Syscall,
}

/// Host-wide numbers for /proc files that show the machine; what they hold is filtered by kernel-fs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostFile {
    Cpuinfo,
    Meminfo,
    Stat,
    Uptime,
    Loadavg,
    Vmstat,
    Buddyinfo,
    Zoneinfo,
    Softirqs,
}

/// Whom a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalTarget {
    /// A process, by the host id of its leader.
    Process(HostTid),
    /// One thread.
    Thread { tgid: HostTid, tid: HostTid },
}

/// What a queued signal carries (siginfo_t with a negative si_code, the only ones a process may send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalInfo {
    /// SI_TIMER: a POSIX timer ran out, `overrun` times more than once.
    Timer { id: i32, overrun: i32, value: u64 },
    /// Another code: SI_QUEUE, SI_MESGQ, SI_ASYNCIO …
    Queue { code: i32, errno: i32, value: u64 },
    /// SI_SIGIO: events of a descriptor.
    Poll { code: i32, band: i64, fd: i32 },
}

/// What happened to a thread in [`Platform::perform`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    /// It is stopped and has done nothing yet.
    Started,
    /// The host call answered this, negative for an error number.
    Result(i64),
    /// A signal came before the host call was made.
    Interrupted,
}

/// What a thread in [`Platform::perform`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A host call, which the filter must let pass and which must not wait.
    Perform { nr: i32, args: [u64; 6] },
    /// The guest's call returns this, negative for an error number.
    Return(i64),
    /// The guest's call is made again, and arrives anew.
    Again,
}

/// A clock of the host, read without leaving user mode where the vDSO allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Realtime,
    Monotonic,
    Boottime,
}

/// Whose CPU time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuTimeOf {
    /// All threads of a process, those that have ended too, by the host id of its leader.
    Process(HostTid),
    Thread(HostTid),
}

/// Told that a watched host fd changed.
pub trait ReadyListener: Send + Sync {
    /// Called on the reactor's thread, or that of [`Platform::look_at_shared`]; must not block. `look` is the number of
    /// the look that saw the events ([`Platform::looks`]), of a shared descriptor.
    fn ready(&self, events: Events, look: u64);
}

/// Names a watch made by [`Platform::watch_fd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(pub u64);

/// What runs the guests. Every method is callable from any supervisor thread and never blocks for long.
pub trait Platform: Send + Sync {
    /// Copies guest memory to `local`, from `ranges` in order. Returns how many bytes came before the
    /// first unreadable page; EFAULT when none did. ESRCH when the caller is gone.
    fn read_memory(&self, tid: HostTid, ranges: &[Range], local: &mut [u8]) -> SysResult<usize>;

    /// Copies `local` into guest memory, as [`Platform::read_memory`] does the other way.
    fn write_memory(&self, tid: HostTid, ranges: &[Range], local: &[u8]) -> SysResult<usize>;

    /// Answers a call. A call whose thread died meanwhile is forgotten without an error.
    fn reply(&self, id: CallId, reply: Reply);

    /// Whether the call still waits for an answer: its thread was not killed.
    fn is_waiting(&self, id: CallId) -> bool;

    /// Puts `fd` at `number` in the host fd table of the caller, close-on-exec: for mmap alone.
    fn install_fd(&self, id: CallId, number: i32, fd: BorrowedFd<'_>) -> SysResult<()>;

    /// Makes the thread of `call` perform `nr(args)` on the host instead; consumes the call, with an error of
    /// its own where it can't. The new call arrives as a notification of its own unless the filter lets it
    /// pass. For execveat the platform first installs the loader, close-on-exec, at the number `args[0]`.
    fn substitute(&self, call: &Syscall, nr: i32, args: [u64; 6]) -> SysResult<()>;

    /// Has the thread of `call` perform host calls one after the other while the supervisor looks at what they
    /// answer: `next` is asked what to do at the beginning, after each, and last for what the guest's call
    /// returns. Consumes the call as [`Platform::substitute`] does. After [`Performed::Interrupted`] a further
    /// [`Step::Perform`] is taken for [`Step::Again`].
    fn perform(&self, call: &Syscall, next: &mut dyn FnMut(Performed) -> Step) -> SysResult<()>;

    /// Answers `call` so that the host delivers its pending signal and then restarts the call or returns
    /// EINTR. `certain` says that this very thread was chosen for the signal, which allows the cheap way.
    fn interrupt(&self, call: &Syscall, restart: Restart, certain: bool) -> SysResult<()>;

    /// Looks a thread up.
    fn identify(&self, tid: HostTid) -> SysResult<Identity>;

    /// The children that thread `tid` of process `tgid` made, oldest first.
    fn children(&self, tgid: HostTid, tid: HostTid) -> SysResult<Vec<HostTid>>;

    /// The threads of process `tgid`.
    fn threads(&self, tgid: HostTid) -> SysResult<Vec<HostTid>>;

    /// A thread's signal books.
    fn signal_state(&self, tid: HostTid) -> SysResult<SignalState>;

    /// Raises a signal from the supervisor (si_code SI_TIMER and the like; si_pid 0).
    fn send_signal(&self, target: SignalTarget, signal: Signal) -> SysResult<()>;

    /// Queues a signal that carries something.
    fn queue_signal(&self, target: SignalTarget, signal: Signal, info: SignalInfo) -> SysResult<()>;

    /// Has [`KernelEvents::exited`] called when the process has died.
    fn watch_exit(&self, tgid: HostTid) -> SysResult<()>;

    /// Whether a watched process is dead, even if [`KernelEvents::exited`] has not said so yet.
    fn has_died(&self, tgid: HostTid) -> bool;

    /// Has `listener` called, edge-triggered, when a host fd of the supervisor becomes ready.
    fn watch_fd(&self, fd: BorrowedFd<'_>, listener: Arc<dyn ReadyListener>) -> SysResult<WatchId>;

    /// As [`Platform::watch_fd`] of a descriptor that stays open for as long as the watch. Listeners hear of what happens
    /// while a call waits ([`Platform::call_waits`]), or when somebody looks.
    fn watch_shared(&self, fd: &Arc<OwnedFd>, listener: Arc<dyn ReadyListener>) -> SysResult<WatchId> {
        self.watch_fd(fd.as_fd(), listener)
    }

    /// Tells of what has happened to shared descriptors so far, without waiting.
    fn look_at_shared(&self) {}

    /// How many looks at shared descriptors have begun: what is done now was not seen by any later one as undone.
    fn looks(&self) -> u64 {
        u64::MAX
    }

    /// A call waits from now on: what happens to shared descriptors is to be told at once.
    fn call_waits(&self) {}

    /// Somebody else than calls is to be told at once, from now on.
    fn always_tell(&self) {}

    /// Ends a watch. Of a shared descriptor nothing comes any more once it is closed.
    fn unwatch_fd(&self, watch: WatchId);

    /// Has [`KernelEvents::timer_expired`] called at `deadline_ns` of [`Clock::Monotonic`]; `None` disarms.
    fn arm_timer(&self, deadline_ns: Option<u64>);

    /// Reads one of the host's /proc files about a guest thread, at most `limit` bytes, into `out`.
    fn read_proc(&self, tid: HostTid, file: ProcFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()>;

    /// Reads one of the host's machine-wide /proc files.
    fn read_host(&self, file: HostFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()>;

    /// Sets a limit that the host enforces on a guest process (stack, address space, core, cpu, data).
    fn set_limit(&self, tgid: HostTid, resource: u32, soft: u64, hard: u64) -> SysResult<()>;

    /// Sets a guest thread's nice value, as far as the host lets anybody.
    fn set_nice(&self, tid: HostTid, nice: i32) -> SysResult<()>;

    /// A clock's time in nanoseconds.
    fn now_ns(&self, clock: Clock) -> u64;

    /// The CPU time that guests have used, in nanoseconds; ESRCH when they are gone.
    fn cpu_time_ns(&self, of: CpuTimeOf) -> SysResult<u64>;

    /// Begins or ends to count what threads spend; as often ended as begun.
    fn meter(&self, _metering: Metering) {}

    /// What the calling thread has spent so far.
    fn spent(&self) -> Spent {
        Spent::default()
    }

    /// Random bytes (getrandom(2), never blocks after boot).
    fn random(&self, buf: &mut [u8]) -> SysResult<()>;
}

/// What a thread of the supervisor has spent outside the kernel, in all, while it was metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Host calls on guests' behalf, but for copies and answers.
    pub host_calls: u64,
    pub host_ns: u64,
    /// Copies from and to guest memory.
    pub copies: u64,
    pub copy_ns: u64,
}

/// Whether [`Spent`] is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    On,
    Off,
}

/// What the platform tells the kernel apart from calls. Called on the reactor's thread.
pub trait KernelEvents: Send + Sync {
    /// A process (host id of its leader) is dead.
    fn exited(&self, tgid: HostTid);
    /// The timer armed by [`Platform::arm_timer`] ran out.
    fn timer_expired(&self);
    /// Whether any call waits.
    fn is_call_waiting(&self) -> bool {
        true
    }
    /// Called after every event, so that calls made ready by it are answered on this thread.
    fn drain(&self);
}

/// Takes calls on one thread of the platform.
pub trait Worker: Send {
    /// Handles one call: answers it, or keeps it to answer later.
    fn call(&mut self, call: Syscall);
}
