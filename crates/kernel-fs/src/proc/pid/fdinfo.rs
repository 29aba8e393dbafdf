//! fdinfo/: position, flags and more of open files.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, Metadata};

use super::super::root::id_of;
use super::{Subject, fd};
use crate::pseudo::{Content, DirOps, Id, PseudoFile, Refresh, text};

pub(super) fn directory(subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    Ok(Arc::new(FdInfoDir { subject: subject.clone(), id, parent }))
}

struct FdInfoDir {
    subject: Subject,
    id: Id,
    parent: u64,
}

impl Inode for FdInfoDir {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Directory, 2))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn lookup(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let fd = Fd(id_of(name).ok_or(Errno::ENOENT)?);
        fd::open_file(&self.subject, fd)?;
        self.subject.target().map_err(|_| Errno::ENOENT)?.check_inspect(who)?;
        let content = Arc::new(FdInfo { subject: self.subject.clone(), fd });
        Ok(PseudoFile::new(self.id.child(name, 0o400), content))
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let (subject, ino) = (self.subject.clone(), self.id.ino);
        Ok(DirOps::open(ino, self.parent, move |who| fd::listed(&subject, who, ino, FileKind::Regular)))
    }
}

struct FdInfo {
    subject: Subject,
    fd: Fd,
}

impl Content for FdInfo {
    fn check_open(&self, who: &dyn Caller) -> SysResult<()> {
        self.subject.target()?.check_inspect(who)
    }
    /// A read holds the position of the file that it reads, which may be the very file that is shown.
    fn refresh(&self) -> Refresh {
        Refresh::AtOpen
    }
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let (file, cloexec) = fd::open_file(&self.subject, self.fd)?;
        let position = *file.position();
        let mut flags = file.flags();
        flags.set(OpenFlags::CLOEXEC, cloexec);
        let (mount, ino) = (file.path.mount.id(), file.inode.metadata()?.ino);
        let mut out = Vec::new();
        text!(&mut out, "pos:\t{position}\nflags:\t0{:o}\nmnt_id:\t{mount}\nino:\t{ino}\n", flags.bits());
        out.extend_from_slice(file.ops.fdinfo().as_bytes());
        Ok(out)
    }
}
