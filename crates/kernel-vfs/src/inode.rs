//! Inodes: what a filesystem implements to be mounted.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{self, OpenFlags, StatFs};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::file::FileOps;
use crate::filesystem::MountOption;
use crate::path::Path;

/// What kind of file an inode is; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl FileKind {
    /// The type bits of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => fs::S_IFREG,
            Self::Directory => fs::S_IFDIR,
            Self::Symlink => fs::S_IFLNK,
            Self::Fifo => fs::S_IFIFO,
            Self::Socket => fs::S_IFSOCK,
            Self::CharDevice => fs::S_IFCHR,
            Self::BlockDevice => fs::S_IFBLK,
        }
    }

    /// The kind that `st_mode` tells; `None` for no known type.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & fs::S_IFMT {
            fs::S_IFREG => Self::Regular,
            fs::S_IFDIR => Self::Directory,
            fs::S_IFLNK => Self::Symlink,
            fs::S_IFIFO => Self::Fifo,
            fs::S_IFSOCK => Self::Socket,
            fs::S_IFCHR => Self::CharDevice,
            fs::S_IFBLK => Self::BlockDevice,
            _ => return None,
        })
    }

    /// `d_type` of getdents64(2): DT_REG and its like (include/linux/fs_types.h).
    #[must_use]
    pub const fn d_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// What stat(2) and statx(2) tell of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub dev: u64,
    pub ino: u64,
    /// File type and permission bits, as `st_mode`.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub block_size: u32,
    pub atime: Timespec,
    pub mtime: Timespec,
    pub ctime: Timespec,
    pub btime: Option<Timespec>,
}

/// Which attributes to change; `None` leaves one alone. Permission was checked by the VFS.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttributes {
    /// Permission bits only (07777).
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Timespec>,
    pub mtime: Option<Timespec>,
}

/// A node to be made in a directory.
#[derive(Clone, Debug)]
pub struct NewNode<'a> {
    pub content: NewContent<'a>,
    /// Permission bits, umask applied.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What the new node is.
#[derive(Clone, Copy, Debug)]
pub enum NewContent<'a> {
    Regular,
    Directory,
    Symlink(&'a [u8]),
    Fifo,
    Socket,
    CharDevice(u64),
    BlockDevice(u64),
}

/// Where a symbolic link leads.
pub enum LinkTarget {
    /// A path to walk.
    Path(Vec<u8>),
    /// A magic link of /proc: this very place, and what readlink(2) says of it.
    Magic { to: MagicTarget, text: Vec<u8> },
}

/// What a magic link leads to.
pub enum MagicTarget {
    /// A place in the tree (/proc/pid/cwd, root, exe).
    Path(Path),
    /// An open file (/proc/pid/fd/n); opening it opens its inode anew.
    File(Arc<crate::file::File>),
}

/// How rename(2) treats an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    Replace,
    NoReplace,
    Exchange,
}

/// One mounted filesystem instance.
pub trait SuperBlock: Send + Sync {
    /// Its root directory.
    fn root(&self) -> Arc<dyn Inode>;
    /// Name in /proc/mounts, such as "tmpfs".
    fn fs_type(&self) -> &'static str;
    /// Device number of its inodes.
    fn dev(&self) -> u64;
    /// statfs(2).
    fn statfs(&self) -> SysResult<StatFs>;
    /// Whether nobody but this sandbox changes it: lookups, attributes and misses may be cached for good.
    fn is_exclusive(&self) -> bool;
    /// Whether it can never be written: its mounts are read-only.
    fn is_read_only(&self) -> bool {
        false
    }
    /// mount(2) with MS_REMOUNT: options to change, known to be its type's. Those that it cannot change are ignored.
    fn reconfigure(&self, options: &[MountOption]) -> SysResult<()> {
        let _ = options;
        Ok(())
    }
    /// Options beyond the generic ones for /proc/mounts, such as "size=64k,mode=755".
    fn show_options(&self) -> String {
        String::new()
    }
}

/// A file, directory, link or device of some filesystem. Names are single components, checked by the VFS:
/// no `/`, not empty, not "." or "..", at most NAME_MAX bytes. Permission is checked by the VFS, too.
pub trait Inode: Send + Sync + Any {
    /// Its kind.
    fn kind(&self) -> FileKind;
    /// Its attributes now.
    fn metadata(&self) -> SysResult<Metadata>;
    /// As [`Inode::metadata`], but only owner, group and mode need to be true, and links of what is no directory: a
    /// filesystem often knows these where size and times would have to be asked for.
    fn lasting_metadata(&self) -> SysResult<Metadata> {
        self.metadata()
    }
    /// For downcasts by its own filesystem (rename, link).
    fn as_any(&self) -> &dyn Any;

    /// Changes attributes. ctime is set by the filesystem.
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        let _ = change;
        Err(Errno::EPERM)
    }
    /// Looks a name up in a directory. `who` matters to /proc/self alone.
    fn lookup(&self, name: &[u8], who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let _ = (name, who);
        Err(Errno::ENOTDIR)
    }
    /// Makes a node; EEXIST when there is one already.
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let _ = (name, node);
        Err(Errno::EPERM)
    }
    /// Makes a regular file without a name (O_TMPFILE).
    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let _ = node;
        Err(Errno::EOPNOTSUPP)
    }
    /// Gives `target`, of the same filesystem, one more name here.
    fn link(&self, name: &[u8], target: &dyn Inode) -> SysResult<()> {
        let _ = (name, target);
        Err(Errno::EPERM)
    }
    /// Removes a name that is not a directory.
    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EPERM)
    }
    /// [`Inode::unlink`] for a caller who has looked up what the name leads to.
    fn unlink_known(&self, name: &[u8], child: &dyn Inode) -> SysResult<()> {
        let _ = child;
        self.unlink(name)
    }
    /// Removes an empty directory.
    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EPERM)
    }
    /// Moves `name` from here to `new_name` in `new_parent`, of the same filesystem. Type rules (a
    /// directory replaces only an empty directory …) were checked by the VFS as far as it can.
    fn rename(
        &self,
        name: &[u8],
        new_parent: &dyn Inode,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        let _ = (name, new_parent, new_name, mode);
        Err(Errno::EPERM)
    }
    /// [`Inode::rename`] for a caller who has looked up what both names lead to.
    fn rename_known(
        &self,
        source: (&[u8], &dyn Inode),
        new_parent: &dyn Inode,
        target: (&[u8], Option<&dyn Inode>),
        mode: RenameMode,
    ) -> SysResult<()> {
        self.rename(source.0, new_parent, target.0, mode)
    }
    /// The target of a symbolic link.
    fn read_link(&self, who: &dyn Caller) -> SysResult<LinkTarget> {
        let _ = who;
        Err(Errno::EINVAL)
    }
    /// Opens it. Called for every open(2); permission and O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW
    /// have been dealt with by the VFS.
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>>;

    /// An extended attribute; ENODATA when it isn't there.
    fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }
    /// Sets one; `flags` XATTR_CREATE or XATTR_REPLACE.
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        let _ = (name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }
    /// Names of all, each with a NUL at its end.
    fn list_xattr(&self) -> SysResult<Vec<u8>> {
        Ok(Vec::new())
    }
    /// Removes one.
    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }
    /// Whether cached lookups of names below this directory stay true (see [`SuperBlock::is_exclusive`]);
    /// /proc answers false.
    fn caches_lookups(&self) -> bool {
        true
    }
}
