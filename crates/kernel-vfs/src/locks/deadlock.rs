//! Deadlocks of record locks (fs/locks.c:posix_locks_deadlock, v6.18; fcntl(2), EDEADLK).
//!
//! Who waits for whom is kept for locks of processes alone: an open file description may be shared, so that
//! nobody can say who would release its lock.

use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;

use super::{LockOwner, LockTable, Record};
use crate::file::File;

/// How far a chain of waiters is followed (MAX_DEADLK_ITERATIONS).
const MAX_STEPS: usize = 10;

/// One parked F_SETLKW.
struct Edge {
    waiting: u64,
    owner: LockOwner,
    blocker: LockOwner,
}

/// Who waits for whom. `WaitGraph.edges` is held for a moment only, with no other lock inside.
#[derive(Default)]
pub(super) struct WaitGraph {
    edges: Mutex<Vec<Edge>>,
    next: AtomicU64,
}

impl WaitGraph {
    /// Notes that `owner` waits for `blocker`; EDEADLK when that would close a circle.
    fn block(&self, waiting: u64, owner: LockOwner, blocker: LockOwner) -> SysResult<()> {
        let mut edges = self.edges.lock();
        edges.retain(|edge| edge.waiting != waiting);
        let mut last = blocker;
        for _ in 0..MAX_STEPS {
            match edges.iter().find(|edge| edge.owner == last) {
                Some(edge) if edge.blocker == owner => return Err(Errno::EDEADLK),
                Some(edge) => last = edge.blocker,
                None => break,
            }
        }
        edges.push(Edge { waiting, owner, blocker });
        Ok(())
    }

    fn forget(&self, waiting: u64) {
        self.edges.lock().retain(|edge| edge.waiting != waiting);
    }
}

/// A call that waits for a record lock; dropping it ends the wait.
pub struct Waiting<'a> {
    table: &'a LockTable,
    file: &'a File,
    wanted: Record,
    /// Its name among the waiting, once it waits for a process.
    name: Option<u64>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(table: &'a LockTable, file: &'a File, wanted: Record) -> Self {
        Self { table, file, wanted, name: None }
    }

    /// Tries to take the lock; `None` while somebody else holds it.
    pub fn attempt(&mut self) -> Option<SysResult<()>> {
        let blocker = match self.table.take_record(self.file, self.wanted) {
            Ok(None) => return Some(Ok(())),
            Ok(Some(blocker)) => blocker,
            Err(errno) => return Some(Err(errno)),
        };
        let owner = self.wanted.owner;
        if let (LockOwner::Files(_), LockOwner::Files(_)) = (owner, blocker) {
            let waits = &self.table.waits;
            let name = *self.name.get_or_insert_with(|| waits.next.fetch_add(1, Ordering::Relaxed));
            if let Err(errno) = waits.block(name, owner, blocker) {
                return Some(Err(errno));
            }
        }
        None
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            self.table.waits.forget(name);
        }
    }
}
