//! Fork snapshots and the discovery of threads and children.
//!
//! What a child inherits is copied when its parent's clone call is handled, before the host performs it,
//! because a parent may close descriptors right after. A thread has at most one snapshot waiting: while it
//! is inside clone it makes no other call, and its next clone settles the one before. The child is matched
//! when its first call arrives, by the host's list of that thread's children, never by guess.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::raw::general::{CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_VFORK, CLONE_VM};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;
use kernel_ipc::shm::Attachments;
use platform_api::{Clock, HostTid, Identity, ProcFile};
use rustc_hash::FxHashSet;

use crate::exec::{ExecState, Image};
use crate::fd_table::FdTable;
use crate::fs::{Fs, FsState};
use crate::kernel::Kernel;
use crate::limits::Limits;
use crate::namespaces::{Changed, Namespaces};
use crate::process::{Birth, Process};
use crate::seccomp::Mode;
use crate::settings::Settings;
use crate::shareable::Shareable;
use crate::signal_actions::SignalActions;
use crate::task::Task;

/// How often the host's list of a thread's children is read until two are the same: while somebody waits for
/// children of that thread, a list may lack some that live (proc_pid_children(5)).
const MAX_LISTINGS: usize = 8;

/// What becomes of a snapshot whose child the host does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Childless {
    /// The thread's clone has returned: there is no child.
    Drop,
    /// The clone may be under way.
    Keep,
}

/// Everything that a child process inherits.
pub struct ForkSnapshot {
    pub files: FdTable,
    pub fs: Fs,
    /// `None`: those of the container.
    pub(crate) namespaces: Option<Arc<Namespaces>>,
    pub credentials: Arc<Credentials>,
    pub(crate) seccomp: Mode,
    pub limits: Limits,
    pub image: Arc<Image>,
    pub pgid: i32,
    pub sid: i32,
    pub comm: [u8; 16],
    pub(crate) personality: u32,
    pub(crate) dumpable: u32,
    pub(crate) settings: Settings,
    pub(crate) exec: ExecState,
    pub(crate) mapped_fds: Vec<i32>,
    pub(crate) shm: Arc<Attachments>,
    pub(crate) signal_actions: Shareable<SignalActions>,
}

/// What a child's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildMemory {
    /// A copy of the parent's.
    Copied,
    /// The parent's (CLONE_VM).
    Shared,
    /// The parent's, which waits until it gets it back (CLONE_VFORK too: vfork, posix_spawn).
    Lent,
}

impl ChildMemory {
    fn of(flags: u32) -> Self {
        match (flags & CLONE_VM, flags & CLONE_VFORK) {
            (0, _) => Self::Copied,
            (_, 0) => Self::Shared,
            _ => Self::Lent,
        }
    }
}

impl ForkSnapshot {
    fn of(task: &Task, flags: u32) -> Self {
        let (process, memory) = (&task.process, ChildMemory::of(flags));
        let (fs, actions) = (&process.fs, &process.signal_actions);
        Self {
            files: if flags & CLONE_FILES != 0 { process.files.share() } else { process.files.duplicate() },
            fs: if flags & CLONE_FS != 0 { fs.share() } else { fs.duplicate() },
            namespaces: Some(process.namespaces()),
            credentials: task.credentials(),
            seccomp: task.seccomp(),
            limits: process.limits.duplicate(),
            image: Arc::clone(&process.image.read()),
            pgid: process.pgid(),
            sid: process.sid(),
            comm: task.comm(),
            personality: process.personality.load(Ordering::Relaxed),
            dumpable: process.dumpable.load(Ordering::Relaxed),
            settings: process.settings.inherited(),
            exec: process.exec.lock().inherited(),
            mapped_fds: process.mapped_fds.lock().clone(),
            shm: process.inherited_shm(memory),
            signal_actions: if flags & CLONE_SIGHAND != 0 {
                actions.share(std::mem::take)
            } else {
                Shareable::new(actions.read(|actions| actions.inherited(memory)))
            },
        }
    }

    /// That of a process which joins these namespaces.
    #[must_use]
    pub fn joining(self, namespaces: Arc<Namespaces>) -> Self {
        Self { namespaces: Some(namespaces), ..self }
    }

    /// A snapshot for the container's first process.
    #[must_use]
    pub fn for_init(files: FdTable, fs: FsState, credentials: Credentials, limits: Limits) -> Self {
        Self {
            files,
            fs: Fs::new(fs),
            namespaces: None,
            credentials: Arc::new(credentials),
            seccomp: Mode::Disabled,
            limits,
            image: Arc::new(Image::default()),
            pgid: 1,
            sid: 1,
            comm: crate::task::comm_from(b"init"),
            personality: 0,
            dumpable: 1,
            settings: Settings::default(),
            exec: ExecState::None,
            mapped_fds: Vec::new(),
            shm: Arc::default(),
            signal_actions: Shareable::default(),
        }
    }
}

impl Task {
    /// Called when this thread is about to fork: keeps what the child will inherit.
    pub fn prepare_fork(&self) {
        self.prepare_clone(0);
    }

    /// [`Task::prepare_fork`] for a child that has in common with this process what the CLONE_* in `flags` say.
    pub fn prepare_clone(&self, flags: u32) {
        self.kernel().settle_fork(self);
        let snapshot = ForkSnapshot::of(self, flags);
        self.forks.fetch_add(1, Ordering::Relaxed);
        *self.pending_fork.lock() = Some(snapshot);
    }

    /// How many snapshots this thread has made.
    #[must_use]
    pub fn forks(&self) -> u64 {
        self.forks.load(Ordering::Relaxed)
    }

    /// Gives the child that is about to be made namespaces of its own.
    pub(crate) fn move_child(&self, changed: Changed) {
        if let Some(snapshot) = &mut *self.pending_fork.lock() {
            snapshot.credentials = Arc::new(changed.credentials);
            if !Arc::ptr_eq(&changed.namespaces.mnt, &self.process.namespaces().mnt) {
                snapshot.fs = Fs::new(changed.fs);
            }
            snapshot.namespaces = Some(Arc::new(changed.namespaces));
        }
    }

    fn has_pending_fork(&self) -> bool {
        self.pending_fork.lock().is_some()
    }
}

impl Kernel {
    /// Binds a thread's waiting snapshot to the child it was made for, or drops it when the host has no
    /// such child (the clone failed, or the child was killed before its first call). For a thread in a call.
    pub(crate) fn settle_fork(self: &Arc<Self>, task: &Task) {
        self.settle(task, task.forks(), Childless::Drop);
    }

    /// As [`Kernel::settle_fork`], for a call that began when the thread had made `forks` snapshots, and that may have
    /// ended by now: a newer one is not touched.
    pub(crate) fn settle_fork_before(self: &Arc<Self>, task: &Task, forks: u64) {
        self.settle(task, forks, Childless::Drop);
    }

    /// As [`Kernel::settle_fork`], for another thread than the caller's, which may be in the middle of its clone.
    pub(crate) fn settle_fork_of_other(self: &Arc<Self>, task: &Task) {
        self.settle(task, task.forks(), Childless::Keep);
    }

    fn settle(self: &Arc<Self>, task: &Task, forks: u64, childless: Childless) {
        if !task.has_pending_fork() {
            return;
        }
        // The next snapshot is made after this one has been settled, under the same lock.
        let discovery = self.discovery.lock();
        if task.forks() != forks {
            return;
        }
        let child = self.unknown_child(task);
        if child.is_none() && childless == Childless::Keep {
            return;
        }
        let snapshot = task.pending_fork.lock().take();
        let unused = match (child, snapshot) {
            (Some(child), Some(snapshot)) => {
                self.adopt(child, &task.process, snapshot);
                None
            }
            (_, snapshot) => snapshot,
        };
        // Outside the lock: it may hold the last references to files.
        drop(discovery);
        drop(unused);
    }

    /// The newest child of a thread that the books do not have, and that lives: the books forget a dead one
    /// before its parent has waited for it.
    pub(crate) fn unknown_child(&self, task: &Task) -> Option<Identity> {
        let is_zombie = |child| matches!(self.host_state(child), Some(b'Z' | b'X'));
        let identity = |&child: &HostTid| {
            let is_it = !self.knows(child) && !is_zombie(child);
            if is_it { self.platform.identify(child).ok() } else { None }
        };
        let mut last = None;
        for _ in 0..MAX_LISTINGS {
            let children = self.children_of(task);
            let found = children.iter().rev().find_map(identity);
            if found.is_some() || last.as_ref() == Some(&children) {
                return found;
            }
            last = Some(children);
        }
        None
    }

    fn children_of(&self, task: &Task) -> Vec<HostTid> {
        self.platform.children(task.process.tgid, task.tid).unwrap_or_default()
    }

    /// Introduces children that exist but have made no call yet: what looks processes up by id or group
    /// must see them. A snapshot whose child the host does not show yet stays, since its clone may be
    /// under way.
    pub fn find_newborns(self: &Arc<Self>) {
        for task in self.tasks_with_pending_fork() {
            let _discovery = self.discovery.lock();
            let Some(identity) = self.unknown_child(&task) else { continue };
            let snapshot = task.pending_fork.lock().take();
            if let Some(snapshot) = snapshot {
                self.adopt(identity, &task.process, snapshot);
            }
        }
    }

    /// Introduces an unknown thread from its first call.
    pub(crate) fn discover(self: &Arc<Self>, tid: HostTid) -> SysResult<Arc<Task>> {
        let _discovery = self.discovery.lock();
        if let Some(task) = self.known_task(tid) {
            return Ok(task);
        }
        let identity = self.platform.identify(tid)?;
        if let Some(process) = self.process_by_host(identity.tgid) {
            return Ok(self.add_task(tid, identity.guest_tid, &process));
        }
        if tid != identity.tgid {
            // A thread of a process whose leader has made no call yet.
            let leader = self.platform.identify(identity.tgid)?;
            self.discover_process(leader)?;
            let process = self.process_by_host(identity.tgid).ok_or(Errno::ESRCH)?;
            return Ok(self.add_task(tid, identity.guest_tid, &process));
        }
        self.discover_process(identity)?;
        self.known_task(tid).ok_or(Errno::ESRCH)
    }

    /// The thread of `process` with this id inside the container, known or not.
    pub fn thread_of(self: &Arc<Self>, process: &Arc<Process>, guest_tid: i32) -> SysResult<Arc<Task>> {
        let known = |kernel: &Self| {
            let tasks = kernel.tasks.read();
            tasks
                .values()
                .find(|task| task.guest_tid == guest_tid && Arc::ptr_eq(&task.process, process))
                .cloned()
        };
        if let Some(task) = known(self) {
            return Ok(task);
        }
        self.find_new_threads(process);
        known(self).ok_or(Errno::ESRCH)
    }

    /// Introduces the threads of a process that have made no call yet, and forgets those that a list like this one
    /// had shown between their last call and their end.
    pub fn find_new_threads(self: &Arc<Self>, process: &Process) {
        let known = process.tasks();
        let listed: FxHashSet<HostTid> =
            self.platform.threads(process.tgid).unwrap_or_default().into_iter().collect();
        let is_gone = |tid| !listed.contains(&tid) && self.platform.identify(tid) == Err(Errno::ESRCH);
        for task in known.iter().filter(|task| !task.is_leader() && is_gone(task.tid)) {
            self.remove_task(task);
        }
        for tid in listed {
            // A leader is known from the start; one that isn't any more has ended before its threads.
            if tid != process.tgid && self.known_task(tid).is_none() {
                // One that ended meanwhile is not missed.
                let _ = self.discover(tid);
            }
        }
    }

    fn discover_process(self: &Arc<Self>, identity: Identity) -> SysResult<()> {
        let (parent, snapshot) = self.match_snapshot(&identity)?;
        self.adopt(identity, &parent, snapshot);
        Ok(())
    }

    /// Finds the snapshot of a new process among its parent's threads.
    fn match_snapshot(&self, identity: &Identity) -> SysResult<(Arc<Process>, ForkSnapshot)> {
        let Some(parent) = self.process_by_host(identity.parent) else {
            return self.match_orphan(identity);
        };
        let waiting: Vec<Arc<Task>> =
            parent.tasks().into_iter().filter(|task| task.has_pending_fork()).collect();
        // Orphans come to init and to subreapers; everywhere else an only candidate is certain.
        let adopts = parent.pid == 1 || parent.child_subreaper.load(Ordering::Relaxed);
        let maker = match waiting.as_slice() {
            [only] if !adopts => Some(only),
            several => {
                let made_it = |task: &&Arc<Task>| self.children_of(task).contains(&identity.tgid);
                (0..MAX_LISTINGS).find_map(|_| several.iter().find(made_it))
            }
        };
        let snapshot = maker.and_then(|task| task.pending_fork.lock().take());
        match snapshot {
            Some(snapshot) => Ok((parent, snapshot)),
            None => self.match_orphan(identity),
        }
    }

    /// The state of a thread in the host's stat line: R, S, Z, …; `None` when it is gone.
    pub(crate) fn host_state(&self, tid: HostTid) -> Option<u8> {
        const STAT_LEN: usize = 256;
        let mut stat = Vec::new();
        self.platform.read_proc(tid, ProcFile::Stat, STAT_LEN, &mut stat).ok()?;
        let after_name = stat.iter().rposition(|&b| b == b')').map(|at| at + 2);
        after_name.and_then(|at| stat.get(at)).copied()
    }

    /// Makes the process and its leader known.
    pub(crate) fn adopt(self: &Arc<Self>, identity: Identity, parent: &Arc<Process>, snapshot: ForkSnapshot) {
        let birth = Birth {
            tgid: identity.tgid,
            pid: identity.guest_tgid,
            parent: Arc::downgrade(parent),
            start_ns: self.platform.now_ns(Clock::Monotonic),
        };
        let comm = snapshot.comm;
        let process = Process::new(Arc::clone(self), birth, snapshot);
        parent.children.lock().push(Arc::downgrade(&process));
        self.register(&process, comm);
    }

    /// Makes the container's first process known.
    pub fn adopt_init(self: &Arc<Self>, tid: HostTid, snapshot: ForkSnapshot) -> Arc<Process> {
        self.adopt_parentless(tid, 1, snapshot)
    }

    /// Makes a process known that was put into the container from outside, where its parent is. It leads a session.
    pub fn adopt_joined(
        self: &Arc<Self>,
        tid: HostTid,
        mut snapshot: ForkSnapshot,
    ) -> SysResult<Arc<Process>> {
        let pid = self.platform.identify(tid)?.guest_tgid;
        (snapshot.pgid, snapshot.sid) = (pid, pid);
        Ok(self.adopt_parentless(tid, pid, snapshot))
    }

    fn adopt_parentless(self: &Arc<Self>, tid: HostTid, pid: i32, snapshot: ForkSnapshot) -> Arc<Process> {
        let start_ns = self.platform.now_ns(Clock::Monotonic);
        let birth = Birth { tgid: tid, pid, parent: Weak::new(), start_ns };
        let comm = snapshot.comm;
        let process = Process::new(Arc::clone(self), birth, snapshot);
        self.register(&process, comm);
        process
    }
}

#[cfg(test)]
#[path = "fork_test.rs"]
mod tests;
