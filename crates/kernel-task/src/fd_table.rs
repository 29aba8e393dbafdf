//! File descriptor tables (fs/file.c).
//!
//! The table's lock is a leaf: files are dropped after it is released, because the last reference may run
//! a file's own clean-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_vfs::file::File;

use crate::shareable::Shareable;

/// Most descriptors of one process, whatever its RLIMIT_NOFILE says: a bound on supervisor memory.
pub const MAX_FDS: usize = 1 << 16;

/// One descriptor.
#[derive(Clone)]
pub struct Descriptor {
    pub file: Arc<File>,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

struct Slots {
    slots: Vec<Option<Descriptor>>,
    /// No free slot lies below this number.
    first_free: usize,
    /// Unlike that of any other table, ever: record locks are a table's.
    id: u64,
}

/// The descriptors of one process, or of several (CLONE_FILES).
#[derive(Default)]
pub struct FdTable {
    slots: Shareable<Slots>,
}

impl Default for Slots {
    fn default() -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self { slots: Vec::new(), first_free: 0, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Slots {
    fn duplicate(&self) -> Self {
        Self { slots: self.slots.clone(), first_free: self.first_free, ..Self::default() }
    }

    fn free_from(&self, from: usize) -> usize {
        let start = from.max(self.first_free);
        let found = self.slots.iter().skip(start).position(Option::is_none);
        found.map_or(self.slots.len().max(start), |at| start + at)
    }

    fn put(&mut self, at: usize, descriptor: Descriptor) -> Option<Descriptor> {
        if at >= self.slots.len() {
            self.slots.resize(at + 1, None);
        }
        if at == self.first_free {
            self.first_free = at + 1;
        }
        self.slots[at].replace(descriptor)
    }

    fn take(&mut self, at: usize) -> Option<Descriptor> {
        let taken = self.slots.get_mut(at)?.take()?;
        self.first_free = self.first_free.min(at);
        Some(taken)
    }
}

impl FdTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file behind `fd`, EBADF without one. O_PATH files are given, too.
    pub fn get(&self, fd: Fd) -> SysResult<Arc<File>> {
        self.descriptor(fd).map(|descriptor| descriptor.file)
    }

    /// The descriptor `fd`, EBADF without one.
    pub fn descriptor(&self, fd: Fd) -> SysResult<Descriptor> {
        let at = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        self.slots.read(|slots| slots.slots.get(at).and_then(Clone::clone)).ok_or(Errno::EBADF)
    }

    /// Puts a file at the lowest free number from `from` on. EMFILE when that number is not below `limit`
    /// (RLIMIT_NOFILE); EINVAL when `from` is not (fcntl(F_DUPFD)).
    pub fn insert_from(&self, file: Arc<File>, cloexec: bool, from: usize, limit: u64) -> SysResult<Fd> {
        let limit = (limit.min(MAX_FDS as u64)) as usize;
        if from >= limit && from > 0 {
            return Err(Errno::EINVAL);
        }
        self.slots.write(|slots| {
            let at = slots.free_from(from);
            if at >= limit {
                return Err(Errno::EMFILE);
            }
            slots.put(at, Descriptor { file, cloexec });
            Ok(Fd(at as i32))
        })
    }

    /// Puts a file at the lowest free number.
    pub fn insert(&self, file: Arc<File>, cloexec: bool, limit: u64) -> SysResult<Fd> {
        self.insert_from(file, cloexec, 0, limit)
    }

    /// EMFILE when [`FdTable::insert`] would answer it now: asked before something is consumed for it.
    pub fn check_room(&self, limit: u64) -> SysResult<()> {
        let at = self.slots.read(|slots| slots.free_from(0));
        if (at as u64) < limit.min(MAX_FDS as u64) { Ok(()) } else { Err(Errno::EMFILE) }
    }

    /// The two numbers that [`FdTable::insert`] would give next; EMFILE where it would.
    pub fn free_numbers(&self, limit: u64) -> SysResult<[Fd; 2]> {
        let [first, second] = self.slots.read(|slots| {
            let first = slots.free_from(0);
            [first, slots.free_from(first + 1)]
        });
        let fits = (second as u64) < limit.min(MAX_FDS as u64);
        if fits { Ok([Fd(first as i32), Fd(second as i32)]) } else { Err(Errno::EMFILE) }
    }

    /// Puts a file at exactly `fd` (dup2) and returns what was there. EBADF when `fd` is out of range.
    pub fn replace(
        &self,
        fd: Fd,
        file: Arc<File>,
        cloexec: bool,
        limit: u64,
    ) -> SysResult<Option<Arc<File>>> {
        let at = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        if at as u64 >= limit.min(MAX_FDS as u64) {
            return Err(Errno::EBADF);
        }
        let old = self.slots.write(|slots| slots.put(at, Descriptor { file, cloexec }));
        Ok(old.map(|descriptor| descriptor.file))
    }

    /// Removes a descriptor; EBADF without one.
    pub fn remove(&self, fd: Fd) -> SysResult<Arc<File>> {
        let at = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        let taken = self.slots.write(|slots| slots.take(at));
        taken.map(|descriptor| descriptor.file).ok_or(Errno::EBADF)
    }

    /// Removes all descriptors from `first` to `last` (close_range).
    #[must_use]
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<(Fd, Arc<File>)> {
        self.slots.write(|slots| {
            let end = slots.slots.len().min((last as usize).saturating_add(1));
            (first as usize..end).filter_map(|at| Some((Fd(at as i32), slots.take(at)?.file))).collect()
        })
    }

    /// Sets FD_CLOEXEC on all descriptors from `first` to `last` (CLOSE_RANGE_CLOEXEC).
    pub fn set_cloexec_range(&self, first: u32, last: u32) {
        self.slots.write(|slots| {
            let end = slots.slots.len().min((last as usize).saturating_add(1));
            if let Some(range) = slots.slots.get_mut(first as usize..end) {
                range.iter_mut().flatten().for_each(|descriptor| descriptor.cloexec = true);
            }
        });
    }

    /// fcntl(F_SETFD).
    pub fn set_cloexec(&self, fd: Fd, cloexec: bool) -> SysResult<()> {
        let at = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        self.slots.write(|slots| {
            let slot = slots.slots.get_mut(at).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
            slot.cloexec = cloexec;
            Ok(())
        })
    }

    /// Removes the descriptors marked FD_CLOEXEC: exec(2).
    #[must_use]
    pub fn remove_cloexec(&self) -> Vec<Arc<File>> {
        self.slots.write(|slots| {
            let marked: Vec<usize> = (0..slots.slots.len())
                .filter(|&at| slots.slots[at].as_ref().is_some_and(|descriptor| descriptor.cloexec))
                .collect();
            marked.into_iter().filter_map(|at| Some(slots.take(at)?.file)).collect()
        })
    }

    /// Empties the table, or leaves it to the other processes that have it: exit.
    #[must_use]
    pub fn leave(&self) -> Vec<Arc<File>> {
        self.slots.part(|_| Slots::default());
        let slots = self.slots.write(|slots| {
            slots.first_free = 0;
            std::mem::take(&mut slots.slots)
        });
        slots.into_iter().flatten().map(|descriptor| descriptor.file).collect()
    }

    /// A copy with the same files: fork(2).
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { slots: Shareable::new(self.slots.read(Slots::duplicate)) }
    }

    /// The table itself, for another process (CLONE_FILES).
    #[must_use]
    pub fn share(&self) -> Self {
        Self { slots: self.slots.share(std::mem::take) }
    }

    /// A copy in place of a table that other processes have, too: unshare(2), exec(2).
    pub fn unshare(&self) {
        self.slots.part(Slots::duplicate);
    }

    /// Who holds record locks for it (Linux's files_struct).
    pub fn id(&self) -> u64 {
        self.slots.read(|slots| slots.id)
    }

    /// Tells tables of living processes apart.
    pub fn identity(&self) -> usize {
        self.slots.identity()
    }

    /// Numbers and descriptors, for /proc/pid/fd.
    #[must_use]
    pub fn list(&self) -> Vec<(Fd, Descriptor)> {
        self.slots.read(|slots| {
            let entries = slots.slots.iter().enumerate();
            entries.filter_map(|(at, slot)| Some((Fd(at as i32), slot.clone()?))).collect()
        })
    }
}

#[cfg(test)]
#[path = "fd_table_test.rs"]
mod tests;
