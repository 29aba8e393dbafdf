//! What a user has of inotify: instances and watches, counted while they exist.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_vfs::notify::{Accounts, Resource};

/// One thing of a user's, given back with the value.
pub(super) struct Charge {
    accounts: Arc<Accounts>,
    uid: u32,
    resource: Resource,
}

impl Charge {
    fn new(accounts: &Arc<Accounts>, uid: u32, resource: Resource, full: Errno) -> SysResult<Self> {
        if !accounts.charge(uid, resource) {
            return Err(full);
        }
        Ok(Self { accounts: Arc::clone(accounts), uid, resource })
    }

    /// An instance: EMFILE beyond max_user_instances.
    pub(super) fn instance(accounts: &Arc<Accounts>, uid: u32) -> SysResult<Self> {
        Self::new(accounts, uid, Resource::Instance, Errno::EMFILE)
    }

    /// A watch: ENOSPC beyond max_user_watches.
    pub(super) fn watch(accounts: &Arc<Accounts>, uid: u32) -> SysResult<Self> {
        Self::new(accounts, uid, Resource::Watch, Errno::ENOSPC)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.accounts.uncharge(self.uid, self.resource);
    }
}
