//! The directory, and the inodes of queues.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_ipc::mqueue::{Attributes, Maker, PosixQueue};
use kernel_vfs::anon::next_ino;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, Metadata, NewContent, NewNode, SetAttributes};

use super::Shared;
use super::file::{QueueFile, RootFile};

/// Sizes that the directory's entries and a queue pretend to have (DIRENT_SIZE, FILENT_SIZE).
const DIRENT_SIZE: u64 = 20;
pub(super) const FILE_SIZE: u64 = 80;
/// RLIMIT_MSGQUEUE of whoever makes a queue by open(2): MQ_BYTES_MAX, the limit that processes begin with.
const MQ_BYTES_MAX: u64 = 819_200;

/// Entries by name, and by the position that getdents64(2) goes on from, which is never given again.
#[derive(Default)]
pub(super) struct Directory {
    by_name: HashMap<Arc<[u8]>, u64>,
    by_position: BTreeMap<u64, (Arc<[u8]>, Arc<QueueInode>)>,
    next: u64,
}

impl Directory {
    fn get(&self, name: &[u8]) -> SysResult<&Arc<QueueInode>> {
        let at = self.by_name.get(name).ok_or(Errno::ENOENT)?;
        self.by_position.get(at).map(|(_, inode)| inode).ok_or(Errno::ENOENT)
    }

    fn insert(&mut self, name: &[u8], inode: Arc<QueueInode>) -> SysResult<()> {
        if self.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let name: Arc<[u8]> = Arc::from(name);
        self.by_name.insert(Arc::clone(&name), self.next);
        self.by_position.insert(self.next, (name, inode));
        self.next += 1;
        Ok(())
    }

    fn remove(&mut self, name: &[u8]) -> SysResult<Arc<QueueInode>> {
        let at = self.by_name.remove(name).ok_or(Errno::ENOENT)?;
        self.by_position.remove(&at).map(|(_, inode)| inode).ok_or(Errno::ENOENT)
    }

    /// Up to `count` entries from a position on.
    pub(super) fn window(&self, from: u64, count: usize) -> Vec<(u64, Arc<[u8]>, u64)> {
        let range = self.by_position.range(from..).take(count);
        range.map(|(&at, (name, inode))| (at, Arc::clone(name), inode.ino)).collect()
    }
}

fn fresh(kind: FileKind, shared: &Shared, ino: u64, node: &NewNode<'_>) -> Metadata {
    let now = shared.now();
    Metadata {
        dev: shared.dev,
        ino,
        mode: kind.mode_bits() | node.mode & 0o7777,
        nlink: 1,
        uid: node.uid,
        gid: node.gid,
        block_size: 4096,
        atime: now,
        mtime: now,
        ctime: now,
        ..Metadata::default()
    }
}

fn change(metadata: &mut Metadata, wanted: &SetAttributes, now: Timespec) {
    let kind = metadata.mode & !0o7777;
    metadata.mode = wanted.mode.map_or(metadata.mode, |mode| kind | mode & 0o7777);
    metadata.uid = wanted.uid.unwrap_or(metadata.uid);
    metadata.gid = wanted.gid.unwrap_or(metadata.gid);
    metadata.size = wanted.size.unwrap_or(metadata.size);
    metadata.atime = wanted.atime.unwrap_or(metadata.atime);
    metadata.mtime = wanted.mtime.unwrap_or(metadata.mtime);
    metadata.ctime = now;
}

/// The directory.
pub(super) struct RootInode {
    shared: Arc<Shared>,
    attributes: Mutex<Metadata>,
}

impl RootInode {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        let node = NewNode { content: NewContent::Directory, mode: 0o1777, uid: 0, gid: 0 };
        let metadata = Metadata {
            nlink: 2,
            size: 2 * DIRENT_SIZE,
            ..fresh(FileKind::Directory, shared, next_ino(), &node)
        };
        Arc::new(Self { shared: Arc::clone(shared), attributes: Mutex::new(metadata) })
    }

    pub(super) fn make(
        &self,
        name: &[u8],
        node: &NewNode<'_>,
        wanted: Option<Attributes>,
        maker: Maker,
    ) -> SysResult<Arc<QueueInode>> {
        let namespace = self.shared.namespace.upgrade().ok_or(Errno::EACCES)?;
        let queue = Arc::new(namespace.mqueue.create(wanted, maker)?);
        let ino = next_ino();
        let metadata = Metadata { size: FILE_SIZE, ..fresh(FileKind::Regular, &self.shared, ino, node) };
        let shared = Arc::clone(&self.shared);
        let inode = Arc::new_cyclic(|me| QueueInode {
            me: Weak::clone(me),
            shared,
            ino,
            attributes: Mutex::new(metadata),
            queue,
        });
        self.shared.directory.lock().insert(name, Arc::clone(&inode))?;
        self.touch(|size| size.saturating_add(DIRENT_SIZE));
        Ok(inode)
    }

    fn touch(&self, size: impl FnOnce(u64) -> u64) {
        let now = self.shared.now();
        let mut attributes = self.attributes.lock();
        attributes.size = size(attributes.size);
        (attributes.atime, attributes.mtime, attributes.ctime) = (now, now, now);
    }
}

impl Inode for RootInode {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(*self.attributes.lock())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn set_attributes(&self, wanted: &SetAttributes) -> SysResult<()> {
        change(&mut self.attributes.lock(), wanted, self.shared.now());
        Ok(())
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let found = Arc::clone(self.shared.directory.lock().get(name)?);
        Ok(found)
    }
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        match node.content {
            NewContent::Regular => {
                let maker = Maker { ruid: node.uid, limit: MQ_BYTES_MAX, is_privileged: false };
                Ok(self.make(name, node, None, maker)?)
            }
            _ => Err(Errno::EPERM),
        }
    }
    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let gone = self.shared.directory.lock().remove(name)?;
        gone.attributes.lock().nlink = 0;
        self.touch(|size| size.saturating_sub(DIRENT_SIZE));
        Ok(())
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(Arc::new(RootFile::new(Arc::clone(&self.shared), self.attributes.lock().ino)))
    }
}

/// A queue as a file.
pub(super) struct QueueInode {
    me: Weak<QueueInode>,
    shared: Arc<Shared>,
    ino: u64,
    attributes: Mutex<Metadata>,
    pub(super) queue: Arc<PosixQueue>,
}

impl QueueInode {
    /// Changes its attributes by `f`, which is given the time.
    pub(super) fn touch(&self, f: impl FnOnce(&mut Metadata, Timespec)) {
        let now = self.shared.now();
        f(&mut self.attributes.lock(), now);
    }
}

impl Inode for QueueInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(*self.attributes.lock())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn set_attributes(&self, wanted: &SetAttributes) -> SysResult<()> {
        self.touch(|attributes, now| change(attributes, wanted, now));
        Ok(())
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(Arc::new(QueueFile::new(self.me.upgrade().ok_or(Errno::ESTALE)?)))
    }
}
