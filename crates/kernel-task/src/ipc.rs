//! What a process holds of System V IPC, and how its life ends it.

use std::sync::Arc;

use abi_linux::time::NSEC_PER_SEC;
use kernel_ipc::shm::Attachments;
use kernel_ipc::{Actor, IpcNamespace};
use platform_api::Clock;

use crate::fork::ChildMemory;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::Task;

impl Kernel {
    /// Real time in seconds.
    pub(crate) fn now_s(&self) -> i64 {
        (self.platform.now_ns(Clock::Realtime) / NSEC_PER_SEC) as i64
    }
}

impl Process {
    /// Its IPC namespace.
    #[must_use]
    pub fn ipc(&self) -> Arc<IpcNamespace> {
        Arc::clone(&self.namespaces().ipc.objects)
    }

    /// The shared memory that its address space has attached.
    #[must_use]
    pub fn shm(&self) -> Arc<Attachments> {
        Arc::clone(&self.shm.lock())
    }

    /// What a child's address space has attached.
    pub(crate) fn inherited_shm(&self, memory: ChildMemory) -> Arc<Attachments> {
        let own = self.shm();
        match memory {
            ChildMemory::Shared | ChildMemory::Lent => own,
            ChildMemory::Copied if own.is_empty() => Arc::default(),
            ChildMemory::Copied => Arc::new(own.duplicate(self.pid, self.kernel.now_s())),
        }
    }

    /// Tells address spaces of living processes apart.
    #[must_use]
    pub fn memory_identity(&self) -> usize {
        Arc::as_ptr(&self.shm()).addr()
    }

    /// Whether another process runs in the same address space (CLONE_VM).
    #[must_use]
    pub fn shares_memory(&self) -> bool {
        // One reference is the process's, one ours.
        Arc::strong_count(&self.shm()) > 2
    }

    /// It has left its address space: by exec or exit. Others may share it (vfork).
    pub(crate) fn leave_shm(&self) {
        let old = std::mem::take(&mut *self.shm.lock());
        if let Some(last) = Arc::into_inner(old).filter(|last| !last.is_empty()) {
            last.clear(self.pid, self.kernel.now_s());
        }
    }

    /// Makes the adjustments of SEM_UNDO.
    pub fn undo_semaphores(&self) {
        self.sem_undo.apply(self.pid, || self.kernel.now_s());
    }
}

impl Task {
    /// Runs `f` with who this thread is to IPC objects.
    pub fn with_actor<R>(&self, f: impl FnOnce(&Actor<'_>) -> R) -> R {
        let creds = self.credentials();
        f(&Actor { creds: &creds, pid: self.process.pid, now_s: self.kernel().now_s() })
    }
}
