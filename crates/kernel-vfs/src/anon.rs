//! Files without a name: pipes, sockets, eventfd, epoll, memfd. They lie on mounts that no path reaches,
//! one for each of Linux's kinds, and show as `pipe:[7]` or `anon_inode:[eventpoll]`.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use abi_linux::fs::{OpenFlags, S_IFMT, StatFs};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::file::{File, FileOps};
use crate::inode::{FileKind, Inode, Metadata, SuperBlock};
use crate::mount::{Mount, MountFlags};
use crate::path::Path;

/// Which of Linux's internal filesystems a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonKind {
    /// `pipe:[ino]`.
    Pipe,
    /// `socket:[ino]`.
    Socket,
    /// `anon_inode:[eventfd]` and its like.
    AnonInode,
    /// `/memfd:name`.
    Memory,
    /// `mnt:[4026532000]`.
    Namespace,
}

/// Attributes of a nameless file.
#[derive(Clone, Copy, Debug)]
pub struct AnonAttributes {
    /// Permission bits, such as 0o600.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Time it was made, for all its timestamps.
    pub now_ns: u64,
}

struct AnonSuper {
    kind: AnonKind,
}

impl SuperBlock for AnonSuper {
    fn root(&self) -> Arc<dyn Inode> {
        let attributes = AnonAttributes { mode: 0, uid: 0, gid: 0, now_ns: 0 };
        Arc::new(AnonInode::new(self.kind, FileKind::Directory, attributes))
    }
    fn fs_type(&self) -> &'static str {
        match self.kind {
            AnonKind::Pipe => "pipefs",
            AnonKind::Socket => "sockfs",
            AnonKind::AnonInode => "anon_inodefs",
            AnonKind::Memory => "tmpfs",
            AnonKind::Namespace => "nsfs",
        }
    }
    fn dev(&self) -> u64 {
        device_of(self.kind)
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let f_type = match self.kind {
            AnonKind::Pipe => 0x5049_5045,
            AnonKind::Socket => 0x534f_434b,
            AnonKind::AnonInode => 0x0904_1934,
            AnonKind::Memory => 0x0102_1994,
            AnonKind::Namespace => 0x6e73_6673,
        };
        Ok(StatFs { f_type, f_bsize: 4096, f_frsize: 4096, f_namelen: 255, ..StatFs::default() })
    }
    fn is_exclusive(&self) -> bool {
        true
    }
}

/// Device numbers 0:9 to 0:13: unnamed devices, below those that mounts get.
#[must_use]
pub fn device_of(kind: AnonKind) -> u64 {
    9 + kind as u64
}

static MOUNTS: LazyLock<[Arc<Mount>; 5]> = LazyLock::new(|| {
    [AnonKind::Pipe, AnonKind::Socket, AnonKind::AnonInode, AnonKind::Memory, AnonKind::Namespace].map(
        |kind| {
            let superblock: Arc<dyn SuperBlock> = Arc::new(AnonSuper { kind });
            Mount::of(&superblock, b"none", MountFlags::empty())
        },
    )
});

/// Inode numbers of nameless files; never used again.
static NEXT_INO: AtomicU64 = AtomicU64::new(1);

/// A fresh inode number.
#[must_use]
pub fn next_ino() -> u64 {
    NEXT_INO.fetch_add(1, Ordering::Relaxed)
}

/// An unnamed device number (0:n) for a filesystem instance without a device.
#[must_use]
pub fn next_dev() -> u64 {
    static NEXT_DEV: AtomicU64 = AtomicU64::new(32);
    let minor = NEXT_DEV.fetch_add(1, Ordering::Relaxed);
    abi_linux::fs::makedev(0, minor as u32)
}

/// A plain inode for files that have none of their own. Opening it anew answers ENXIO, as Linux does for
/// sockets and anon_inodes.
pub struct AnonInode {
    kind: FileKind,
    metadata: Metadata,
}

impl AnonInode {
    /// An inode with a fresh number.
    #[must_use]
    pub fn new(anon: AnonKind, kind: FileKind, attributes: AnonAttributes) -> Self {
        let time = Timespec::from_ns(attributes.now_ns);
        let metadata = Metadata {
            dev: device_of(anon),
            ino: next_ino(),
            mode: kind_bits(anon, kind) | attributes.mode,
            nlink: 1,
            uid: attributes.uid,
            gid: attributes.gid,
            block_size: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            ..Metadata::default()
        };
        Self { kind, metadata }
    }
}

/// Whether a file is one of anon_inodes (eventfd, epoll …): not regular, though it is no other kind either.
#[must_use]
pub fn is_anon_inode(inode: &dyn Inode) -> bool {
    inode.as_any().downcast_ref::<AnonInode>().is_some_and(|inode| inode.metadata.mode & S_IFMT == 0)
}

/// anon_inodes have no type bits (Linux before 6.16; programs know that).
fn kind_bits(anon: AnonKind, kind: FileKind) -> u32 {
    if anon == AnonKind::AnonInode { 0 } else { kind.mode_bits() }
}

impl Inode for AnonInode {
    fn kind(&self) -> FileKind {
        self.kind
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.metadata)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Err(Errno::ENXIO)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The place of a nameless inode. Both ends of a pipe share one: clone it.
#[must_use]
pub fn anon_path(kind: AnonKind, text: &[u8], inode: Arc<dyn Inode>) -> Path {
    let [pipe, socket, anon_inode, memory, namespace] = &*MOUNTS;
    let mount = match kind {
        AnonKind::Pipe => pipe,
        AnonKind::Socket => socket,
        AnonKind::AnonInode => anon_inode,
        AnonKind::Memory => memory,
        AnonKind::Namespace => namespace,
    };
    let dentry = mount.root().unattached(inode, text);
    Path::new(Arc::clone(mount), dentry)
}

/// An open nameless file. `text` is what /proc/pid/fd shows, such as `anon_inode:[eventpoll]`.
#[must_use]
pub fn anon_file(
    kind: AnonKind,
    text: &[u8],
    inode: Arc<dyn Inode>,
    ops: Arc<dyn FileOps>,
    flags: OpenFlags,
) -> Arc<File> {
    File::new(anon_path(kind, text, Arc::clone(&inode)), inode, ops, flags)
}
