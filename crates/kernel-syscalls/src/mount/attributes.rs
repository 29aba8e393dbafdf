//! mount_setattr(2), and the attributes that it and fsmount(2) know.

use abi_linux::raw::general::{MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_vfs::mount::{Depth, MountFlags, Propagation};
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::own_namespace;
use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, Target};

/// MOUNT_ATTR_* (include/uapi/linux/mount.h).
const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;
/// All that a mount can have here; id-mapped mounts are not among them.
pub(super) const ATTRIBUTES: u64 = RDONLY | NOSUID | NODEV | NOEXEC | ATIME | NODIRATIME | NOSYMFOLLOW;

pub(super) const AT_RECURSIVE: u32 = 0x8000;
/// MOUNT_ATTR_SIZE_VER0.
const SIZE: usize = 32;
const PAGE_SIZE: usize = 4096;

/// Each attribute with its flag, apart from those of access times.
const PAIRS: [(u64, MountFlags); 6] = [
    (RDONLY, MountFlags::RDONLY),
    (NOSUID, MountFlags::NOSUID),
    (NODEV, MountFlags::NODEV),
    (NOEXEC, MountFlags::NOEXEC),
    (NODIRATIME, MountFlags::NODIRATIME),
    (NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
];

fn plain_flags(attributes: u64) -> MountFlags {
    let set = PAIRS.iter().filter(|(bit, _)| attributes & bit != 0);
    set.fold(MountFlags::empty(), |flags, &(_, flag)| flags | flag)
}

fn atime_flags(attributes: u64) -> SysResult<MountFlags> {
    match attributes & ATIME {
        0 => Ok(MountFlags::RELATIME),
        NOATIME => Ok(MountFlags::NOATIME),
        STRICTATIME => Ok(MountFlags::empty()),
        _ => Err(Errno::EINVAL),
    }
}

/// A mount's flags for attributes (attr_flags_to_mnt_flags).
pub(super) fn flags_of(attributes: u64) -> SysResult<MountFlags> {
    Ok(plain_flags(attributes) | atime_flags(attributes)?)
}

/// Attributes for a mount's flags (statmount(2)).
pub(super) fn attributes_of(flags: MountFlags) -> u64 {
    let plain: u64 = PAIRS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(bit, _)| bit).sum();
    let atime = if flags.contains(MountFlags::NOATIME) {
        NOATIME
    } else if flags.contains(MountFlags::RELATIME) {
        0
    } else {
        STRICTATIME
    };
    plain | atime
}

/// What mount_setattr(2) is to do (struct mount_attr).
pub(super) struct Change {
    set: MountFlags,
    clear: MountFlags,
    propagation: Option<Propagation>,
}

impl Change {
    /// Reads and checks it (copy_struct_from_user, build_mount_kattr). `None`: there is nothing to do.
    pub(super) fn read(cx: &Cx, at: u64, size: usize) -> SysResult<Option<Self>> {
        let [set, clear, propagation, _user_ns]: [u64; 4] = cx.mem().read_sized(at, size, SIZE)?;
        if (set, clear, propagation) == (0, 0, 0) {
            return Ok(None);
        }
        Self::check(set, clear, propagation).map(Some)
    }

    fn check(set: u64, clear: u64, propagation: u64) -> SysResult<Self> {
        let propagation = match u32::try_from(propagation).map_err(|_| Errno::EINVAL)? {
            0 => None,
            MS_SHARED => Some(Propagation::Shared),
            MS_SLAVE => Some(Propagation::Slave),
            MS_PRIVATE => Some(Propagation::Private),
            MS_UNBINDABLE => Some(Propagation::Unbindable),
            _ => return Err(Errno::EINVAL),
        };
        if (set | clear) & !ATTRIBUTES != 0 {
            return Err(Errno::EINVAL);
        }
        let (mut on, mut off) = (plain_flags(set), plain_flags(clear));
        match clear & ATIME {
            ATIME => {
                off |= MountFlags::RELATIME | MountFlags::NOATIME;
                on |= atime_flags(set)?;
            }
            0 if set & ATIME == 0 => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(Self { set: on, clear: off, propagation })
    }

    /// Does it.
    pub(super) fn apply(&self, cx: &Cx, at: &Path, depth: Depth) -> SysResult<()> {
        let namespace = cx.process.namespaces().mnt.clone();
        namespace.change_flags(at, depth, |old| old.difference(self.clear) | self.set)?;
        match self.propagation {
            Some(propagation) => namespace.set_propagation(at, propagation, depth),
            None => Ok(()),
        }
    }
}

/// mount_setattr(2).
pub(crate) fn sys_mount_setattr(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    flags: u32,
    attr: u64,
    size: usize,
) -> SysResult<()> {
    if flags & !(AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    own_namespace(cx)?;
    let Some(change) = Change::read(cx, attr, size)? else { return Ok(()) };
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let at = cx.with_walk(|walk| target.resolve(walk, WalkFlags::from_at(flags)))?.top();
    change.apply(cx, &at, depth_of(flags))
}

/// What AT_RECURSIVE says.
pub(super) fn depth_of(flags: u32) -> Depth {
    if flags & AT_RECURSIVE != 0 { Depth::Recursive } else { Depth::One }
}

/// The `size` of a structure that the caller says it has, when it has one of its own.
pub(super) fn read_size(cx: &Cx, at: u64) -> SysResult<usize> {
    let size: u32 = cx.mem().read(UserRef::new(at))?;
    usize::try_from(size).map_err(|_| Errno::EINVAL)
}
