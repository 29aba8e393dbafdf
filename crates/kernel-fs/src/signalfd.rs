//! signalfd(2): pending signals as a file, after Linux v6.18 fs/signalfd.c.
//!
//! Signals are the host's, and only the thread itself can take one: a read is therefore made by the system call
//! layer, which has the reader perform rt_sigtimedwait(2). Here are the mask and the readiness, which is that of
//! the thread that asks.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::fs::Events;
use abi_linux::signal::{SigSet, Signal};
use kernel_base::wait::WaitQueue;
use kernel_task::{Kernel, current};
use kernel_vfs::file::{File, FileOps};
use platform_api::HostTid;

/// A signalfd. Its `read` is never called.
pub struct SignalFd {
    kernel: Arc<Kernel>,
    mask: AtomicU64,
}

impl SignalFd {
    /// A signalfd for `mask`.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, mask: SigSet) -> Arc<Self> {
        let fd = Self { kernel: Arc::clone(kernel), mask: AtomicU64::new(0) };
        fd.set_mask(mask);
        Arc::new(fd)
    }

    /// The signalfd behind an open file.
    #[must_use]
    pub fn of(file: &File) -> Option<&Self> {
        if file.ops.is_seekable() { None } else { file.ops.as_any().downcast_ref() }
    }

    /// Replaces the mask; SIGKILL and SIGSTOP never come this way.
    pub fn set_mask(&self, mask: SigSet) {
        let never = Signal::SIGKILL.bit().0 | Signal::SIGSTOP.bit().0;
        self.mask.store(mask.0 & !never, Ordering::Relaxed);
        self.kernel.signal_arrivals.wake(Events::IN);
    }

    /// Which signals it gives.
    #[must_use]
    pub fn mask(&self) -> SigSet {
        SigSet(self.mask.load(Ordering::Relaxed))
    }

    /// Whether one of them is pending for a thread or its process.
    #[must_use]
    pub fn has_pending(&self, tid: HostTid) -> bool {
        let Ok(state) = self.kernel.platform.signal_state(tid) else { return false };
        (state.pending.0 | state.shared_pending.0) & self.mask().0 != 0
    }
}

impl FileOps for SignalFd {
    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        if self.has_pending(current::tid()) { Events::IN } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.kernel.signal_arrivals)
    }

    fn fdinfo(&self) -> String {
        format!("sigmask:\t{:016x}\n", self.mask().0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
