//! open_tree(2), open_tree_attr(2), move_mount(2).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::general::{
    MOVE_MOUNT_BENEATH, MOVE_MOUNT_F_AUTOMOUNTS, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_F_SYMLINKS,
    MOVE_MOUNT_SET_GROUP, MOVE_MOUNT_T_AUTOMOUNTS, MOVE_MOUNT_T_EMPTY_PATH, MOVE_MOUNT_T_SYMLINKS,
    OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::mount::MountFlags;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::attributes::{AT_RECURSIVE, Change, depth_of};
use super::classic::check_loop;
use super::context::open_floating;
use super::own_namespace;
use crate::cx::Cx;
use crate::path::at::{AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, Target};

/// Opens a place or a copy of its mounts, which `change` is done to (vfs_open_tree).
fn open(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32, change: Option<&Change>) -> SysResult<Fd> {
    let known = AT_EMPTY_PATH
        | AT_NO_AUTOMOUNT
        | AT_RECURSIVE
        | AT_SYMLINK_NOFOLLOW
        | OPEN_TREE_CLONE
        | OPEN_TREE_CLOEXEC;
    if flags & !known != 0 || flags & (AT_RECURSIVE | OPEN_TREE_CLONE) == AT_RECURSIVE {
        return Err(Errno::EINVAL);
    }
    let namespace = if flags & OPEN_TREE_CLONE != 0 { Some(own_namespace(cx)?) } else { None };
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let at = cx.with_walk(|walk| target.resolve(walk, WalkFlags::from_at(flags)))?;
    let cloexec = flags & OPEN_TREE_CLOEXEC != 0;
    let Some(namespace) = namespace else {
        if let Some(change) = change {
            change.apply(cx, &at, depth_of(flags))?;
        }
        let file = cx.with_walk(|walk| walk.open_place(at, OpenFlags::PATH))?;
        return cx.install(file, cloexec);
    };
    check_loop(&namespace, &at)?;
    let copy = namespace.copy_of(&at, depth_of(flags))?;
    for mount in copy.subtree() {
        mount.set_flags(mount.flags() | MountFlags::FLOATING);
    }
    if let Some(change) = change {
        let top = Path::new(Arc::clone(&copy), Arc::clone(copy.root()));
        change.apply(cx, &top, depth_of(flags))?;
    }
    open_floating(cx, &copy, cloexec)
}

/// open_tree(2).
pub(crate) fn sys_open_tree(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<Fd> {
    open(cx, dirfd, path, flags, None)
}

/// open_tree_attr(2).
pub(crate) fn sys_open_tree_attr(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    flags: u32,
    attr: u64,
    size: usize,
) -> SysResult<Fd> {
    if attr == 0 && size != 0 {
        return Err(Errno::EINVAL);
    }
    let change = if size == 0 { None } else { Change::read(cx, attr, size)? };
    if change.is_some() {
        own_namespace(cx)?;
    }
    open(cx, dirfd, path, flags, change.as_ref())
}

fn place(cx: &Cx, dirfd: Fd, path: UserCStr, follow: bool, empty: bool) -> SysResult<Path> {
    let mut flags = WalkFlags::empty();
    flags.set(WalkFlags::NOFOLLOW, !follow);
    flags.set(WalkFlags::EMPTY_PATH, empty);
    let at_flags = if empty { AT_EMPTY_PATH } else { 0 };
    let target = Target::read_maybe_empty(cx, dirfd, path, at_flags)?;
    cx.with_walk(|walk| target.resolve(walk, flags))
}

/// move_mount(2).
pub(crate) fn sys_move_mount(
    cx: &Cx,
    from_dirfd: Fd,
    from_path: UserCStr,
    to_dirfd: Fd,
    to_path: UserCStr,
    flags: u32,
) -> SysResult<()> {
    let namespace = own_namespace(cx)?;
    let known = MOVE_MOUNT_F_SYMLINKS
        | MOVE_MOUNT_F_AUTOMOUNTS
        | MOVE_MOUNT_F_EMPTY_PATH
        | MOVE_MOUNT_T_SYMLINKS
        | MOVE_MOUNT_T_AUTOMOUNTS
        | MOVE_MOUNT_T_EMPTY_PATH;
    // Joining another's group and slipping beneath are not done (MOVE_MOUNT_SET_GROUP, MOVE_MOUNT_BENEATH).
    if flags & !(known | MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_BENEATH) != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |flag: u32| flags & flag != 0;
    let to = place(cx, to_dirfd, to_path, has(MOVE_MOUNT_T_SYMLINKS), has(MOVE_MOUNT_T_EMPTY_PATH))?;
    let from = place(cx, from_dirfd, from_path, has(MOVE_MOUNT_F_SYMLINKS), has(MOVE_MOUNT_F_EMPTY_PATH))?;
    namespace.move_mount(&from, &to)
}
