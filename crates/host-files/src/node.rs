//! Handles on host files of any kind, and what is done with names below directories.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi_linux::fs::StatFs;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use host_sys::meter;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timestamps, Uid, chownat, fstatfs,
    linkat, mkdirat, mknodat, open, openat2, readlinkat, renameat_with, statx, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno as HostErrno;

use crate::data::DataFile;
use crate::errno;
use crate::listing::Listing;
use crate::name::{Name, RelPath};
use crate::stat::{HostKind, HostStat, WANTED};

/// Nothing that a walk meets leads out of the tree or to another process's files.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// Whether a data file is opened for reading alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutability {
    ReadOnly,
    ReadWrite,
}

/// A special file that [`Node::make_special`] makes; never opened on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Fifo,
    Socket,
    /// Character device 0:0, which marks a removed name in an overlay's upper layer.
    Whiteout,
}

/// Owner and mode of a file to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// How [`Node::rename`] treats an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    Replace,
    NoReplace,
    Exchange,
}

/// A handle on a host file: O_PATH, or a data file's own.
#[derive(Debug)]
pub struct Node(Arc<OwnedFd>);

fn path_open(at: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> SysResult<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match meter::host(|| openat2(at, path, flags, mode, BENEATH)) {
            // A rename elsewhere on the host raced with the walk (openat2(2)).
            Err(HostErrno::AGAIN | HostErrno::INTR) => {}
            Err(error) => return Err(errno(error)),
            Ok(fd) => return Ok(fd),
        }
    }
}

impl Node {
    /// Opens a tree at a path that the operator chose, never a guest.
    pub fn open_root(path: &std::path::Path) -> SysResult<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        meter::host(|| open(path, flags, Mode::empty())).map(Self::from_fd).map_err(errno)
    }

    /// Takes a descriptor that the operator handed over.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A handle on what a name leads to; symbolic links are not followed.
    pub fn child(&self, name: Name<'_>) -> SysResult<Self> {
        path_open(self.fd(), name.bytes(), OFlags::PATH, Mode::empty()).map(Self::from_fd)
    }

    /// A handle on what lies at a path below.
    pub fn descend(&self, path: &RelPath) -> SysResult<Self> {
        path_open(self.fd(), path.bytes(), OFlags::PATH, Mode::empty()).map(Self::from_fd)
    }

    /// Its attributes.
    pub fn stat(&self) -> SysResult<HostStat> {
        let stat = meter::host(|| statx(self.fd(), "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, WANTED))
            .map_err(errno)?;
        Ok(HostStat::from_statx(&stat))
    }

    /// The attributes of a name in this directory.
    pub fn stat_child(&self, name: Name<'_>) -> SysResult<HostStat> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = meter::host(|| statx(self.fd(), name.bytes(), flags, WANTED)).map_err(errno)?;
        Ok(HostStat::from_statx(&stat))
    }

    /// The target of a symbolic link in this directory.
    pub fn read_link_child(&self, name: Name<'_>) -> SysResult<Vec<u8>> {
        meter::host(|| readlinkat(self.fd(), name.bytes(), Vec::new()))
            .map(std::ffi::CString::into_bytes)
            .map_err(errno)
    }

    /// The target of the symbolic link that this handle is on.
    pub fn read_link(&self) -> SysResult<Vec<u8>> {
        meter::host(|| readlinkat(self.fd(), "", Vec::new()))
            .map(std::ffi::CString::into_bytes)
            .map_err(errno)
    }

    /// Its filesystem's numbers.
    pub fn statfs(&self) -> SysResult<StatFs> {
        let stat = meter::host(|| fstatfs(self.fd())).map_err(errno)?;
        Ok(StatFs {
            f_type: stat.f_type,
            f_bsize: stat.f_bsize,
            f_blocks: stat.f_blocks,
            f_bfree: stat.f_bfree,
            f_bavail: stat.f_bavail,
            f_files: stat.f_files,
            f_ffree: stat.f_ffree,
            f_namelen: stat.f_namelen,
            f_frsize: stat.f_frsize,
            ..StatFs::default()
        })
    }

    /// A handle on an open file.
    #[must_use]
    pub fn of_file(file: &DataFile) -> Self {
        Self(file.mapping_fd())
    }

    /// Opens anew, for reading, the regular file that this handle is on: a volume that is a single file.
    pub fn reopen_read(&self) -> SysResult<DataFile> {
        self.reopen(OFlags::RDONLY)
    }

    /// As [`Node::reopen_read`], for reading and writing.
    pub fn reopen_write(&self) -> SysResult<DataFile> {
        self.reopen(OFlags::RDWR)
    }

    fn reopen(&self, access: OFlags) -> SysResult<DataFile> {
        if self.stat()?.kind != HostKind::Regular {
            return Err(Errno::EINVAL);
        }
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let fd = meter::host(|| open(path, access | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()))
            .map_err(errno)?;
        Ok(DataFile::from_fd(fd))
    }

    fn open_regular(&self, name: Name<'_>, how: Mutability, ino: Option<u64>) -> SysResult<DataFile> {
        let access = match how {
            Mutability::ReadOnly => OFlags::RDONLY,
            Mutability::ReadWrite => OFlags::RDWR,
        };
        // O_NONBLOCK: should the name have become a fifo or a device meanwhile, the open must not wait.
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = DataFile::from_fd(path_open(self.fd(), name.bytes(), flags, Mode::empty())?);
        let Some(ino) = ino else { return Ok(file) };
        let stat = file.stat()?;
        if stat.kind != HostKind::Regular || stat.ino != ino { Err(Errno::ESTALE) } else { Ok(file) }
    }

    /// Opens a regular file of this directory for reading. ESTALE when it is no longer the file `ino`, unless the caller
    /// knows that nobody else changes the directory.
    pub fn open_read(&self, name: Name<'_>, ino: Option<u64>) -> SysResult<DataFile> {
        self.open_regular(name, Mutability::ReadOnly, ino)
    }

    /// Opens a regular file of this directory for reading and writing.
    pub fn open_write(&self, name: Name<'_>, ino: Option<u64>) -> SysResult<DataFile> {
        self.open_regular(name, Mutability::ReadWrite, ino)
    }

    /// Opens this directory for listing.
    pub fn list(&self) -> SysResult<Listing> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        path_open(self.fd(), b".", flags, Mode::empty()).map(Listing::new)
    }

    /// A descriptor for extended attributes of this directory (they need one that is not O_PATH).
    pub fn open_directory(&self) -> SysResult<DataFile> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        path_open(self.fd(), b".", flags, Mode::empty()).map(DataFile::from_fd)
    }

    /// Makes a regular file, and tells its attributes; EEXIST when the name is taken.
    pub fn create(&self, name: Name<'_>, new: NewFile) -> SysResult<(DataFile, HostStat)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = path_open(self.fd(), name.bytes(), flags, Mode::from_raw_mode(new.mode & 0o777))?;
        let file = DataFile::from_fd(file);
        let stat = settled(file.as_fd(), new, || file.stat())?;
        Ok((file, stat))
    }

    /// Makes a regular file without a name (O_TMPFILE).
    pub fn create_unnamed(&self, new: NewFile) -> SysResult<DataFile> {
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        let fd = path_open(self.fd(), b".", flags, Mode::from_raw_mode(new.mode & 0o777))?;
        settle(fd.as_fd(), new);
        Ok(DataFile::from_fd(fd))
    }

    /// Makes a directory, and tells its attributes.
    pub fn make_dir(&self, name: Name<'_>, new: NewFile) -> SysResult<(Self, HostStat)> {
        meter::host(|| mkdirat(self.fd(), name.bytes(), Mode::from_raw_mode(new.mode & 0o777)))
            .map_err(errno)?;
        let node = self.child(name)?;
        let stat = settled(node.fd(), new, || node.stat())?;
        Ok((node, stat))
    }

    /// Makes a symbolic link. Its target is only text to the host: no walk of ours follows it there.
    pub fn make_symlink(&self, name: Name<'_>, target: &[u8], new: NewFile) -> SysResult<()> {
        meter::host(|| symlinkat(target, self.fd(), name.bytes())).map_err(errno)?;
        let owner = (Some(Uid::from_raw(new.uid)), Some(Gid::from_raw(new.gid)));
        // An unprivileged supervisor keeps its own id on what it makes.
        let _kept =
            meter::host(|| chownat(self.fd(), name.bytes(), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW));
        Ok(())
    }

    /// Makes a fifo or a socket node.
    pub fn make_special(&self, name: Name<'_>, what: Special, new: NewFile) -> SysResult<()> {
        let kind = match what {
            Special::Fifo => FileType::Fifo,
            Special::Socket => FileType::Socket,
            Special::Whiteout => FileType::CharacterDevice,
        };
        meter::host(|| mknodat(self.fd(), name.bytes(), kind, Mode::from_raw_mode(new.mode & 0o777), 0))
            .map_err(errno)?;
        settle(self.child(name)?.fd(), new);
        Ok(())
    }

    /// Gives the file at `old` in this directory another name.
    pub fn link(&self, old: Name<'_>, to: &Self, new: Name<'_>) -> SysResult<()> {
        meter::host(|| linkat(self.fd(), old.bytes(), to.fd(), new.bytes(), AtFlags::empty())).map_err(errno)
    }

    /// Gives an unnamed file a name; needs CAP_DAC_READ_SEARCH on the host.
    pub fn link_unnamed(file: &DataFile, to: &Self, new: Name<'_>) -> SysResult<()> {
        meter::host(|| linkat(file, "", to.fd(), new.bytes(), AtFlags::EMPTY_PATH)).map_err(errno)
    }

    /// Removes a name that is no directory.
    pub fn unlink(&self, name: Name<'_>) -> SysResult<()> {
        meter::host(|| unlinkat(self.fd(), name.bytes(), AtFlags::empty())).map_err(errno)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: Name<'_>) -> SysResult<()> {
        meter::host(|| unlinkat(self.fd(), name.bytes(), AtFlags::REMOVEDIR)).map_err(errno)
    }

    /// Moves a name.
    pub fn rename(&self, old: Name<'_>, to: &Self, new: Name<'_>, mode: Rename) -> SysResult<()> {
        let flags = match mode {
            Rename::Replace => RenameFlags::empty(),
            Rename::NoReplace => RenameFlags::NOREPLACE,
            Rename::Exchange => RenameFlags::EXCHANGE,
        };
        meter::host(|| renameat_with(self.fd(), old.bytes(), to.fd(), new.bytes(), flags)).map_err(errno)
    }

    /// Sets permission bits.
    pub fn set_mode(&self, mode: u32) -> SysResult<()> {
        host_sys::file_mode::set_mode(self.fd(), mode)
    }

    /// Sets owner and group; `None` leaves one alone.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> SysResult<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        meter::host(|| chownat(self.fd(), "", uid, gid, AtFlags::EMPTY_PATH)).map_err(errno)
    }

    /// Sets timestamps; `None` leaves one alone.
    pub fn set_times(&self, atime: Option<Timespec>, mtime: Option<Timespec>) -> SysResult<()> {
        let times = Timestamps { last_access: host_time(atime), last_modification: host_time(mtime) };
        meter::host(|| utimensat(self.fd(), "", &times, AtFlags::EMPTY_PATH)).map_err(errno)
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The attributes of a new file, which is given its owner and mode unless it has them.
fn settled(fd: BorrowedFd<'_>, new: NewFile, stat: impl Fn() -> SysResult<HostStat>) -> SysResult<HostStat> {
    let now = stat()?;
    if (now.uid, now.gid, now.mode & 0o7777) == (new.uid, new.gid, new.mode & 0o7777) {
        return Ok(now);
    }
    settle(fd, new);
    stat()
}

/// Gives a new file the owner and mode that it shall have, as far as the supervisor may. The umask of the
/// supervisor and set-id bits make the mode of creation not enough.
fn settle(fd: BorrowedFd<'_>, new: NewFile) {
    let owner = (Some(Uid::from_raw(new.uid)), Some(Gid::from_raw(new.gid)));
    // An unprivileged supervisor keeps its own id on what it makes.
    let _kept = meter::host(|| chownat(fd, "", owner.0, owner.1, AtFlags::EMPTY_PATH));
    let _kept = host_sys::file_mode::set_mode(fd, new.mode);
}

fn host_time(time: Option<Timespec>) -> rustix::fs::Timespec {
    /// UTIME_OMIT of include/linux/stat.h.
    const OMIT: i64 = (1 << 30) - 2;
    let time = time.unwrap_or(Timespec { tv_sec: 0, tv_nsec: OMIT });
    rustix::fs::Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec }
}
