//! Whose credentials are whose: each thread has its own (credentials(7)), as NFS and SMB servers and libc's
//! set*id functions rely on, which change them in all threads by signals.
//!
//! A new thread is known from its first call on, and the host does not say who made it. So whoever makes one leaves
//! its credentials with the process, and before a thread changes its own, all others become known. (Two threads of
//! different credentials that clone at the very same time are taken for each other. Threads of one process have no
//! secrets from each other.)

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::SysResult;
use kernel_base::cred::Credentials;
use kernel_base::sync::RwLock;

use crate::process::Process;
use crate::task::Task;

/// Where a thread's credentials stand. The leader's is the process's.
pub(crate) type CredentialSlot = Arc<RwLock<Arc<Credentials>>>;

impl Process {
    pub(crate) fn slot_of(&self, guest_tid: i32) -> CredentialSlot {
        if guest_tid == self.pid {
            return Arc::clone(&self.credentials);
        }
        Arc::new(RwLock::new(Arc::clone(&self.newborn_credentials.read())))
    }
}

impl Task {
    /// Present credentials; a path walk keeps the ones that it started with.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read())
    }

    /// Called when this thread is about to make another.
    pub fn prepare_thread(&self) {
        *self.process.newborn_credentials.write() = self.credentials();
        *self.process.newborn_seccomp.lock() = self.seccomp();
    }

    /// Replaces this thread's credentials by what `rule` makes of them, as one step; a refusal changes nothing.
    pub fn change_credentials(
        &self,
        rule: impl FnOnce(&Credentials) -> SysResult<Credentials>,
    ) -> SysResult<()> {
        self.kernel().find_new_threads(&self.process);
        let mut present = self.credentials.write();
        let new = rule(&present)?;
        if gains(&present, &new) {
            self.process.dumpable.store(0, Ordering::Relaxed);
        }
        *present = Arc::new(new);
        Ok(())
    }
}

/// Whether a change makes a process undumpable (kernel/cred.c:commit_creds, Linux v6.18).
pub(crate) fn gains(old: &Credentials, new: &Credentials) -> bool {
    let ids = |of: &Credentials| [of.euid, of.egid, of.fsuid, of.fsgid];
    ids(old) != ids(new) || new.permitted.0 & !old.permitted.0 != 0
}
