//! Tables of IPC objects by id and by key (ipc/util.c).
//!
//! An id is `seq << 15 | index`: an index is used again in a later round only, with the next `seq`, so that
//! stale ids are noticed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;

use crate::perm::{Actor, Perm, READ};

/// IPCMNI_SHIFT.
const INDEX_BITS: u32 = 15;
/// Most objects of a kind, and one more than the largest index.
pub const IPCMNI: u64 = 1 << INDEX_BITS;
/// Indices go round no sooner than here (ipc_min_cycle).
const MIN_CYCLE: usize = 64;
const IPC_CREAT: u32 = 0o1000;
const IPC_EXCL: u32 = 0o2000;

/// The key of a *get call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// IPC_PRIVATE: always a new object.
    Private,
    Named(i32),
}

impl Key {
    /// From the guest's number.
    #[must_use]
    pub const fn new(raw: i32) -> Self {
        if raw == 0 { Self::Private } else { Self::Named(raw) }
    }

    const fn raw(self) -> i32 {
        match self {
            Self::Private => 0,
            Self::Named(key) => key,
        }
    }
}

/// Id and permission of an object that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Created {
    pub id: i32,
    pub perm: Perm,
}

/// What a table holds.
pub trait Object: Send + Sync {
    /// What IPC_STAT tells of one.
    type Status;
    /// Whose it is, and who may do what.
    fn perm(&self) -> Perm;
    /// How it stands.
    fn status(&self) -> Self::Status;
}

struct Entries<T> {
    by_index: BTreeMap<u32, Arc<T>>,
    by_key: HashMap<i32, u32>,
    seq: u16,
    last: Option<u32>,
}

/// A table.
pub struct Ids<T> {
    entries: Mutex<Entries<T>>,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        let entries = Entries { by_index: BTreeMap::new(), by_key: HashMap::new(), seq: 0, last: None };
        Self { entries: Mutex::new(entries) }
    }
}

const fn index_of(id: i32) -> u32 {
    id.cast_unsigned() & (IPCMNI as u32 - 1)
}

impl<T> Entries<T> {
    /// The next free index after the last one (ipc_idr_alloc).
    fn allocate(&mut self) -> Option<(u32, u16)> {
        let max = (self.by_index.len() * 3 / 2).max(MIN_CYCLE).min(IPCMNI as usize) as u32;
        let start = self.last.map_or(0, |last| if last + 1 < max { last + 1 } else { 0 });
        let index = (start..max).chain(0..start).find(|index| !self.by_index.contains_key(index))?;
        if self.last.is_some_and(|last| index <= last) {
            self.seq = if self.seq == u16::MAX { 0 } else { self.seq + 1 };
        }
        self.last = Some(index);
        Some((index, self.seq))
    }
}

impl<T: Object> Ids<T> {
    /// shmget(2), semget(2), msgget(2): the object of that key, checked by `admits`, or a new one that
    /// `make` makes while there are fewer than `limit` (ENOSPC).
    pub(crate) fn get(
        &self,
        key: Key,
        flags: u32,
        who: &Actor<'_>,
        limit: u64,
        admits: impl FnOnce(&T) -> SysResult<()>,
        make: impl FnOnce(Created) -> SysResult<T>,
    ) -> SysResult<i32> {
        let mut entries = self.entries.lock();
        if let Key::Named(raw) = key {
            let known =
                entries.by_key.get(&raw).and_then(|index| Some((*index, entries.by_index.get(index)?)));
            if let Some((index, object)) = known {
                if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
                    return Err(Errno::EEXIST);
                }
                let perm = object.perm();
                admits(object)?;
                perm.check(who, flags & 0o777)?;
                return Ok(id_of(index, perm.seq));
            }
            if flags & IPC_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
        }
        if entries.by_index.len() as u64 >= limit.min(IPCMNI) {
            return Err(Errno::ENOSPC);
        }
        let (index, seq) = entries.allocate().ok_or(Errno::ENOSPC)?;
        let perm = Perm { seq, ..Perm::new(key.raw(), flags, who) };
        let id = id_of(index, seq);
        let object = make(Created { id, perm })?;
        entries.by_index.insert(index, Arc::new(object));
        if let Key::Named(raw) = key {
            entries.by_key.insert(raw, index);
        }
        Ok(id)
    }

    /// The object with that id; EINVAL without one.
    pub fn find(&self, id: i32) -> SysResult<Arc<T>> {
        let entries = self.entries.lock();
        let object = entries.by_index.get(&index_of(id)).filter(|_| id >= 0).ok_or(Errno::EINVAL)?;
        let same = id_of(index_of(id), object.perm().seq) == id;
        if same { Ok(Arc::clone(object)) } else { Err(Errno::EINVAL) }
    }

    fn at(&self, index: i32) -> SysResult<Arc<T>> {
        self.entries.lock().by_index.get(&index_of(index)).map(Arc::clone).ok_or(Errno::EINVAL)
    }

    /// IPC_STAT.
    pub fn stat(&self, id: i32, who: &Actor<'_>) -> SysResult<T::Status> {
        let object = self.find(id)?;
        object.perm().check(who, READ)?;
        Ok(object.status())
    }

    /// SHM_STAT and its like of what is at an index.
    pub fn stat_at(&self, index: i32, who: &Actor<'_>) -> SysResult<T::Status> {
        let object = self.at(index)?;
        object.perm().check(who, READ)?;
        Ok(object.status())
    }

    /// SHM_STAT_ANY and its like: without a check.
    pub fn stat_any(&self, index: i32) -> SysResult<T::Status> {
        self.at(index).map(|object| object.status())
    }

    /// All of them, for /proc/sysvipc.
    #[must_use]
    pub fn list(&self) -> Vec<T::Status> {
        self.entries.lock().by_index.values().map(|object| object.status()).collect()
    }

    /// Takes an object out; false when it is out already.
    pub(crate) fn remove(&self, id: i32) -> bool {
        let mut entries = self.entries.lock();
        let removed = entries.by_index.remove(&index_of(id));
        entries.by_key.retain(|_, index| *index != index_of(id));
        drop(entries);
        removed.is_some()
    }

    /// Its key finds it no more.
    pub(crate) fn forget_key(&self, id: i32) {
        self.entries.lock().by_key.retain(|_, index| *index != index_of(id));
    }

    /// How many there are, and the highest index in use (what the *_INFO commands answer), 0 for none.
    pub(crate) fn count_and_highest(&self) -> (usize, i32) {
        let entries = self.entries.lock();
        let highest = entries.by_index.last_key_value().map_or(0, |(&index, _)| index);
        (entries.by_index.len(), highest.cast_signed())
    }
}

const fn id_of(index: u32, seq: u16) -> i32 {
    ((seq as u32) << INDEX_BITS | index).cast_signed()
}
