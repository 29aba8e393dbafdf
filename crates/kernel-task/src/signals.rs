//! Signals and waiting calls.
//!
//! Signals are the host's, but a thread in an emulated call waits killable-only and does not notice an
//! ordinary one. Whatever may raise a signal therefore says so here: [`Kernel::check_signals`] when the
//! signal is queued for certain, [`Kernel::signal_hint`] when it is about to be (a gated kill that the host
//! performs after our answer, a child that is dying). A parked thread that would act on a pending signal
//! has its call dropped and is sent through the host's signal delivery, which runs the handler and then
//! restarts the call or returns EINTR.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use abi_linux::fs::Events;
use abi_linux::signal::{SigSet, Signal};
use kernel_base::sync::Mutex;
use kernel_base::timer::Expire;
use platform_api::{Reply, Restart, SignalState, SignalTarget};

use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::{Task, WaitMask};

/// When to look again after a hint, in nanoseconds from the look before.
const PROBE_DELAYS_NS: [u64; 7] = [30_000, 100_000, 300_000, 1_000_000, 4_000_000, 20_000_000, 100_000_000];
/// How long after a hint a call that parks looks at once.
const HINT_LIFETIME_NS: u64 = 150_000_000;

/// Looks at a process again and again for a while.
struct Probe {
    process: Weak<Process>,
    /// Next index into [`PROBE_DELAYS_NS`].
    step: Mutex<usize>,
    /// Keeps the probe alive while a timer holds it weakly.
    this: Mutex<Option<Arc<Probe>>>,
}

impl Probe {
    fn rearm(self: &Arc<Self>, process: &Process) {
        let mut step = self.step.lock();
        let delay = PROBE_DELAYS_NS.get(*step).copied();
        *step += 1;
        drop(step);
        match delay {
            Some(delay) => {
                *self.this.lock() = Some(Arc::clone(self));
                let timers = &process.kernel.timers;
                let target: Weak<Self> = Arc::downgrade(self);
                timers.arm(timers.now_ns().saturating_add(delay), target);
            }
            None => *self.this.lock() = None,
        }
    }
}

impl Expire for Probe {
    fn expire(&self) {
        let me = self.this.lock().take();
        let (Some(me), Some(process)) = (me, self.process.upgrade()) else { return };
        if process.is_dying() {
            return;
        }
        process.kernel.check_signals(&process);
        if process.kernel.has_parked(&process) {
            me.rearm(&process);
        }
    }
}

impl Kernel {
    /// `sender` is about to signal these through the host. They are looked at for a while, and again when
    /// the sender makes its next call, which is certainly after the signal.
    pub fn signal_sent_by(&self, sender: &Task, targets: &[Arc<Process>], signal: Signal) {
        for target in targets {
            self.signal_hint(target);
            self.hint_parent_of_stop(target, signal);
        }
        let mut signalled = sender.signalled.lock();
        signalled.extend(targets.iter().map(Arc::downgrade));
        sender.recheck.store(true, Ordering::Relaxed);
    }

    /// `sender` is about to signal itself: what waits for signals is told when it makes its next call.
    pub(crate) fn recheck_at_next_call(&self, sender: &Task) {
        sender.signalled.lock().push(Arc::downgrade(&sender.process));
        sender.recheck.store(true, Ordering::Relaxed);
    }

    /// Looks again at whom `sender`'s last call signalled.
    pub(crate) fn recheck_signalled(&self, sender: &Task) {
        let targets = std::mem::take(&mut *sender.signalled.lock());
        for target in targets.iter().filter_map(Weak::upgrade) {
            self.check_signals(&target);
        }
    }

    fn has_parked(&self, process: &Process) -> bool {
        let Some(parked) = self.parked_calls() else { return false };
        process.tasks().iter().any(|task| parked.parked(task.tid).is_some())
    }

    /// A signal may reach `process` soon; the host raises it without telling.
    pub fn signal_hint(&self, process: &Arc<Process>) {
        let until = self.timers.now_ns().saturating_add(HINT_LIFETIME_NS);
        process.signal_hint_until.store(until, Ordering::Relaxed);
        self.probe(process);
    }

    fn probe(&self, process: &Arc<Process>) {
        if !self.has_parked(process) {
            return;
        }
        let probe = Probe { process: Arc::downgrade(process), step: Mutex::new(0), this: Mutex::new(None) };
        Arc::new(probe).rearm(process);
    }

    /// A call of `task` has just been parked: looks whether a signal came before that. When the call began, the thread
    /// had made `forks` snapshots; the call may have ended meanwhile.
    pub fn parked_now(&self, task: &Task, forks: u64) {
        self.platform.call_waits();
        // Its clone has returned long ago. A snapshot without a child would keep pipes open that this call
        // may be waiting for.
        task.kernel().settle_fork_before(task, forks);
        let until = task.process.signal_hint_until.load(Ordering::Relaxed);
        let hinted = until != 0 && self.timers.now_ns() <= until;
        // A mask of its own may let through what has long been pending.
        if !hinted && task.wait_mask().is_none() {
            return;
        }
        self.check_signals(&task.process);
        self.probe(&task.process);
    }

    /// Interrupts those parked calls of `process` whose thread has a signal to act on.
    pub fn check_signals(&self, process: &Process) {
        self.signal_arrivals.wake(Events::IN);
        let Some(parked) = self.parked_calls() else { return };
        let mut waiting: Vec<_> =
            process.tasks().into_iter().filter(|task| parked.parked(task.tid).is_some()).collect();
        // The host prefers the leader for a process-wide signal (kernel/signal.c complete_signal).
        waiting.sort_by_key(|task| !task.is_leader());
        let single = process.tasks.lock().len() == 1;
        for task in waiting {
            let Ok(state) = self.platform.signal_state(task.tid) else { continue };
            let mask = task.wait_mask();
            let waiting = SignalState { blocked: mask.map_or(state.blocked, |mask| mask.set), ..state };
            let own = waiting.deliverable(state.pending).0 != 0;
            let shared = waiting.deliverable(state.shared_pending).0 != 0;
            let admitted = waiting.deliverable(SigSet(state.pending.0 | state.shared_pending.0));
            let at_any_time = state.deliverable(admitted).0 != 0;
            match mask.filter(|_| !at_any_time) {
                Some(mask) if own || shared => self.suspend(&task, mask),
                None if own || shared => self.interrupt(&task, &waiting, own || single),
                _ => {}
            }
            if shared && !single {
                // One thread takes it; a later look tells whether another is due as well.
                break;
            }
        }
    }

    fn interrupt(&self, task: &Task, state: &SignalState, certain: bool) {
        let Some(parked) = self.parked_calls() else { return };
        let Some(call) = parked.cancel(task.tid) else { return };
        let done = task.take_progress();
        if done > 0 {
            self.platform.reply(call.id, Reply::Value(done));
            return;
        }
        let restart = match parked.restart_of(call.nr) {
            Restart::Sys if task.process.interrupts_call(state) => Restart::Interrupted,
            restart => restart,
        };
        if let Err(error) = self.platform.interrupt(&call, restart, certain) {
            tracing::debug!(tid = task.tid, %error, "thread died while it was interrupted");
        }
    }

    /// Lets the host deliver what only the mask of the wait lets through (see [`WaitMask`]).
    fn suspend(&self, task: &Task, mask: WaitMask) {
        const RT_SIGSUSPEND: i32 = 130;
        const SIGSET_SIZE: u64 = 8;
        let Some(parked) = self.parked_calls() else { return };
        let Some(call) = parked.cancel(task.tid) else { return };
        let args = [mask.at, SIGSET_SIZE, 0, 0, 0, 0];
        if let Err(error) = self.platform.substitute(&call, RT_SIGSUSPEND, args) {
            tracing::debug!(tid = task.tid, %error, "cannot suspend a thread for its signal");
            self.platform.reply(call.id, Reply::Errno(abi_linux::Errno::EINTR));
        }
    }

    /// The signal books of a thread.
    pub fn signal_state(&self, task: &Task) -> SysResult<SignalState> {
        self.platform.signal_state(task.tid)
    }

    /// Raises a signal at a process from the supervisor, and interrupts what it waits in.
    pub fn signal_process(&self, process: &Arc<Process>, signal: Signal) -> SysResult<()> {
        self.platform.send_signal(SignalTarget::Process(process.tgid), signal)?;
        self.check_signals(process);
        self.hint_parent_of_stop(process, signal);
        Ok(())
    }

    /// Raises a signal at every process of a group.
    pub fn signal_group(self: &Arc<Self>, pgid: i32, signal: Signal) -> SysResult<()> {
        let group = self.group(pgid);
        if group.is_empty() {
            return Err(abi_linux::Errno::ESRCH);
        }
        group.iter().try_for_each(|process| self.signal_process(process, signal))
    }

    /// A stop or continue of a process raises SIGCHLD at its parent.
    pub fn hint_parent_of_stop(&self, process: &Process, signal: Signal) {
        let stops = matches!(
            signal,
            Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU | Signal::SIGCONT
        );
        if let Some(parent) = process.parent().filter(|_| stops) {
            self.signal_hint(&parent);
        }
    }
}
