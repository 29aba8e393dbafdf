//! utimensat(2) and its ancestors (fs/utimes.c, Linux v6.18).

use abi_linux::time::{Timespec, Timeval};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_vfs::ops::{SetTime, Times};
use kernel_vfs::walk::WalkFlags;

use super::at::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, CWD, Target};
use crate::cx::Cx;

const NOW: Times = Times { atime: SetTime::Now, mtime: SetTime::Now };

/// Sets the times of what a path leads to.
fn set_by_path(cx: &Cx, dirfd: Fd, path: UserCStr, times: Times, flags: u32) -> SysResult<()> {
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let flags = WalkFlags::from_at(flags);
    cx.with_walk(|walk| walk.set_times(&target.resolve(walk, flags)?, times))
}

/// utimensat(2). A null path means `dirfd` itself.
pub(crate) fn sys_utimensat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    times: UserRef<[Timespec; 2]>,
    flags: u32,
) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(times) => {
            let [atime, mtime] = cx.mem().read(times)?;
            Times { atime: SetTime::from_timespec(atime), mtime: SetTime::from_timespec(mtime) }
        }
    };
    if times.atime == SetTime::Keep && times.mtime == SetTime::Keep {
        return Ok(());
    }
    if path.0 == 0 && dirfd != CWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let file = cx.file(dirfd)?;
        return cx.with_walk(|walk| walk.set_times(&file.path, times));
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    set_by_path(cx, dirfd, path, times, flags)
}

fn from_timeval(time: Timeval) -> SysResult<SetTime> {
    if !(0..1_000_000).contains(&time.tv_usec) {
        return Err(Errno::EINVAL);
    }
    Ok(SetTime::At(Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_usec * 1000 }))
}

/// futimesat(2).
pub(crate) fn sys_futimesat(
    cx: &Cx,
    dirfd: Fd,
    path: UserCStr,
    times: UserRef<[Timeval; 2]>,
) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(times) => {
            let [atime, mtime] = cx.mem().read(times)?;
            Times { atime: from_timeval(atime)?, mtime: from_timeval(mtime)? }
        }
    };
    if path.0 == 0 && dirfd != CWD {
        let file = cx.file(dirfd)?;
        return cx.with_walk(|walk| walk.set_times(&file.path, times));
    }
    set_by_path(cx, dirfd, path, times, 0)
}

/// utimes(2).
pub(crate) fn sys_utimes(cx: &Cx, path: UserCStr, times: UserRef<[Timeval; 2]>) -> SysResult<()> {
    sys_futimesat(cx, CWD, path, times)
}

/// utime(2): `struct utimbuf` is two counts of seconds.
pub(crate) fn sys_utime(cx: &Cx, path: UserCStr, times: UserRef<[i64; 2]>) -> SysResult<()> {
    let times = match times.non_null() {
        None => NOW,
        Some(times) => {
            let at = |tv_sec| SetTime::At(Timespec { tv_sec, tv_nsec: 0 });
            let [atime, mtime] = cx.mem().read(times)?;
            Times { atime: at(atime), mtime: at(mtime) }
        }
    };
    set_by_path(cx, CWD, path, times, 0)
}
