//! task/: the threads of a process. Those that have made no call yet are introduced when they are asked for.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, Metadata};

use super::super::root::id_of;
use super::{PidDir, Subject, Target};
use crate::pseudo::{DirOps, Id, Listed, child_ino, text};

pub(super) fn directory(subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    Ok(Arc::new(TaskDir { subject: subject.clone(), id, parent }))
}

struct TaskDir {
    subject: Subject,
    id: Id,
    parent: u64,
}

impl Inode for TaskDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    /// Programs count threads by the number of links.
    fn metadata(&self) -> SysResult<Metadata> {
        let threads = self.subject.target().map_or(0, |target| threads(&target).len());
        let nlink = u32::try_from(threads).unwrap_or(u32::MAX).saturating_add(2);
        Ok(self.id.metadata(FileKind::Directory, nlink))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let tid = id_of(name).ok_or(Errno::ENOENT)?;
        let thread = Subject { tid: Some(tid), ..self.subject.clone() };
        thread.target().map_err(|_| Errno::ENOENT)?;
        Ok(PidDir::of_thread(thread, self.id.ino, name))
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let (subject, ino) = (self.subject.clone(), self.id.ino);
        Ok(DirOps::open(ino, self.parent, move |_| {
            let target = subject.target().map_err(|_| Errno::ENOENT)?;
            let mut tids = threads(&target);
            tids.sort_unstable();
            let listed = |tid: i32| {
                let name = tid.to_string().into_bytes();
                let key = u64::from(tid.unsigned_abs());
                Listed { key, ino: child_ino(ino, &name), name, kind: FileKind::Directory }
            };
            Ok(tids.into_iter().map(listed).collect())
        }))
    }
}

/// The threads' ids. A zombie has its leader alone.
pub(super) fn threads(target: &Target) -> Vec<i32> {
    let process = &target.process;
    if process.has_exited() {
        return vec![process.pid];
    }
    target.proc.kernel.find_new_threads(process);
    let ids: Vec<i32> = process.tasks().iter().map(|task| task.guest_tid).collect();
    // Between its last call and the news of its death it is a zombie already for those who look.
    if ids.is_empty() { vec![process.pid] } else { ids }
}

/// The children of a process; all are said to be its leader's.
pub(super) fn children(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    if target.task.as_ref().is_some_and(|task| task.is_leader()) {
        for child in target.process.children() {
            text!(out, "{} ", child.pid);
        }
    }
    Ok(())
}
