//! /proc/<pid> and /proc/<pid>/task/<tid>.
//!
//! A [`Subject`] names the process (and thread) that a directory is about and outlives it; [`Target`] is
//! the same while it lives, and what the functions of [`table::ENTRIES`] work on. A [`PidDir`] is either
//! directory: its entries are made at lookup and never cached, because their owner follows the process's
//! credentials (fs/proc/base.c pid_revalidate).

mod fd;
mod fdinfo;
mod ids;
mod links;
mod map_query;
mod mem;
mod memory;
pub(super) mod mounts;
mod namespaces;
mod settings;
mod stat;
mod status;
mod table;
mod task;

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{Cap, Credentials};
use kernel_task::seccomp::Mode;
use kernel_task::{Process, Task};
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::{FileKind, Inode, Metadata, NewNode};
use platform_api::{HostTid, ProcFile};

use super::{Proc, host};
use crate::pseudo::{DirOps, Id, Listed, ROOT_INO, child_ino};
use table::{Entry, Node, Scope};

/// The process or thread that a directory is about.
#[derive(Clone)]
pub(super) struct Subject {
    proc: Arc<Proc>,
    process: Weak<Process>,
    pid: i32,
    /// The thread's id inside the container, below `task`.
    tid: Option<i32>,
}

impl Subject {
    /// What it is about; ESRCH when it is gone.
    fn target(&self) -> SysResult<Target> {
        let process = self.process.upgrade().ok_or(Errno::ESRCH)?;
        let known = self.proc.kernel.process_or_zombie(self.pid);
        if !known.is_some_and(|known| Arc::ptr_eq(&known, &process)) {
            return Err(Errno::ESRCH);
        }
        let task = match self.tid {
            None => None,
            Some(tid) => Some(self.proc.kernel.thread_of(&process, tid)?),
        };
        Ok(Target { proc: Arc::clone(&self.proc), process, task })
    }
}

/// A process, or one of its threads, that lives or has not been waited for.
pub(super) struct Target {
    proc: Arc<Proc>,
    process: Arc<Process>,
    task: Option<Arc<Task>>,
}

impl Target {
    fn host_tid(&self) -> HostTid {
        self.task.as_ref().map_or(self.process.tgid, |task| task.tid)
    }

    /// The id that files about it show.
    fn id(&self) -> i32 {
        self.task.as_ref().map_or(self.process.pid, |task| task.guest_tid)
    }

    fn credentials(&self) -> Arc<Credentials> {
        self.task.as_ref().map_or_else(|| self.process.credentials(), |task| task.credentials())
    }

    fn seccomp(&self) -> Mode {
        let task = self.task.clone().or_else(|| self.process.any_task());
        task.map(|task| task.seccomp()).unwrap_or_default()
    }

    /// The host's file about it, at most a mebibyte.
    fn host_file(&self, file: ProcFile) -> SysResult<Vec<u8>> {
        host::thread_file(&self.proc.kernel, self.host_tid(), file)
    }

    /// Its name, without NULs.
    fn comm(&self) -> Vec<u8> {
        let comm = self.task.as_ref().map_or_else(|| self.process.comm(), |task| task.comm());
        comm.into_iter().take_while(|&b| b != 0).collect()
    }

    /// Whether it is the very thread that asks, which therefore runs.
    fn is_caller(&self, who: &dyn Caller) -> bool {
        match &self.task {
            Some(task) => task.guest_tid == who.tid(),
            None => self.process.pid == who.tid(),
        }
    }

    /// ptrace_may_access with PTRACE_MODE_READ_FSCREDS (ptrace(2)); kernel/ptrace.c, Linux v6.18.
    fn may_inspect(&self, who: &dyn Caller) -> bool {
        if self.process.pid == who.pid() {
            return true;
        }
        let (own, its) = (who.credentials(), self.credentials());
        if own.has_in(&its.user_ns, Cap::SYS_PTRACE) {
            return true;
        }
        let same_user = [its.euid, its.suid, its.ruid].iter().all(|&uid| uid == own.fsuid);
        let same_group = [its.egid, its.sgid, its.rgid].iter().all(|&gid| gid == own.fsgid);
        let dumpable = self.process.dumpable.load(Ordering::Relaxed) == 1;
        let same_ns = its.user_ns == own.user_ns;
        same_user && same_group && same_ns && dumpable && its.permitted.0 & !own.effective.0 == 0
    }

    /// EACCES unless the caller may look into its memory and descriptors.
    fn check_inspect(&self, who: &dyn Caller) -> SysResult<()> {
        if self.may_inspect(who) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Attributes of a file about it (fs/proc/base.c task_dump_owner): root owns what a process that
    /// cannot be dumped keeps from its own user.
    fn file_id(&self, ino: u64, mode: u32, kind: FileKind) -> Id {
        let its = self.credentials();
        let open_dir = kind == FileKind::Directory && mode == 0o555;
        let dumpable = self.process.dumpable.load(Ordering::Relaxed) == 1;
        let (uid, gid) = if open_dir || dumpable { (its.euid, its.egid) } else { (0, 0) };
        let age_ns = self.process.start_ns.saturating_sub(self.proc.kernel.boot_ns);
        let time = Timespec::from_ns(self.proc.boot_realtime_ns.saturating_add(age_ns));
        Id { dev: self.proc.instance.dev, ino, mode, uid, gid, time, size: 0 }
    }
}

/// The directory of a process or a thread.
pub(super) struct PidDir {
    subject: Subject,
    ino: u64,
    parent: u64,
}

impl PidDir {
    /// The directory of process `pid`, the same one while the process lives. ENOENT without one. A
    /// thread's id leads to its process's directory under the thread's name, as on Linux.
    pub(super) fn of(proc: &Arc<Proc>, pid: i32) -> SysResult<Arc<dyn Inode>> {
        let Some(process) = proc.kernel.process_or_zombie(pid) else {
            return Self::of_hidden_thread(proc, pid);
        };
        let mut dirs = proc.dirs.lock();
        if let Some(dir) = dirs.get(&pid).and_then(Weak::upgrade)
            && std::ptr::eq(dir.subject.process.as_ptr(), Arc::as_ptr(&process))
        {
            return Ok(dir);
        }
        let subject = Subject { proc: Arc::clone(proc), process: Arc::downgrade(&process), pid, tid: None };
        let ino = child_ino(ROOT_INO, pid.to_string().as_bytes());
        let dir = Arc::new(Self { subject, ino, parent: ROOT_INO });
        dirs.retain(|_, known| known.strong_count() > 0);
        dirs.insert(pid, Arc::downgrade(&dir));
        Ok(dir)
    }

    /// /proc/<tid> of a thread that is not its process's leader: not listed, but there.
    fn of_hidden_thread(proc: &Arc<Proc>, tid: i32) -> SysResult<Arc<dyn Inode>> {
        let task = proc.kernel.task_by_guest_tid(tid).ok_or(Errno::ENOENT)?;
        let process = Arc::downgrade(&task.process);
        let subject = Subject { proc: Arc::clone(proc), process, pid: task.process.pid, tid: Some(tid) };
        let ino = child_ino(ROOT_INO, tid.to_string().as_bytes());
        Ok(Arc::new(Self { subject, ino, parent: ROOT_INO }))
    }

    /// The directory of a thread, below `task` with number `parent`.
    fn of_thread(subject: Subject, parent: u64, name: &[u8]) -> Arc<dyn Inode> {
        Arc::new(Self { subject, ino: child_ino(parent, name), parent })
    }

    fn scope(&self) -> Scope {
        if self.subject.tid.is_some() { Scope::Thread } else { Scope::Process }
    }

    fn entries(scope: Scope) -> impl Iterator<Item = &'static Entry> {
        table::ENTRIES.iter().filter(move |entry| entry.scope == Scope::Both || entry.scope == scope)
    }
}

/// The process that an open directory /proc/<pid> is about: EBADF for any other file, ESRCH when it is gone
/// (tgid_pidfd_to_pid).
pub(super) fn process_of_dir(file: &File) -> SysResult<Arc<Process>> {
    let dir = file.inode.as_any().downcast_ref::<PidDir>().ok_or(Errno::EBADF)?;
    match dir.subject.tid {
        None => dir.subject.target().map(|target| target.process),
        Some(_) => Err(Errno::EBADF),
    }
}

impl Inode for PidDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        let target = self.subject.target()?;
        let id = target.file_id(self.ino, 0o555, FileKind::Directory);
        let below = Self::entries(self.scope()).filter(|entry| entry.node.kind() == FileKind::Directory);
        let nlink = u32::try_from(below.count()).unwrap_or(0).saturating_add(2);
        Ok(id.metadata(FileKind::Directory, nlink))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let entry = Self::entries(self.scope()).find(|entry| entry.name.as_bytes() == name);
        let entry = entry.ok_or(Errno::ENOENT)?;
        let target = self.subject.target().map_err(|_| Errno::ENOENT)?;
        let id = target.file_id(child_ino(self.ino, name), entry.mode, entry.node.kind());
        entry.inode(&self.subject, id, self.ino)
    }
    /// As at the root.
    fn create(&self, _name: &[u8], _node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let (subject, scope, ino) = (self.subject.clone(), self.scope(), self.ino);
        Ok(DirOps::open(self.ino, self.parent, move |_| {
            subject.target().map_err(|_| Errno::ENOENT)?;
            let listed = |(key, entry): (u64, &Entry)| Listed {
                key,
                name: entry.name.as_bytes().to_vec(),
                ino: child_ino(ino, entry.name.as_bytes()),
                kind: entry.node.kind(),
            };
            Ok((0..).zip(Self::entries(scope)).map(listed).collect())
        }))
    }
}

/// What makes the inode of a subdirectory.
type MakeDir = fn(&Subject, Id, u64) -> SysResult<Arc<dyn Inode>>;
/// Makes the text of a file.
type Show = fn(&Target, &dyn Caller, &mut Vec<u8>) -> SysResult<()>;
/// Takes what a guest writes.
type Store = fn(&Target, &dyn Caller, &[u8]) -> SysResult<()>;
/// Says where a link leads.
type Follow = fn(&Target, &dyn Caller) -> SysResult<kernel_vfs::inode::LinkTarget>;

impl Node {
    fn kind(&self) -> FileKind {
        match self {
            Self::Text(_) | Self::Memory | Self::Private(_) | Self::Setting(..) | Self::UserNamespace(_) => {
                FileKind::Regular
            }
            Self::Link(_) => FileKind::Symlink,
            Self::Dir(_) => FileKind::Directory,
        }
    }
}
