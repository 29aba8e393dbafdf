//! fd/: open files as links that lead to them (fs/proc/fd.c).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::{FileKind, Inode, LinkTarget, MagicTarget, Metadata};

use super::super::root::id_of;
use super::Subject;
use crate::pseudo::{DirOps, Id, Listed, PseudoLink, child_ino};

pub(super) fn directory(subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    Ok(Arc::new(FdDir { subject: subject.clone(), id, parent }))
}

struct FdDir {
    subject: Subject,
    id: Id,
    parent: u64,
}

/// The descriptors of a process for getdents64(2).
pub(super) fn listed(
    subject: &Subject,
    who: &dyn Caller,
    dir: u64,
    kind: FileKind,
) -> SysResult<Vec<Listed>> {
    let target = subject.target().map_err(|_| Errno::ENOENT)?;
    target.check_inspect(who)?;
    let entry = |(fd, _): (Fd, _)| {
        let name = fd.0.to_string().into_bytes();
        Listed { key: u64::from(fd.0.unsigned_abs()), ino: child_ino(dir, &name), name, kind }
    };
    Ok(target.process.files.list().into_iter().map(entry).collect())
}

/// The open file of that number; ENOENT without one.
pub(super) fn open_file(subject: &Subject, fd: Fd) -> SysResult<(Arc<File>, bool)> {
    let target = subject.target().map_err(|_| Errno::ENOENT)?;
    let descriptor = target.process.files.descriptor(fd).map_err(|_| Errno::ENOENT)?;
    Ok((descriptor.file, descriptor.cloexec))
}

/// The permission bits of a link tell how the file was opened (tid_fd_update_inode, proc_fd_instantiate).
fn link_mode(file: &File) -> u32 {
    let flags = file.flags();
    let path_only = flags.contains(OpenFlags::PATH);
    let read = if flags.readable() && !path_only { 0o500 } else { 0 };
    let write = if flags.writable() && !path_only { 0o300 } else { 0 };
    read | write
}

impl Inode for FdDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        let open = self.subject.target().map_or(0, |target| target.process.files.list().len());
        let mut metadata = self.id.metadata(FileKind::Directory, 2);
        metadata.size = open as u64;
        Ok(metadata)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn lookup(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let fd = Fd(id_of(name).ok_or(Errno::ENOENT)?);
        let (file, _) = open_file(&self.subject, fd)?;
        self.subject.target().map_err(|_| Errno::ENOENT)?.check_inspect(who)?;
        let mut id = self.id.child(name, link_mode(&file));
        id.size = 64;
        let subject = self.subject.clone();
        Ok(PseudoLink::new(id, move |who| {
            let target = subject.target().map_err(|_| Errno::ENOENT)?;
            target.check_inspect(who)?;
            let (file, _) = open_file(&subject, fd)?;
            let text = file.path.display(&target.proc.root_of(who)?);
            Ok(LinkTarget::Magic { to: MagicTarget::File(file), text })
        }))
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let (subject, ino) = (self.subject.clone(), self.id.ino);
        Ok(DirOps::open(ino, self.parent, move |who| listed(&subject, who, ino, FileKind::Symlink)))
    }
}
