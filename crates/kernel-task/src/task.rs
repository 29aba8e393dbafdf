//! A thread of a guest.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use abi_linux::signal::{SigSet, Signal};
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::sync::Mutex;
use kernel_base::user::GuestMem;
use kernel_vfs::walk::WalkContext;
use platform_api::{Clock, HostTid, SignalTarget, Syscall};

use crate::dead::WaitedFor;
use crate::fork::ForkSnapshot;
use crate::kernel::Kernel;
use crate::namespaces::{ChildChange, ChildFiles};
use crate::process::Process;
use crate::seccomp::Mode;
use crate::thread_credentials::CredentialSlot;

/// The mask that ppoll(2) and its like put in place of the thread's own while they wait. The host knows
/// nothing of it: when a signal comes that only this mask lets through, the host is made to perform
/// rt_sigsuspend(2) with it instead, which runs the handler below this mask and answers EINTR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitMask {
    pub set: SigSet,
    /// Where the guest keeps it.
    pub at: u64,
}

/// What set_mempolicy(2) was told: mode with flags, and nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    pub mode: i32,
    pub nodes: u64,
}

/// One guest thread. All host ids are the supervisor's view, all others the guest's.
pub struct Task {
    /// Host thread id.
    pub tid: HostTid,
    /// Thread id inside the container.
    pub guest_tid: i32,
    /// Its thread group.
    pub process: Arc<Process>,
    pub(crate) credentials: CredentialSlot,
    pub(crate) seccomp: Mutex<Mode>,
    /// Whether `seccomp` says anything: looked at for each call.
    pub(crate) has_seccomp: AtomicBool,
    /// A fork of this thread whose child has not been seen yet.
    pub(crate) pending_fork: Mutex<Option<ForkSnapshot>>,
    /// How many there have been.
    pub(crate) forks: AtomicU64,
    /// A clone with namespaces of this thread that the host performs without them.
    child_change: Mutex<Option<ChildChange>>,
    comm: Mutex<[u8; 16]>,
    progress: AtomicI64,
    memory_policy: Mutex<MemoryPolicy>,
    /// Of the call that it waits in.
    wait_mask: Mutex<Option<WaitMask>>,
    /// Whether `signalled` or `waited` holds something: looked at for each call.
    pub(crate) recheck: AtomicBool,
    /// Whom this thread's last calls signalled through the host.
    pub(crate) signalled: Mutex<Vec<Weak<Process>>>,
    /// Whom this thread's last call, which the host performed, waited for.
    pub(crate) waited: Mutex<Option<WaitedFor>>,
}

impl Task {
    pub(crate) fn new(tid: HostTid, guest_tid: i32, process: Arc<Process>, comm: [u8; 16]) -> Arc<Self> {
        let seccomp = process.newborn_seccomp.lock().clone();
        Arc::new(Self {
            credentials: process.slot_of(guest_tid),
            has_seccomp: AtomicBool::new(seccomp.number() != 0),
            seccomp: Mutex::new(seccomp),
            tid,
            guest_tid,
            process,
            pending_fork: Mutex::new(None),
            forks: AtomicU64::new(0),
            child_change: Mutex::new(None),
            comm: Mutex::new(comm),
            progress: AtomicI64::new(0),
            memory_policy: Mutex::default(),
            wait_mask: Mutex::new(None),
            recheck: AtomicBool::new(false),
            signalled: Mutex::default(),
            waited: Mutex::default(),
        })
    }

    /// The container's kernel.
    #[must_use]
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.process.kernel
    }

    /// The thread's memory.
    #[must_use]
    pub fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&*self.process.kernel.platform, self.tid)
    }

    /// Runs `f` with where this thread's path walks begin and who it is.
    pub fn with_walk<R>(&self, f: impl FnOnce(&WalkContext<'_>) -> R) -> R {
        let fs = self.process.fs.get();
        let creds = self.credentials();
        f(&WalkContext { root: &fs.root, cwd: &fs.cwd, creds: &creds, who: self, umask: fs.umask })
    }

    /// Keeps what the child of a substituted clone gets.
    pub fn keep_child_change(&self, change: ChildChange) {
        let old = self.child_change.lock().replace(change);
        drop(old);
    }

    /// Gives it to the child that is about to be made, if `call` is that clone: a signal's handler may make another one
    /// in between.
    pub fn take_child_change(&self, call: &Syscall) {
        let mut kept = self.child_change.lock();
        let is_it = kept.as_ref().is_some_and(|change| {
            (change.nr, change.args, change.instruction_pointer)
                == (call.nr, call.args, call.instruction_pointer)
        });
        let taken = if is_it { kept.take() } else { None };
        drop(kept);
        let Some(change) = taken else { return };
        if change.files == ChildFiles::Shared
            && let Some(snapshot) = &mut *self.pending_fork.lock()
        {
            snapshot.files = self.process.files.share();
        }
        if let Some(changed) = change.changed {
            self.move_child(changed);
        }
    }

    /// Its name (PR_GET_NAME): at most 15 bytes and a NUL.
    #[must_use]
    pub fn comm(&self) -> [u8; 16] {
        *self.comm.lock()
    }

    /// Sets its name, cut to 15 bytes.
    pub fn set_comm(&self, name: &[u8]) {
        *self.comm.lock() = comm_from(name);
    }

    /// What a call that waits has done so far: when a signal interrupts it, that is its result.
    pub fn set_progress(&self, done: usize) {
        self.progress.store(done as i64, Ordering::Relaxed);
    }

    pub(crate) fn take_progress(&self) -> i64 {
        self.progress.swap(0, Ordering::Relaxed)
    }

    /// Its memory policy, which nothing follows. (Children begin with the default one.)
    #[must_use]
    pub fn memory_policy(&self) -> MemoryPolicy {
        *self.memory_policy.lock()
    }

    /// Sets it.
    pub fn set_memory_policy(&self, policy: MemoryPolicy) {
        *self.memory_policy.lock() = policy;
    }

    /// The signal mask of the wait that this thread is in, if it has one of its own.
    #[must_use]
    pub fn wait_mask(&self) -> Option<WaitMask> {
        *self.wait_mask.lock()
    }

    /// Sets or ends the mask of a wait (see [`WaitMask`]).
    pub fn set_wait_mask(&self, mask: Option<WaitMask>) {
        *self.wait_mask.lock() = mask;
    }

    /// Whether this is the leader of its thread group.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.guest_tid == self.process.pid
    }
}

/// A thread name from bytes: up to the first NUL, at most 15 bytes.
#[must_use]
pub fn comm_from(name: &[u8]) -> [u8; 16] {
    let mut comm = [0; 16];
    let len = name.iter().position(|&b| b == 0).unwrap_or(name.len()).min(15);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

impl Caller for Task {
    fn pid(&self) -> i32 {
        self.process.pid
    }
    #[expect(clippy::misnamed_getters, reason = "files see the guest's id; the field `tid` is the host's")]
    fn tid(&self) -> i32 {
        self.guest_tid
    }
    fn files_id(&self) -> u64 {
        self.process.files.id()
    }
    fn pgid(&self) -> i32 {
        self.process.pgid()
    }
    fn sid(&self) -> i32 {
        self.process.sid()
    }
    fn terminal_session(&self) -> i32 {
        self.process.terminal_session()
    }
    fn give_up_terminal(&self) {
        self.process.settings.without_terminal.store(true, Ordering::Relaxed);
    }
    fn credentials(&self) -> Arc<Credentials> {
        Self::credentials(self)
    }
    fn mem(&self) -> GuestMem<'_> {
        Self::mem(self)
    }
    fn raise(&self, signal: Signal) {
        let target = SignalTarget::Thread { tgid: self.process.tgid, tid: self.tid };
        // The thread is in a call, so it is alive; if it is being killed the signal no longer matters.
        let _ = self.kernel().platform.send_signal(target, signal);
    }
    fn raise_group(&self, pgid: i32, signal: Signal) -> SysResult<()> {
        self.kernel().signal_group(pgid, signal)?;
        // This thread's own call may park next and has to find the signal then.
        self.kernel().signal_hint(&self.process);
        Ok(())
    }
    fn blocks_or_ignores(&self, signal: Signal) -> bool {
        let state = self.kernel().platform.signal_state(self.tid).unwrap_or_default();
        state.blocked.contains(signal) || state.ignored.contains(signal)
    }
    fn group_is_orphaned(&self) -> bool {
        self.kernel().group_is_orphaned(self.process.pgid())
    }
    fn now_realtime_ns(&self) -> u64 {
        self.kernel().platform.now_ns(Clock::Realtime)
    }
}
