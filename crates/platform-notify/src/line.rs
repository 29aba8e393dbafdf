//! Listeners. The container's init has the first; whoever is put into the container from outside starts a filter
//! chain, and with it a listener, of its own: the kernel refuses a second one in a chain.
//!
//! Call ids are random 64-bit numbers plus a count in each listener (kernel/seccomp.c), so one id names one call
//! of all. With one listener, as nearly always, finding it costs the load of a flag.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host_sys::seccomp;
use parking_lot::{Mutex, RwLock};

use crate::calls::Calls;
use crate::run::Crew;

/// A listener with the book of its calls and the threads that take them.
pub(crate) struct Line {
    listener: OwnedFd,
    pub(crate) calls: Calls,
    pub(crate) crew: Mutex<Crew>,
}

impl Line {
    pub(crate) fn new(listener: OwnedFd) -> Arc<Self> {
        Arc::new(Self { listener, calls: Calls::default(), crew: Mutex::default() })
    }

    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// All listeners of a container.
pub(crate) struct Lines {
    first: Arc<Line>,
    has_others: AtomicBool,
    others: RwLock<Vec<Arc<Line>>>,
}

impl Lines {
    pub(crate) fn new(listener: OwnedFd) -> Self {
        Self { first: Line::new(listener), has_others: AtomicBool::new(false), others: RwLock::default() }
    }

    pub(crate) fn first(&self) -> &Arc<Line> {
        &self.first
    }

    pub(crate) fn all(&self) -> Vec<Arc<Line>> {
        std::iter::once(&self.first).chain(&*self.others.read()).cloned().collect()
    }

    /// Adds one, before its first call is taken.
    pub(crate) fn add(&self, line: &Arc<Line>) {
        let mut others = self.others.write();
        others.push(Arc::clone(line));
        // Whoever handles one of its calls has taken a lock since.
        self.has_others.store(true, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, line: &Arc<Line>) {
        let mut others = self.others.write();
        others.retain(|other| !Arc::ptr_eq(other, line));
        self.has_others.store(!others.is_empty(), Ordering::Relaxed);
    }

    fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Relaxed)
    }

    /// Does something with the listener of a call.
    pub(crate) fn with<T>(&self, id: u64, body: impl FnOnce(&Line) -> T) -> T {
        if self.has_others() { body(&self.of_call(id)) } else { body(&self.first) }
    }

    fn of_call(&self, id: u64) -> Arc<Line> {
        let all = self.all();
        let known = all.iter().find(|line| line.calls.has(id));
        // Handled by another thread at this moment: then the listeners say.
        let found = known.or_else(|| all.iter().find(|line| seccomp::id_valid(line.listener(), id)));
        Arc::clone(found.unwrap_or(&self.first))
    }

    /// The first answer that a listener gives.
    pub(crate) fn find_map<T>(&self, ask: impl Fn(&Line) -> Option<T>) -> Option<T> {
        let first = ask(&self.first);
        if first.is_some() || !self.has_others() {
            return first;
        }
        self.others.read().iter().find_map(|line| ask(line))
    }
}
