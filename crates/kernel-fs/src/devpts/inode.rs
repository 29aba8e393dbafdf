//! The three kinds of inode: the directory, ptmx, and a pty's node.

use std::any::Any;
use std::sync::{Arc, Weak};

use abi_linux::fs::{OpenFlags, S_IFCHR, S_IFDIR, makedev};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_vfs::file::{DirEntry, FileOps};
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};

use super::{Devpts, GID, MODE};
use crate::tty::{self, Pty};

const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
/// Inode number of pty 0 (fs/devpts/inode.c).
const FIRST_PTY_INO: u64 = 3;

/// /dev/pts.
pub(super) struct RootInode {
    devpts: Weak<Devpts>,
    dev: u64,
    born: Timespec,
}

fn metadata(dev: u64, ino: u64, mode: u32, rdev: u64, time: Timespec) -> Metadata {
    let (nlink, block_size) = (1, 1024);
    let (atime, mtime, ctime) = (time, time, time);
    Metadata { dev, ino, mode, nlink, rdev, block_size, atime, mtime, ctime, ..Metadata::default() }
}

impl RootInode {
    pub(super) fn new(devpts: Weak<Devpts>, dev: u64, born: Timespec) -> Self {
        Self { devpts, dev, born }
    }

    fn devpts(&self) -> SysResult<Arc<Devpts>> {
        self.devpts.upgrade().ok_or(Errno::ENOENT)
    }
}

impl Inode for RootInode {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(Metadata { nlink: 2, ..metadata(self.dev, ROOT_INO, S_IFDIR | 0o755, 0, self.born) })
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        if name == b"ptmx" {
            let metadata = metadata(self.dev, PTMX_INO, S_IFCHR | 0o666, makedev(5, 2), self.born);
            return Ok(Arc::new(PtmxInode { devpts: Weak::clone(&self.devpts), metadata }));
        }
        let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let index: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        // "+1" and "01" parse, too.
        if index.to_string() == text { Ok(self.devpts()?.node(index)?) } else { Err(Errno::ENOENT) }
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(Arc::new(RootFile { devpts: self.devpts()? }))
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The open directory. Positions: 0 and 1 the dots, 2 ptmx, then 3 + number.
struct RootFile {
    devpts: Arc<Devpts>,
}

impl FileOps for RootFile {
    fn read(&self, _io: kernel_vfs::file::Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }
    fn read_dir(
        &self,
        _who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let fixed: [(&[u8], u64, FileKind); 3] = [
            (b".", ROOT_INO, FileKind::Directory),
            (b"..", ROOT_INO, FileKind::Directory),
            (b"ptmx", PTMX_INO, FileKind::CharDevice),
        ];
        for ((name, ino, kind), at) in fixed.into_iter().zip(0..) {
            if at >= position && !emit(DirEntry { name, ino, kind, next: at + 1 }) {
                return Ok(());
            }
        }
        let Ok(first) = u32::try_from(position.saturating_sub(3)) else { return Ok(()) };
        for index in self.devpts.indices_from(first) {
            let (text, at) = (index.to_string(), u64::from(index));
            let (name, ino) = (text.as_bytes(), FIRST_PTY_INO + at);
            if !emit(DirEntry { name, ino, kind: FileKind::CharDevice, next: 3 + at + 1 }) {
                return Ok(());
            }
        }
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/pts/ptmx.
pub(super) struct PtmxInode {
    devpts: Weak<Devpts>,
    metadata: Metadata,
}

impl Inode for PtmxInode {
    fn kind(&self) -> FileKind {
        FileKind::CharDevice
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.metadata)
    }
    fn open(&self, _flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        self.devpts.upgrade().ok_or(Errno::ENXIO)?.open_ptmx(who)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/pts/N.
pub struct PtsInode {
    pty: Weak<Pty>,
    metadata: Mutex<Metadata>,
}

impl PtsInode {
    pub(super) fn new(dev: u64, pty: &Arc<Pty>, uid: u32, now: Timespec) -> Self {
        let (ino, rdev) = (FIRST_PTY_INO + u64::from(pty.index()), tty::device_number(pty.index()));
        let metadata = Metadata { uid, gid: GID, ..metadata(dev, ino, S_IFCHR | MODE, rdev, now) };
        Self { pty: Arc::downgrade(pty), metadata: Mutex::new(metadata) }
    }

    /// Whether the pty's master is open: the node is there as long.
    pub(super) fn is_alive(&self) -> bool {
        self.pty.upgrade().is_some_and(|pty| !pty.is_hung_up())
    }
}

impl Inode for PtsInode {
    fn kind(&self) -> FileKind {
        FileKind::CharDevice
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(*self.metadata.lock())
    }
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        let mut metadata = self.metadata.lock();
        if let Some(mode) = change.mode {
            metadata.mode = S_IFCHR | mode & 0o7777;
        }
        metadata.uid = change.uid.unwrap_or(metadata.uid);
        metadata.gid = change.gid.unwrap_or(metadata.gid);
        metadata.atime = change.atime.unwrap_or(metadata.atime);
        metadata.mtime = change.mtime.unwrap_or(metadata.mtime);
        Ok(())
    }
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(self.pty.upgrade().ok_or(Errno::EIO)?.open_slave(flags, who)?)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
