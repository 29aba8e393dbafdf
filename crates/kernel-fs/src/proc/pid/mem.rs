//! mem: the memory of a process as a file (fs/proc/base.c mem_rw, Linux v6.18).
//!
//! Like Linux's, an open file is about the image that ran when it was opened: after an exec it reads nothing.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_task::exec::Image;
use kernel_vfs::file::{FileOps, Io};
use kernel_vfs::inode::{FileKind, Inode, Metadata};
use platform_api::Range;

use super::{Subject, Target};
use crate::pseudo::Id;

/// The inode of a process's memory.
pub(super) struct MemoryInode {
    subject: Subject,
    id: Id,
}

impl MemoryInode {
    pub(super) fn new(subject: &Subject, id: Id) -> Arc<Self> {
        Arc::new(Self { subject: subject.clone(), id })
    }
}

impl Inode for MemoryInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Regular, 1))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn open(&self, _flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let target = self.subject.target()?;
        target.check_inspect(who)?;
        if target.process.is_loaders_init() {
            return Err(Errno::EACCES);
        }
        let image = Arc::downgrade(&target.process.image.read());
        Ok(Arc::new(Memory { subject: self.subject.clone(), image }))
    }
}

/// An open one.
struct Memory {
    subject: Subject,
    image: Weak<Image>,
}

impl Memory {
    /// The process, while it runs what it ran when the file was opened, and `who` may still look.
    fn target(&self, who: &dyn Caller) -> Option<Target> {
        let target = self.subject.target().ok()?;
        let same = std::ptr::eq(self.image.as_ptr(), Arc::as_ptr(&target.process.image.read()));
        (same && target.may_inspect(who)).then_some(target)
    }
}

/// What is not mapped, or not in this way, is an input/output error here.
fn reached(done: SysResult<usize>) -> SysResult<usize> {
    done.map_err(|error| if error == Errno::EFAULT { Errno::EIO } else { error })
}

impl FileOps for Memory {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let Some(target) = self.target(io.who) else { return Ok(0) };
        let range = Range { addr: io.offset, len: buf.len() };
        reached(target.proc.kernel.platform.read_memory(target.host_tid(), &[range], buf))
    }
    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let Some(target) = self.target(io.who) else { return Ok((0, io.offset)) };
        let range = Range { addr: io.offset, len: buf.len() };
        let done = reached(target.proc.kernel.platform.write_memory(target.host_tid(), &[range], buf))?;
        Ok((done, io.offset.saturating_add(done as u64)))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
