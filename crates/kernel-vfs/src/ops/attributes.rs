//! stat(2), access(2), chmod(2), chown(2), truncate(2), utimensat(2), readlink(2), statfs(2), and the
//! checks of chdir(2) and chroot(2).

use abi_linux::fs::{S_ISGID, StatFs};
use abi_linux::time::{NSEC_PER_SEC, Timespec};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};

use super::xattr::XATTR_NAME_CAPS;
use crate::anon::is_anon_inode;
use crate::busy::Writing;
use crate::inode::{FileKind, LinkTarget, Metadata, SetAttributes};
use crate::mount::MountFlags;
use crate::notify::{self, Happened};
use crate::path::Path;
use crate::permission::{self, Access};
use crate::walk::{WalkContext, WalkFlags};

/// What to do with one timestamp (utimensat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// UTIME_OMIT.
    Keep,
    /// UTIME_NOW, or no times given.
    Now,
    At(Timespec),
}

/// Access and modification time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub atime: SetTime,
    pub mtime: SetTime,
}

/// utimensat(2)'s special nanoseconds (include/linux/stat.h).
const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;

/// The inode that eventfds and their like share has no attributes to set (fs/anon_inodes.c anon_inode_setattr).
fn check_attributes_change(path: &Path) -> SysResult<()> {
    if is_anon_inode(&**path.inode()) { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

impl SetTime {
    /// From a guest's timespec, whose nanoseconds are judged when the file has been found (vfs_utimes).
    #[must_use]
    pub fn from_timespec(time: Timespec) -> Self {
        match time.tv_nsec {
            UTIME_NOW => Self::Now,
            UTIME_OMIT => Self::Keep,
            _ => Self::At(time),
        }
    }

    fn is_valid(self) -> bool {
        !matches!(self, Self::At(time) if !(0..NSEC_PER_SEC as i64).contains(&time.tv_nsec))
    }
}

impl WalkContext<'_> {
    /// stat(2), lstat(2), fstatat(2): the attributes and the place (for its mount id).
    pub fn stat(&self, at: Option<&Path>, path: &[u8], flags: WalkFlags) -> SysResult<(Metadata, Path)> {
        let place = self.resolve(at, path, flags)?;
        Ok((place.inode().metadata()?, place))
    }

    /// access(2) and faccessat2(2). `creds` are those to check with: the real ids' without AT_EACCESS,
    /// see [`real_credentials`].
    pub fn access(&self, at: Option<&Path>, path: &[u8], want: Access, flags: WalkFlags) -> SysResult<()> {
        let place = self.resolve(at, path, flags)?;
        if want.is_empty() {
            return Ok(());
        }
        let kind = place.inode().kind();
        if want.contains(Access::EXEC)
            && kind == FileKind::Regular
            && place.mount.flags().contains(MountFlags::NOEXEC)
        {
            return Err(Errno::EACCES);
        }
        permission::check(&place.inode().lasting_metadata()?, self.creds, want)?;
        if want.contains(Access::WRITE)
            && matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink)
        {
            place.mount.check_writable()?;
        }
        Ok(())
    }

    /// chmod(2) at a place.
    pub fn chmod(&self, path: &Path, mode: u32) -> SysResult<()> {
        path.mount.check_writable()?;
        check_attributes_change(path)?;
        let inode = path.inode();
        if inode.kind() == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let meta = inode.lasting_metadata()?;
        if !permission::is_owner(&meta, self.creds) {
            return Err(Errno::EPERM);
        }
        let mut mode = mode & 0o7777;
        if !self.creds.in_group(meta.gid) && !self.creds.has_over(meta.uid, meta.gid, Cap::FSETID) {
            mode &= !S_ISGID;
        }
        inode.set_attributes(&SetAttributes { mode: Some(mode), ..SetAttributes::default() })?;
        notify::at(path, Happened::ATTRIB);
        Ok(())
    }

    /// chown(2) at a place; `None` leaves an id alone.
    pub fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> SysResult<()> {
        path.mount.check_writable()?;
        check_attributes_change(path)?;
        let inode = path.inode();
        let meta = inode.lasting_metadata()?;
        let (creds, owner) = (self.creds, self.creds.fsuid == meta.uid);
        let may = creds.has_over(meta.uid, meta.gid, Cap::CHOWN)
            || uid.is_none_or(|uid| owner && uid == meta.uid)
                && gid.is_none_or(|gid| owner && (creds.in_group(gid) || gid == meta.gid));
        if !may {
            return Err(Errno::EPERM);
        }
        let mut change = SetAttributes { uid, gid, ..SetAttributes::default() };
        let mode = permission::mode_without_privilege(meta.mode);
        if inode.kind() != FileKind::Directory && mode != meta.mode {
            change.mode = Some(mode & 0o7777);
        }
        inode.set_attributes(&change)?;
        if inode.kind() != FileKind::Directory {
            // File capabilities go as set-id bits do; most files have none.
            let _ = inode.remove_xattr(XATTR_NAME_CAPS);
        }
        notify::at(path, Happened::ATTRIB);
        Ok(())
    }

    /// truncate(2): by path.
    pub fn truncate(&self, at: Option<&Path>, path: &[u8], size: u64) -> SysResult<()> {
        self.truncate_within(at, path, size, || Ok(()))
    }

    /// As [`truncate`](Self::truncate); `may_grow` is asked when all else is right.
    pub fn truncate_within(
        &self,
        at: Option<&Path>,
        path: &[u8],
        size: u64,
        may_grow: impl FnOnce() -> SysResult<()>,
    ) -> SysResult<()> {
        let place = self.resolve(at, path, WalkFlags::empty())?;
        match place.inode().kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.check_access(&place, Access::WRITE)?;
        let _writing = Writing::begin(&place)?;
        may_grow()?;
        self.set_size(&place, size)
    }

    /// Sets the size of a file that is known to be writable: ftruncate(2), O_TRUNC.
    pub fn set_size(&self, path: &Path, size: u64) -> SysResult<()> {
        path.mount.check_writable()?;
        if path.inode().kind() != FileKind::Regular {
            return Err(Errno::EINVAL);
        }
        if size > i64::MAX as u64 {
            return Err(Errno::EFBIG);
        }
        let meta = path.inode().metadata()?;
        let mode = permission::mode_without_privilege(meta.mode);
        let lost = mode != meta.mode && !self.creds.has_own(Cap::FSETID);
        let mode = lost.then_some(mode & 0o7777);
        path.inode().set_attributes(&SetAttributes { size: Some(size), mode, ..SetAttributes::default() })?;
        notify::at(path, Happened::MODIFY);
        Ok(())
    }

    /// utimensat(2) at a place.
    pub fn set_times(&self, path: &Path, times: Times) -> SysResult<()> {
        if times.atime == SetTime::Keep && times.mtime == SetTime::Keep {
            return Ok(());
        }
        if !times.atime.is_valid() || !times.mtime.is_valid() {
            return Err(Errno::EINVAL);
        }
        path.mount.check_writable()?;
        check_attributes_change(path)?;
        let meta = path.inode().metadata()?;
        let both_now = times.atime == SetTime::Now && times.mtime == SetTime::Now;
        if !permission::is_owner(&meta, self.creds) {
            if !both_now {
                return Err(Errno::EPERM);
            }
            permission::check(&meta, self.creds, Access::WRITE)?;
        }
        let now = Timespec::from_ns(self.who.now_realtime_ns());
        let resolve = |time| match time {
            SetTime::Keep => None,
            SetTime::Now => Some(now),
            SetTime::At(time) => Some(time),
        };
        let (atime, mtime) = (resolve(times.atime), resolve(times.mtime));
        path.inode().set_attributes(&SetAttributes { atime, mtime, ..SetAttributes::default() })?;
        // fsnotify_change of Linux v6.18.
        let what = match (atime, mtime) {
            (Some(_), Some(_)) => Happened::ATTRIB,
            (Some(_), None) => Happened::ACCESS,
            _ => Happened::MODIFY,
        };
        notify::at(path, what);
        Ok(())
    }

    /// readlink(2) at a place found with [`WalkFlags::NOFOLLOW`]; EINVAL when it is no symbolic link.
    pub fn readlink(&self, path: &Path) -> SysResult<Vec<u8>> {
        if path.inode().kind() != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        Ok(match path.inode().read_link(self.who)? {
            LinkTarget::Path(text) | LinkTarget::Magic { text, .. } => text,
        })
    }

    /// statfs(2) at a place.
    pub fn statfs(&self, path: &Path) -> SysResult<StatFs> {
        let mut stat = path.dentry.superblock().statfs()?;
        let flags = path.mount.flags();
        // ST_* of statfs(2) agree with MS_* but for these.
        let mut bits = i64::from(
            (flags
                & (MountFlags::RDONLY
                    | MountFlags::NOSUID
                    | MountFlags::NODEV
                    | MountFlags::NOEXEC
                    | MountFlags::NOATIME
                    | MountFlags::NODIRATIME))
                .bits(),
        );
        if flags.contains(MountFlags::RELATIME) {
            bits |= 0x1000;
        }
        if flags.contains(MountFlags::NOSYMFOLLOW) {
            bits |= 0x2000;
        }
        stat.f_flags = bits | 0x20;
        Ok(stat)
    }

    /// The directory for chdir(2) and fchdir(2).
    pub fn check_chdir(&self, path: &Path) -> SysResult<()> {
        if path.inode().kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        permission::check(&path.inode().metadata()?, self.creds, Access::EXEC)
    }

    /// The directory for chroot(2).
    pub fn check_chroot(&self, path: &Path) -> SysResult<()> {
        self.check_chdir(path)?;
        if self.creds.has_own(Cap::SYS_CHROOT) { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// The credentials that access(2) checks with: the real ids, and root's capabilities only for real root.
#[must_use]
pub fn real_credentials(creds: &Credentials) -> Credentials {
    let mut real = creds.clone();
    real.fsuid = creds.ruid;
    real.fsgid = creds.rgid;
    real.effective =
        if Some(creds.ruid) == creds.root_uid() { creds.permitted } else { kernel_base::cred::CapSet::EMPTY };
    real
}
