//! Processes that are dead and perhaps not waited for yet: pidfds still name them.
//!
//! The host kills, and lets a parent's wait4(2) return, without asking; of the death it tells a little later. So who
//! has waited for a child looks, when it makes its next call, whether one is dead: what it held must be gone by then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;

use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::Task;

/// So many are kept at most.
const KEPT: usize = 1024;
/// So many may have been waited for before the host is asked which: it is asked about one for each death then, on average.
const UNASKED: usize = 64;

/// The last processes that died.
#[derive(Default)]
pub(crate) struct Dead {
    last: Mutex<Vec<Arc<Process>>>,
    /// How many were zombies when the host was last asked.
    zombies: AtomicUsize,
}

/// Whom wait4(2) waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitedFor {
    Child(i32),
    /// Any child, or any of a group.
    Any,
}

impl WaitedFor {
    fn includes(self, child: &Process) -> bool {
        self == Self::Any || self == Self::Child(child.pid)
    }
}

impl Task {
    /// This thread is about to wait for a child, as wait4(2) takes it, and the host performs that.
    pub fn waits_for(&self, pid: i32) {
        let whom = if pid > 0 { WaitedFor::Child(pid) } else { WaitedFor::Any };
        *self.waited.lock() = Some(whom);
        self.recheck.store(true, Ordering::Relaxed);
    }
}

impl Kernel {
    /// Writes down the deaths that `task`'s last call may have seen.
    pub(crate) fn recheck_waited(self: &Arc<Self>, task: &Task) {
        let Some(whom) = task.waited.lock().take() else { return };
        // A child that died before its first call was never seen; its snapshot holds what it held.
        self.settle_fork(task);
        let children: Vec<_> = task.process.children.lock().iter().filter_map(Weak::upgrade).collect();
        let gone = |child: &&Arc<Process>| {
            whom.includes(child) && !child.has_exited() && self.platform.has_died(child.tgid)
        };
        children.iter().filter(gone).for_each(|child| self.bury(child));
    }

    /// `process` is dead: wakes who waits for that.
    pub(crate) fn note_death(&self, process: &Arc<Process>) {
        let mut last = self.dead.last.lock();
        let oldest = (last.len() >= KEPT).then(|| last.remove(0));
        last.push(Arc::clone(process));
        let zombies = self.dead.zombies.load(Ordering::Relaxed);
        let is_long = last.len() >= (2 * zombies).max(UNASKED);
        drop(last);
        drop(oldest);
        if is_long {
            drop(self.zombies());
        }
        process.exited.store(true, Ordering::Release);
        process.exit_queue.wake(Events::IN | Events::RDNORM);
    }

    /// Processes that are dead and have not been waited for; forgets those that have been.
    #[must_use]
    pub fn zombies(&self) -> Vec<Arc<Process>> {
        let all = self.dead.last.lock().clone();
        let (reaped, zombies): (Vec<_>, Vec<_>) = all.into_iter().partition(|dead| dead.is_reaped());
        let is_reaped = |dead: &Arc<Process>| reaped.iter().any(|other| Arc::ptr_eq(dead, other));
        // Their last references are dropped with `reaped`, outside the lock.
        self.dead.last.lock().retain(|dead| !is_reaped(dead));
        self.dead.zombies.store(zombies.len(), Ordering::Relaxed);
        zombies
    }

    /// The process with this id inside the container, alive or a zombie.
    #[must_use]
    pub fn process_or_zombie(self: &Arc<Self>, pid: i32) -> Option<Arc<Process>> {
        let zombie = || {
            let found = self.dead.last.lock().iter().rev().find(|dead| dead.pid == pid).cloned();
            found.filter(|dead| !dead.is_reaped())
        };
        self.process(pid).or_else(zombie)
    }
}

impl Process {
    /// Whether it is dead.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.exited.load(Ordering::Acquire)
    }

    /// Whether it is dead and has been waited for.
    #[must_use]
    pub fn is_reaped(&self) -> bool {
        let is_it = |id: platform_api::Identity| id.tgid == self.tgid && id.guest_tgid == self.pid;
        self.has_exited() && !self.kernel.platform.identify(self.tgid).is_ok_and(is_it)
    }
}
