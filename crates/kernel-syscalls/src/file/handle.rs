//! name_to_handle_at(2) and open_by_handle_at(2), and attributes of files as file_getattr(2) has them (fs/fhandle.c, fs/file_attr.c, Linux
//! v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::general::{RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_fs::tmpfs;
use kernel_vfs::mount::Mount;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::open::complete;
use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, CWD, Target};

const AT_HANDLE_MNT_ID_UNIQUE: u32 = 0x1;
const AT_HANDLE_CONNECTABLE: u32 = 0x2;
const AT_HANDLE_FID: u32 = 0x200;
/// MAX_HANDLE_SZ.
const MAX_HANDLE: u32 = 128;
/// FILEID_INO32_GEN of tmpfs, FILEID_INO64_GEN of filesystems whose handles only tell files apart.
const TYPE_TMPFS: i32 = 1;
const TYPE_FID: i32 = 0x81;
/// FILEID_INVALID.
const TYPE_INVALID: i32 = 0xff;
/// Bytes of the handles of both types.
const HANDLE_LEN: u32 = 12;
/// FILE_ATTR_SIZE_VER0.
const ATTR_SIZE: usize = 24;

/// `struct file_handle` with what ours hold.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    words: [u32; 3],
}

/// name_to_handle_at(2). Of our filesystems tmpfs has handles; others tell files apart with AT_HANDLE_FID alone, as
/// overlayfs does.
pub(crate) fn sys_name_to_handle_at(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    handle: u64,
    mount_id: UserRef<i32>,
    flags: u32,
) -> SysResult<()> {
    let known =
        AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE | AT_HANDLE_CONNECTABLE;
    let both = AT_HANDLE_FID | AT_HANDLE_CONNECTABLE;
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_maybe_empty(cx, dirfd, path, flags)?;
    let place = cx.with_walk(|walk| target.resolve(walk, WalkFlags::from_at_follow(flags)))?;
    let is_tmpfs = matches!(place.mount.superblock().fs_type(), "tmpfs" | "devtmpfs" | "ramfs");
    let kind = match flags & AT_HANDLE_FID {
        _ if is_tmpfs => TYPE_TMPFS,
        0 => return Err(Errno::EOPNOTSUPP),
        _ => TYPE_FID,
    };
    let room: u32 = cx.mem().read(UserRef::new(handle))?;
    if room > MAX_HANDLE {
        return Err(Errno::EINVAL);
    }
    let ino = place.inode().metadata()?.ino;
    let (low, high) = (ino as u32, (ino >> 32) as u32);
    let words = if is_tmpfs { [0, low, high] } else { [low, high, 0] };
    if flags & AT_HANDLE_MNT_ID_UNIQUE == 0 {
        cx.mem().write(mount_id, &(place.mount.id() as i32))?;
    } else {
        cx.mem().write(UserRef::new(mount_id.addr()), &place.mount.unique_id())?;
    }
    if room < HANDLE_LEN {
        cx.mem().write(UserRef::new(handle), &[HANDLE_LEN.cast_signed(), TYPE_INVALID])?;
        return Err(Errno::EOVERFLOW);
    }
    cx.mem().write(UserRef::new(handle), &Handle { bytes: HANDLE_LEN, kind, words })
}

/// Where the file of a handle is, below the root of `mount`: ESTALE without it. What has lost its name is not found.
fn place_of(cx: &Cx, mount: &Arc<Mount>, handle: &Handle) -> SysResult<Path> {
    const RESOLVE: u64 = (RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS) as u64;
    let ino = u64::from(handle.words[1]) | u64::from(handle.words[2]) << 32;
    // shmem_fh_to_dentry of Linux does not look at the kind. The first word is a generation, which is always 0.
    if handle.words[0] != 0 {
        return Err(Errno::ESTALE);
    }
    let root = Path::new(Arc::clone(mount), Arc::clone(mount.root()));
    let names = tmpfs::path_to(&**root.inode(), ino).ok_or(Errno::ESTALE)?;
    if names.is_empty() {
        return Ok(root);
    }
    let flags = WalkFlags::from_resolve(RESOLVE) | WalkFlags::NOFOLLOW;
    let found = cx.with_walk(|walk| walk.resolve(Some(&root), &names.join(&b'/'), flags));
    found.map_err(|_| Errno::ESTALE)
}

/// open_by_handle_at(2): for who may read and search everything (fs/fhandle.c may_decode_fh).
pub(crate) async fn sys_open_by_handle_at(cx: &Cx, mount_fd: Fd, handle: u64, flags: u32) -> SysResult<Fd> {
    let [bytes, kind]: [u32; 2] = cx.mem().read(UserRef::new(handle))?;
    if bytes == 0 || bytes > MAX_HANDLE || kind > 0xffff {
        return Err(Errno::EINVAL);
    }
    let mount = if mount_fd == CWD {
        Arc::clone(&cx.process.fs.get().cwd.mount)
    } else {
        Arc::clone(&cx.process.files.get(mount_fd)?.path.mount)
    };
    if !cx.credentials().has(Cap::DAC_READ_SEARCH) {
        return Err(Errno::EPERM);
    }
    if bytes < HANDLE_LEN {
        return Err(Errno::ESTALE);
    }
    let handle: Handle = cx.mem().read(UserRef::new(handle))?;
    let place = place_of(cx, &mount, &handle)?;
    let flags = OpenFlags::from_bits_retain(flags).difference(OpenFlags::CREAT | OpenFlags::EXCL);
    let file = cx.with_walk(|walk| walk.open_place(place, flags))?;
    complete(&file).await;
    cx.install(file, flags.contains(OpenFlags::CLOEXEC))
}

/// The checks of both calls, and the answer of a filesystem without such attributes.
fn no_attributes(cx: &Cx, dirfd: Fd, path: UserCStr, size: usize, flags: u32) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < ATTR_SIZE {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_maybe_empty(cx, dirfd, path, flags)?;
    cx.with_walk(|walk| target.resolve(walk, WalkFlags::from_at(flags)))?;
    Err(Errno::EOPNOTSUPP)
}

/// file_getattr(2).
pub(crate) fn sys_file_getattr(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    _attr: u64,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    no_attributes(cx, dirfd, path, size, flags)
}

/// file_setattr(2).
pub(crate) fn sys_file_setattr(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    attr: u64,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let _: [u8; ATTR_SIZE] = cx.mem().read_sized(attr, size, ATTR_SIZE)?;
    no_attributes(cx, dirfd, path, size, flags)
}
