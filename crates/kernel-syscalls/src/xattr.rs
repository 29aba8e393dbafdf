//! Extended attributes (fs/xattr.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::ops::{XATTR_NAME_MAX, XATTR_SIZE_MAX};
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, CWD, Target};

/// Longest list of names (XATTR_LIST_MAX).
const LIST_MAX: usize = 65536;

/// The place that a call works on.
#[derive(Clone, Copy)]
enum Subject {
    /// A path whose last symbolic link is followed.
    Follow(UserCStr),
    /// A path whose last symbolic link is meant itself.
    Link(UserCStr),
    Descriptor(Fd),
    /// A directory, a path and AT_ flags.
    At(Fd, UserCStr, u32),
}

/// `struct xattr_args` of setxattrat(2) and getxattrat(2).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

impl Subject {
    /// EINVAL for flags that these calls don't know.
    fn at(dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<Self> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0 {
            Ok(Self::At(dirfd, path, flags))
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn find(self, cx: &Cx) -> SysResult<Path> {
        let (path, flags) = match self {
            Self::Descriptor(fd) => return Ok(cx.file(fd)?.path.clone()),
            Self::Follow(path) => (path, WalkFlags::empty()),
            Self::Link(path) => (path, WalkFlags::NOFOLLOW),
            Self::At(dirfd, path, flags) => {
                let target = Target::read_maybe_empty(cx, dirfd, path, flags)?;
                return cx.with_walk(|walk| target.resolve(walk, WalkFlags::from_at(flags)));
            }
        };
        let target = Target::read(cx, CWD, path)?;
        cx.with_walk(|walk| target.resolve(walk, flags))
    }
}

/// Reads a name: ERANGE when it is empty or too long (import_xattr_name).
fn read_name(cx: &Cx, name: UserCStr) -> SysResult<Vec<u8>> {
    let name = cx.mem().read_cstr(name, XATTR_NAME_MAX + 1, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Copies a result out: its length alone for size 0, ERANGE when it does not fit.
fn give(cx: &Cx, found: &[u8], at: u64, size: usize) -> SysResult<usize> {
    if size > 0 {
        if found.len() > size {
            return Err(Errno::ERANGE);
        }
        cx.mem().write_bytes(at, found)?;
    }
    Ok(found.len())
}

fn set(cx: &Cx, subject: Subject, name: UserCStr, value: u64, size: usize, flags: u32) -> SysResult<()> {
    if flags & !3 != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_name(cx, name)?;
    if size > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    cx.mem().read_bytes(value, &mut bytes)?;
    let place = subject.find(cx)?;
    cx.with_walk(|walk| walk.set_xattr(&place, &name, &bytes, flags))
}

fn get(cx: &Cx, subject: Subject, name: UserCStr, value: u64, size: usize) -> SysResult<usize> {
    let name = read_name(cx, name)?;
    let place = subject.find(cx)?;
    let found = cx.with_walk(|walk| walk.get_xattr(&place, &name))?;
    give(cx, &found, value, size.min(XATTR_SIZE_MAX))
}

fn list(cx: &Cx, subject: Subject, at: u64, size: usize) -> SysResult<usize> {
    let place = subject.find(cx)?;
    let found = cx.with_walk(|walk| walk.list_xattr(&place))?;
    give(cx, &found, at, size.min(LIST_MAX))
}

fn remove(cx: &Cx, subject: Subject, name: UserCStr) -> SysResult<()> {
    let name = read_name(cx, name)?;
    let place = subject.find(cx)?;
    cx.with_walk(|walk| walk.remove_xattr(&place, &name))
}

/// setxattr(2).
pub(crate) fn sys_setxattr(
    cx: &Cx,
    path: UserCStr,
    name: UserCStr,
    value: u64,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(cx, Subject::Follow(path), name, value, size, flags)
}

/// lsetxattr(2).
pub(crate) fn sys_lsetxattr(
    cx: &Cx,
    path: UserCStr,
    name: UserCStr,
    value: u64,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(cx, Subject::Link(path), name, value, size, flags)
}

/// fsetxattr(2).
pub(crate) fn sys_fsetxattr(
    cx: &Cx,
    fd: Fd,
    name: UserCStr,
    value: u64,
    size: usize,
    flags: u32,
) -> SysResult<()> {
    set(cx, Subject::Descriptor(fd), name, value, size, flags)
}

/// getxattr(2).
pub(crate) fn sys_getxattr(
    cx: &Cx,
    path: UserCStr,
    name: UserCStr,
    value: u64,
    size: usize,
) -> SysResult<usize> {
    get(cx, Subject::Follow(path), name, value, size)
}

/// lgetxattr(2).
pub(crate) fn sys_lgetxattr(
    cx: &Cx,
    path: UserCStr,
    name: UserCStr,
    value: u64,
    size: usize,
) -> SysResult<usize> {
    get(cx, Subject::Link(path), name, value, size)
}

/// fgetxattr(2).
pub(crate) fn sys_fgetxattr(cx: &Cx, fd: Fd, name: UserCStr, value: u64, size: usize) -> SysResult<usize> {
    get(cx, Subject::Descriptor(fd), name, value, size)
}

/// listxattr(2).
pub(crate) fn sys_listxattr(cx: &Cx, path: UserCStr, at: u64, size: usize) -> SysResult<usize> {
    list(cx, Subject::Follow(path), at, size)
}

/// llistxattr(2).
pub(crate) fn sys_llistxattr(cx: &Cx, path: UserCStr, at: u64, size: usize) -> SysResult<usize> {
    list(cx, Subject::Link(path), at, size)
}

/// flistxattr(2).
pub(crate) fn sys_flistxattr(cx: &Cx, fd: Fd, at: u64, size: usize) -> SysResult<usize> {
    list(cx, Subject::Descriptor(fd), at, size)
}

/// removexattr(2).
pub(crate) fn sys_removexattr(cx: &Cx, path: UserCStr, name: UserCStr) -> SysResult<()> {
    remove(cx, Subject::Follow(path), name)
}

/// lremovexattr(2).
pub(crate) fn sys_lremovexattr(cx: &Cx, path: UserCStr, name: UserCStr) -> SysResult<()> {
    remove(cx, Subject::Link(path), name)
}

/// fremovexattr(2).
pub(crate) fn sys_fremovexattr(cx: &Cx, fd: Fd, name: UserCStr) -> SysResult<()> {
    remove(cx, Subject::Descriptor(fd), name)
}

/// setxattrat(2).
pub(crate) fn sys_setxattrat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
    args: u64,
    size: usize,
) -> SysResult<()> {
    let XattrArgs { value, size, flags } = cx.mem().read_sized(args, size, size_of::<XattrArgs>())?;
    set(cx, Subject::at(dirfd, path, at_flags)?, name, value, size as usize, flags)
}

/// getxattrat(2).
pub(crate) fn sys_getxattrat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
    args: u64,
    size: usize,
) -> SysResult<usize> {
    let XattrArgs { value, size, flags } = cx.mem().read_sized(args, size, size_of::<XattrArgs>())?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    get(cx, Subject::at(dirfd, path, at_flags)?, name, value, size as usize)
}

/// listxattrat(2).
pub(crate) fn sys_listxattrat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    at_flags: u32,
    at: u64,
    size: usize,
) -> SysResult<usize> {
    list(cx, Subject::at(dirfd, path, at_flags)?, at, size)
}

/// removexattrat(2).
pub(crate) fn sys_removexattrat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    at_flags: u32,
    name: UserCStr,
) -> SysResult<()> {
    remove(cx, Subject::at(dirfd, path, at_flags)?, name)
}
