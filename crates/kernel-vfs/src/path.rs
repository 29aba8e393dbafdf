//! A place in the tree: a dentry below a mount.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};

use crate::dentry::Dentry;
use crate::inode::Inode;
use crate::mount::Mount;

/// A dentry as seen through a mount (Linux's `struct path`).
#[derive(Clone)]
pub struct Path {
    pub mount: Arc<Mount>,
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// A place.
    #[must_use]
    pub fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// The inode there.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether both are the same place.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// The absolute path below `root`, as /proc/pid/fd and /proc/pid/maps show it (fs/d_path.c): with
    /// " (deleted)" after a removed name; `pipe:[7]` for what lies in no directory. A place outside `root`
    /// is shown from the root of the mount tree that it is in.
    #[must_use]
    pub fn display(&self, root: &Self) -> Vec<u8> {
        let mut text = self.walk_up(root).0;
        if self.dentry.is_deleted() {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// What getcwd(2) returns: ENOENT for a removed directory, "(unreachable)" before a place outside
    /// `root`.
    pub fn display_cwd(&self, root: &Self) -> SysResult<Vec<u8>> {
        if self.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let (text, reachable) = self.walk_up(root);
        if reachable { Ok(text) } else { Ok([b"(unreachable)", text.as_slice()].concat()) }
    }

    /// Whether the place lies at or below `root`.
    #[must_use]
    pub fn is_below(&self, root: &Self) -> bool {
        let mut here = self.clone();
        loop {
            if here.is_same(root) {
                return true;
            }
            let Some(up) = here.step_up() else { return false };
            here = up;
        }
    }

    /// The directory that holds this name, crossing to the mountpoint at the root of a mount; the names
    /// crossed stay those of the mountpoint.
    fn step_up(&self) -> Option<Self> {
        if Arc::ptr_eq(&self.dentry, self.mount.root()) {
            let (mount, dentry) = self.mount.place()?;
            return Some(Self { mount, dentry });
        }
        Some(Self { mount: Arc::clone(&self.mount), dentry: self.dentry.parent()? })
    }

    fn walk_up(&self, root: &Self) -> (Vec<u8>, bool) {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut here = self.clone();
        let mut reachable = true;
        while !here.is_same(root) {
            let at_mount_root = Arc::ptr_eq(&here.dentry, here.mount.root());
            let name = here.dentry.name();
            let Some(up) = here.step_up() else {
                reachable = false;
                if !at_mount_root && names.is_empty() && !name.is_empty() {
                    return (name.to_vec(), true);
                }
                break;
            };
            if !at_mount_root {
                names.push(name);
            }
            here = up;
        }
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        (text, reachable)
    }
}
