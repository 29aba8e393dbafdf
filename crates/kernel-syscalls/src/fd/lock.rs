//! flock(2) and the record locks of fcntl(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;

const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;
const F_UNLCK: i16 = 2;

/// `struct flock` of x86_64.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Flock {
    l_type: i16,
    l_whence: i16,
    pad0: u32,
    l_start: i64,
    l_len: i64,
    l_pid: i32,
    pad1: u32,
}

/// F_GETLK and F_OFD_GETLK.
pub(crate) fn get(cx: &Cx, _file: &File, _op: u32, arg: u64) -> SysResult<()> {
    let at = UserRef::<Flock>::new(arg);
    let mut lock = cx.mem().read(at)?;
    if !matches!(lock.l_type, 0 | 1) {
        return Err(Errno::EINVAL);
    }
    lock.l_type = F_UNLCK;
    cx.mem().write(at, &lock)
}

/// F_SETLK, F_SETLKW and their relatives for open file descriptions.
pub(crate) async fn set(cx: &Cx, _file: &File, _op: u32, arg: u64) -> SysResult<()> {
    let lock = cx.mem().read(UserRef::<Flock>::new(arg))?;
    if (0..=F_UNLCK).contains(&lock.l_type) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// flock(2).
pub(crate) async fn sys_flock(cx: &Cx, fd: Fd, op: u32) -> SysResult<()> {
    if !matches!(op & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(Errno::EINVAL);
    }
    cx.file(fd).map(drop)
}
