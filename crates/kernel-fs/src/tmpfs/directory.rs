//! The entries of a directory. Positions for getdents64(2) are numbers given to entries in the order they
//! were made and never again, so that they hold while others come and go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};

use super::inode::TmpInode;

/// Position of the first entry after "." and "..".
const FIRST: u64 = 2;

/// An entry: its position, its name, what it leads to.
pub(super) type Listed = (u64, Arc<[u8]>, Arc<TmpInode>);

/// Entries of one directory.
pub(super) struct Directory {
    by_name: HashMap<Arc<[u8]>, u64>,
    by_position: BTreeMap<u64, (Arc<[u8]>, Arc<TmpInode>)>,
    next_position: u64,
    /// For ".."; none at the root.
    pub(super) parent: Weak<TmpInode>,
    /// Removed: nothing can be made in it any more.
    pub(super) dead: bool,
}

impl Directory {
    pub(super) fn new(parent: Weak<TmpInode>) -> Self {
        Self {
            by_name: HashMap::new(),
            by_position: BTreeMap::new(),
            next_position: FIRST,
            parent,
            dead: false,
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> SysResult<&Arc<TmpInode>> {
        let position = self.by_name.get(name).ok_or(Errno::ENOENT)?;
        self.by_position.get(position).map(|(_, inode)| inode).ok_or(Errno::ENOENT)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Adds a name; EEXIST, or ENOENT in a removed directory.
    pub(super) fn insert(&mut self, name: &[u8], inode: Arc<TmpInode>) -> SysResult<()> {
        if self.dead {
            return Err(Errno::ENOENT);
        }
        if self.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let name: Arc<[u8]> = Arc::from(name);
        self.by_name.insert(Arc::clone(&name), self.next_position);
        self.by_position.insert(self.next_position, (name, inode));
        self.next_position += 1;
        Ok(())
    }

    /// Leads a name to another inode at the same position; what it led to before.
    pub(super) fn replace(&mut self, name: &[u8], inode: Arc<TmpInode>) -> SysResult<Arc<TmpInode>> {
        let position = self.by_name.get(name).ok_or(Errno::ENOENT)?;
        let (_, slot) = self.by_position.get_mut(position).ok_or(Errno::ENOENT)?;
        Ok(std::mem::replace(slot, inode))
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> SysResult<Arc<TmpInode>> {
        let position = self.by_name.remove(name).ok_or(Errno::ENOENT)?;
        self.by_position.remove(&position).map(|(_, inode)| inode).ok_or(Errno::ENOENT)
    }

    /// Up to `count` entries from `position` on.
    pub(super) fn window(&self, position: u64, count: usize) -> Vec<Listed> {
        let range = self.by_position.range(position.max(FIRST)..).take(count);
        range.map(|(&at, (name, inode))| (at, Arc::clone(name), Arc::clone(inode))).collect()
    }

    /// Takes all children out, for dropping a deep tree without recursion.
    pub(super) fn take_all(&mut self) -> Vec<Arc<TmpInode>> {
        self.by_name.clear();
        std::mem::take(&mut self.by_position).into_values().map(|(_, inode)| inode).collect()
    }
}
