//! statx(2).

use std::sync::Arc;

use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_vfs::inode::Metadata;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::stat::shown;
use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, CWD, Target};

/// AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC.
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
const STATX_BASIC_STATS: u32 = 0x7ff;
/// STATX_MTIME and STATX_CTIME.
const STATX_CHANGES: u32 = 0xc0;
const STATX_BTIME: u32 = 0x800;
const STATX_MNT_ID: u32 = 0x1000;
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
const STATX_RESERVED: u32 = 0x8000_0000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// `struct statx_timestamp`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Timestamp {
    tv_sec: i64,
    tv_nsec: u32,
    pad: i32,
}

impl From<Timespec> for Timestamp {
    fn from(time: Timespec) -> Self {
        Self { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec as u32, pad: 0 }
    }
}

/// `struct statx` (include/uapi/linux/stat.h).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    pad: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: Timestamp,
    btime: Timestamp,
    ctime: Timestamp,
    mtime: Timestamp,
    rdev: [u32; 2],
    dev: [u32; 2],
    mnt_id: u64,
    spare: [u64; 13],
}

/// Major and minor number of stat(2)'s encoding.
pub(crate) fn split_device(dev: u64) -> [u32; 2] {
    let major = (dev >> 8) & 0xfff | (dev >> 32) & !0xfff;
    let minor = dev & 0xff | (dev >> 12) & !0xff;
    [major as u32, minor as u32]
}

fn to_statx(meta: &Metadata, place: &Path, wanted: u32) -> Statx {
    let is_mount_root = Arc::ptr_eq(&place.dentry, place.mount.root());
    let mount_id = if wanted & STATX_MNT_ID_UNIQUE != 0 { STATX_MNT_ID_UNIQUE } else { STATX_MNT_ID };
    let btime = meta.btime.filter(|_| wanted & STATX_BTIME != 0);
    let has_btime = if btime.is_some() { STATX_BTIME } else { 0 };
    // Neither is told where neither is asked for (fill_mg_cmtime).
    let (basic, ctime, mtime) = match wanted & STATX_CHANGES {
        0 => (STATX_BASIC_STATS & !STATX_CHANGES, Timestamp::default(), Timestamp::default()),
        _ => (STATX_BASIC_STATS, meta.ctime.into(), meta.mtime.into()),
    };
    Statx {
        mask: basic | mount_id | has_btime,
        blksize: meta.block_size,
        attributes: if is_mount_root { STATX_ATTR_MOUNT_ROOT } else { 0 },
        nlink: meta.nlink,
        uid: meta.uid,
        gid: meta.gid,
        mode: meta.mode as u16,
        ino: meta.ino,
        size: meta.size,
        blocks: meta.blocks,
        attributes_mask: STATX_ATTR_MOUNT_ROOT,
        atime: meta.atime.into(),
        btime: btime.unwrap_or_default().into(),
        ctime,
        mtime,
        rdev: split_device(meta.rdev),
        dev: split_device(meta.dev),
        mnt_id: if wanted & STATX_MNT_ID_UNIQUE != 0 { place.mount.unique_id() } else { place.mount.id() },
        ..Statx::default()
    }
}

/// statx(2).
pub(crate) fn sys_statx(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    flags: u32,
    mask: u32,
    buf: UserRef<Statx>,
) -> SysResult<()> {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if mask & STATX_RESERVED != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_maybe_empty(cx, dirfd, path, flags)?;
    let (meta, place) = if target.path.is_empty() && flags & AT_EMPTY_PATH != 0 && dirfd != CWD {
        let file = cx.process.files.get(dirfd)?;
        (file.inode.metadata()?, file.path.clone())
    } else {
        let flags = WalkFlags::from_at(flags);
        cx.with_walk(|walk| walk.stat(target.at.as_ref(), &target.path, flags))?
    };
    cx.mem().write(buf, &to_statx(&shown(cx, meta), &place, mask))
}

#[cfg(test)]
mod tests {
    use super::{Statx, split_device};

    #[test]
    fn statx_has_linuxs_size() {
        assert_eq!(size_of::<Statx>(), 256);
    }

    #[test]
    fn device_numbers_split_as_makedev_joined_them() {
        let dev = abi_linux::fs::makedev(0x12345, 0x6789a);
        assert_eq!(split_device(dev), [0x12345, 0x6789a]);
    }
}
