//! Fork snapshots and the discovery of threads and children.
//!
//! What a child inherits is copied when its parent's clone call is handled, before the host performs it,
//! because a parent may close descriptors right after. A thread has at most one snapshot waiting: while it
//! is inside clone it makes no other call, and its next clone settles the one before. The child is matched
//! when its first call arrives, by the host's list of that thread's children, never by guess.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;
use platform_api::{Clock, HostTid, Identity};

use crate::exec::{ExecState, Image};
use crate::fd_table::FdTable;
use crate::kernel::Kernel;
use crate::limits::Limits;
use crate::process::{Birth, FsState, Process};
use crate::task::Task;

/// Everything that a child process inherits.
pub struct ForkSnapshot {
    pub files: FdTable,
    pub fs: FsState,
    pub credentials: Arc<Credentials>,
    pub limits: Limits,
    pub image: Arc<Image>,
    pub pgid: i32,
    pub sid: i32,
    pub comm: [u8; 16],
    pub(crate) exec: ExecState,
    pub(crate) mapped_fds: Vec<i32>,
}

impl ForkSnapshot {
    fn of(task: &Task) -> Self {
        let process = &task.process;
        Self {
            files: process.files.duplicate(),
            fs: process.fs.lock().clone(),
            credentials: process.credentials(),
            limits: process.limits.duplicate(),
            image: Arc::clone(&process.image.read()),
            pgid: process.pgid(),
            sid: process.sid(),
            comm: task.comm(),
            exec: process.exec.lock().inherited(),
            mapped_fds: process.mapped_fds.lock().clone(),
        }
    }

    /// A snapshot for the container's first process.
    #[must_use]
    pub fn for_init(files: FdTable, fs: FsState, credentials: Credentials, limits: Limits) -> Self {
        Self {
            files,
            fs,
            credentials: Arc::new(credentials),
            limits,
            image: Arc::new(Image::default()),
            pgid: 1,
            sid: 1,
            comm: crate::task::comm_from(b"init"),
            exec: ExecState::None,
            mapped_fds: Vec::new(),
        }
    }
}

impl Task {
    /// Called when this thread is about to fork: keeps what the child will inherit.
    pub fn prepare_fork(&self) {
        self.kernel().settle_fork(self);
        let snapshot = ForkSnapshot::of(self);
        *self.pending_fork.lock() = Some(snapshot);
    }
}

impl Kernel {
    /// Binds a thread's waiting snapshot to the child it was made for, or drops it when the host has no
    /// such child (the clone failed, or the child was killed before its first call).
    pub(crate) fn settle_fork(self: &Arc<Self>, task: &Task) {
        if task.pending_fork.lock().is_none() {
            return;
        }
        let children = self.platform.children(task.process.tgid, task.tid).unwrap_or_default();
        let unknown = children.into_iter().rev().find(|&child| !self.knows(child));
        let snapshot = task.pending_fork.lock().take();
        if let (Some(child), Some(snapshot)) = (unknown, snapshot)
            && let Ok(identity) = self.platform.identify(child)
        {
            self.adopt(identity, &task.process, snapshot);
        }
    }

    /// Introduces an unknown thread from its first call.
    pub(crate) fn discover(self: &Arc<Self>, tid: HostTid) -> SysResult<Arc<Task>> {
        let identity = self.platform.identify(tid)?;
        if let Some(process) = self.process_by_host(identity.tgid) {
            return Ok(self.add_task(tid, identity.guest_tid, &process));
        }
        let (parent, snapshot) = self.match_snapshot(&identity)?;
        self.adopt(identity, &parent, snapshot);
        self.known_task(tid).ok_or(Errno::ESRCH)
    }

    /// Finds the snapshot of a new process among its parent's threads.
    fn match_snapshot(&self, identity: &Identity) -> SysResult<(Arc<Process>, ForkSnapshot)> {
        let Some(parent) = self.process_by_host(identity.parent) else {
            return self.match_orphan(identity);
        };
        let waiting: Vec<Arc<Task>> =
            parent.tasks().into_iter().filter(|task| task.pending_fork.lock().is_some()).collect();
        let maker = match waiting.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|task| {
                let children = self.platform.children(parent.tgid, task.tid).unwrap_or_default();
                children.contains(&identity.tgid)
            }),
        };
        let snapshot = maker.and_then(|task| task.pending_fork.lock().take());
        match snapshot {
            Some(snapshot) => Ok((parent, snapshot)),
            None => self.match_orphan(identity),
        }
    }

    /// A child whose maker died before the child's first call has been handed to init.
    fn match_orphan(&self, identity: &Identity) -> SysResult<(Arc<Process>, ForkSnapshot)> {
        let parent = self.process_by_host(identity.parent).or_else(|| self.init()).ok_or(Errno::ESRCH)?;
        let mut orphans = self.orphan_snapshots.lock();
        // More than one at once cannot be told apart: none is given, and the child is refused.
        if orphans.len() == 1
            && let Some(snapshot) = orphans.pop()
        {
            return Ok((parent, snapshot));
        }
        tracing::error!(tid = identity.tgid, waiting = orphans.len(), "no fork snapshot for this child");
        Err(Errno::ESRCH)
    }

    /// Makes the process and its leader known.
    fn adopt(self: &Arc<Self>, identity: Identity, parent: &Arc<Process>, snapshot: ForkSnapshot) {
        let birth = Birth {
            tgid: identity.tgid,
            pid: identity.guest_tgid,
            parent: Arc::downgrade(parent),
            start_ns: self.platform.now_ns(Clock::Monotonic),
        };
        let comm = snapshot.comm;
        let process = Process::new(Arc::clone(self), birth, snapshot);
        let mut children = parent.children.lock();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&process));
        drop(children);
        self.register(&process, comm);
    }

    /// Makes the container's first process known.
    pub fn adopt_init(self: &Arc<Self>, tid: HostTid, snapshot: ForkSnapshot) -> Arc<Process> {
        let start_ns = self.platform.now_ns(Clock::Monotonic);
        let birth = Birth { tgid: tid, pid: 1, parent: Weak::new(), start_ns };
        let comm = snapshot.comm;
        let process = Process::new(Arc::clone(self), birth, snapshot);
        self.register(&process, comm);
        process
    }

    /// Called before a process disappears: its unmatched snapshots move to where init's new children look.
    pub(crate) fn rescue_snapshots(self: &Arc<Self>, process: &Process) {
        for task in process.tasks() {
            self.settle_fork(&task);
        }
        process.dying.store(true, Ordering::Relaxed);
    }

    /// As [`Kernel::rescue_snapshots`] for a process that was killed: the host's lists are gone already.
    pub(crate) fn orphan_snapshots_of(&self, process: &Process) {
        let waiting = process.tasks().into_iter().filter_map(|task| task.pending_fork.lock().take());
        let mut orphans = self.orphan_snapshots.lock();
        orphans.extend(waiting);
        // A clone that failed leaves one behind; keep the list short.
        let excess = orphans.len().saturating_sub(16);
        orphans.drain(..excess);
    }
}
