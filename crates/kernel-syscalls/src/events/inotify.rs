//! inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2) (fs/notify/inotify/inotify_user.c, Linux v6.18).

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_fs::inotify::{Inotify, WatchMask};
use kernel_vfs::permission::Access;
use kernel_vfs::walk::WalkFlags;

use super::DESCRIPTOR_FLAGS;
use crate::cx::Cx;
use crate::path::at::{CWD, Target};
use crate::poll::epoll::open_anonymous;

/// inotify_init1(2).
pub(crate) fn sys_inotify_init1(cx: &Cx, flags: u32) -> SysResult<Fd> {
    if flags & !DESCRIPTOR_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = OpenFlags::from_bits_retain(flags);
    let inotify = Inotify::new(&cx.kernel().inotify, &*cx.task)?;
    let status = flags & OpenFlags::NONBLOCK;
    let file = open_anonymous(cx, "anon_inode:inotify", inotify, status);
    cx.install(file, flags.contains(OpenFlags::CLOEXEC))
}

/// inotify_init(2).
pub(crate) fn sys_inotify_init(cx: &Cx) -> SysResult<Fd> {
    sys_inotify_init1(cx, 0)
}

/// inotify_add_watch(2).
pub(crate) fn sys_inotify_add_watch(cx: &Cx, fd: Fd, path: UserCStr, mask: u32) -> SysResult<i32> {
    let mask = WatchMask::checked(mask)?;
    let file = cx.file(fd)?;
    let inotify = Inotify::of(&file)?;
    let mut flags = WalkFlags::empty();
    flags.set(WalkFlags::NOFOLLOW, mask.contains(WatchMask::DONT_FOLLOW));
    flags.set(WalkFlags::DIRECTORY, mask.contains(WatchMask::ONLYDIR));
    let target = Target::read(cx, CWD, path)?;
    let place = cx.with_walk(|walk| {
        let place = target.resolve(walk, flags)?;
        walk.check_access(&place, Access::READ)?;
        Ok(place)
    })?;
    inotify.add(&place, mask)
}

/// inotify_rm_watch(2).
pub(crate) fn sys_inotify_rm_watch(cx: &Cx, fd: Fd, wd: i32) -> SysResult<()> {
    Inotify::of(&*cx.file(fd)?)?.remove(wd)
}
