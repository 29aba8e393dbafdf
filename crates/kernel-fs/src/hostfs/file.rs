//! Open files and directories of the host.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use host_files::{Allocate, DataFile, Listing, RawEntry, SeekKind};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_vfs::file::{DirEntry, FileOps, Io, Mapping, Whence};
use kernel_vfs::inode::{FileKind, Inode, SetAttributes};
use kernel_vfs::permission::mode_without_privilege;

use super::inode::{HostInode, kind_of};

/// An open regular file.
pub(super) struct HostFile {
    inode: Arc<HostInode>,
    file: DataFile,
    /// Whether it is open for writing and had set-id bits when it was opened, which a write takes away.
    privileged: bool,
}

impl HostFile {
    pub(super) fn new(inode: Arc<HostInode>, file: DataFile, flags: OpenFlags) -> Self {
        inode.opened();
        let has_privilege =
            || inode.lasting_metadata().is_ok_and(|m| mode_without_privilege(m.mode) != m.mode);
        let privileged = flags.writable() && has_privilege();
        Self { inode, file, privileged }
    }

    /// The host does not: the supervisor has CAP_FSETID there (file_remove_privs).
    fn drop_privilege(&self, who: &dyn Caller) -> SysResult<()> {
        let metadata = self.inode.metadata()?;
        let kept = mode_without_privilege(metadata.mode);
        if kept == metadata.mode || who.credentials().has(Cap::FSETID) {
            return Ok(());
        }
        self.inode.set_attributes(&SetAttributes { mode: Some(kept & 0o7777), ..SetAttributes::default() })
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        self.inode.closed();
    }
}

impl FileOps for HostFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.file.read_at(buf, io.offset)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let turn = io.flags.contains(OpenFlags::APPEND).then(|| self.inode.append.lock());
        let offset = if turn.is_some() { self.file.stat()?.size } else { io.offset };
        let done = self.file.write_at(buf, offset)?;
        drop(turn);
        self.inode.touched();
        if self.privileged {
            self.inode.changed();
            self.drop_privilege(io.who)?;
        }
        if io.flags.contains(OpenFlags::SYNC) {
            self.file.sync()?;
        } else if io.flags.contains(OpenFlags::DSYNC) {
            self.file.sync_data()?;
        }
        Ok((done, offset.saturating_add(done as u64)))
    }

    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        let from =
            |kind| u64::try_from(offset).map_err(|_| Errno::ENXIO).and_then(|at| self.file.seek(kind, at));
        match whence {
            Whence::End => self.inode.metadata()?.size.checked_add_signed(offset).ok_or(Errno::EINVAL),
            Whence::Data => from(SeekKind::Data),
            Whence::Hole => from(SeekKind::Hole),
            Whence::Set | Whence::Current => Err(Errno::EINVAL),
        }
    }

    /// The descriptor with the least mode: mprotect(2) on the host looks at it.
    fn mapping(&self, writable_shared: bool, _executable: bool) -> SysResult<Mapping> {
        let file = if writable_shared { self.inode.writer()? } else { self.inode.reader()? };
        Ok(Mapping::Host(file.mapping_fd()))
    }

    fn sync(&self, data_only: bool) -> SysResult<()> {
        if data_only { self.file.sync_data() } else { self.file.sync() }
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let how = match mode {
            0 => Allocate::Extend,
            1 => Allocate::KeepSize,
            3 => Allocate::PunchHole,
            16 => Allocate::ZeroRange,
            17 => Allocate::ZeroRangeKeepSize,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Errno::EFBIG);
        }
        self.file.allocate(how, offset, len)?;
        self.inode.touched();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What was read ahead from a host directory.
struct Ahead {
    entries: std::vec::IntoIter<RawEntry>,
    /// Position that the next entry of `entries`, or of the host, belongs to.
    position: u64,
}

/// An open directory. Positions are the host's own.
pub(super) struct HostDir {
    inode: Arc<HostInode>,
    listing: Listing,
    ahead: Mutex<Ahead>,
}

impl HostDir {
    pub(super) fn new(inode: Arc<HostInode>, listing: Listing) -> Self {
        let ahead = Ahead { entries: Vec::new().into_iter(), position: 0 };
        Self { inode, listing, ahead: Mutex::new(ahead) }
    }

    fn kind(&self, entry: &RawEntry) -> FileKind {
        entry.kind.map_or(FileKind::Regular, kind_of)
    }
}

impl FileOps for HostDir {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(
        &self,
        _who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let mut ahead = self.ahead.lock();
        if ahead.position != position || position == 0 {
            self.listing.seek(position)?;
            *ahead = Ahead { entries: Vec::new().into_iter(), position };
        }
        loop {
            while let Some(entry) = ahead.entries.as_slice().first() {
                let (ino, kind) = match entry.name.as_slice() {
                    b"." => (self.inode.ino(), FileKind::Directory),
                    b".." => (self.inode.parent_ino(), FileKind::Directory),
                    _ => (entry.ino, self.kind(entry)),
                };
                let next = entry.next;
                if !emit(DirEntry { name: &entry.name, ino, kind, next }) {
                    return Ok(());
                }
                ahead.position = next;
                ahead.entries.next();
            }
            let more = self.listing.next_entries()?;
            if more.is_empty() {
                return Ok(());
            }
            ahead.entries = more.into_iter();
        }
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
