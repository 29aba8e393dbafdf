//! Processes that are dead and perhaps not waited for yet: pidfds still name them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;

use crate::kernel::Kernel;
use crate::process::Process;

/// So many are kept; whether one is still a zombie the host is asked.
const KEPT: usize = 256;

/// The last processes that died.
#[derive(Default)]
pub(crate) struct Dead {
    last: Mutex<Vec<Arc<Process>>>,
}

impl Kernel {
    /// `process` is dead: wakes who waits for that.
    pub(crate) fn note_death(&self, process: &Arc<Process>) {
        let mut last = self.dead.last.lock();
        let oldest = (last.len() >= KEPT).then(|| last.remove(0));
        last.push(Arc::clone(process));
        drop(last);
        drop(oldest);
        process.exited.store(true, Ordering::Release);
        process.exit_queue.wake(Events::IN | Events::RDNORM);
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
