//! Where path walks of a process begin (Linux's fs_struct).

use std::sync::Arc;

use kernel_vfs::path::Path;

use crate::shareable::Shareable;

/// Root, working directory, umask.
#[derive(Clone)]
pub struct FsState {
    pub root: Path,
    pub cwd: Path,
    /// File mode creation mask, 0 to 0777.
    pub umask: u32,
}

/// The state of one process, or of several (CLONE_FS). A path walk keeps the one that it started with.
pub struct Fs(Shareable<Arc<FsState>>);

impl Fs {
    /// Nobody else's.
    #[must_use]
    pub fn new(state: FsState) -> Self {
        Self(Shareable::new(Arc::new(state)))
    }

    /// The present state.
    #[must_use]
    pub fn get(&self) -> Arc<FsState> {
        self.0.read(Arc::clone)
    }

    /// Changes it; what `change` gives may hold the last reference to something.
    pub fn change<R>(&self, change: impl FnOnce(&mut FsState) -> R) -> R {
        self.0.write(|state| change(Arc::make_mut(state)))
    }

    /// Sets it; the old one may hold the last reference to something.
    pub fn replace(&self, state: FsState) -> Arc<FsState> {
        self.0.write(|old| std::mem::replace(old, Arc::new(state)))
    }

    /// The same state, as it is now: fork(2).
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Shareable::new(self.get()))
    }

    /// The state of this process and another.
    #[must_use]
    pub fn share(&self) -> Self {
        Self(self.0.share(|own| Arc::clone(own)))
    }

    /// A copy in place of a state that other processes have, too.
    pub fn unshare(&self) {
        self.0.part(Arc::clone);
    }

    /// Whether another process has it, too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    /// Tells those of living processes apart.
    #[must_use]
    pub fn identity(&self) -> usize {
        self.0.identity()
    }
}
