//! fcntl(2) (fs/fcntl.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::general::{
    F_ADD_SEALS, F_CREATED_QUERY, F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GET_SEALS, F_GETFD, F_GETFL,
    F_GETLEASE, F_GETLK, F_GETPIPE_SZ, F_NOTIFY, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETFD, F_SETFL,
    F_SETLK, F_SETLKW, F_SETPIPE_SZ, F_UNLCK, FD_CLOEXEC,
};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::hostfs::stream;
use kernel_fs::pipe::PipeEnd;
use kernel_vfs::file::File;
use kernel_vfs::permission;

use super::{lock, owner};
use crate::cx::Cx;
use crate::mem::memfd;

/// Hints of lifetimes (include/uapi/linux/fcntl.h).
const F_GET_RW_HINT: u32 = 1035;
const F_SET_RW_HINT: u32 = 1036;
/// RWH_WRITE_LIFE_EXTREME.
const RWH_MAX: u64 = 5;
/// dnotify's flag that is no event (include/uapi/linux/fcntl.h).
const DN_MULTISHOT: u32 = 0x8000_0000;

/// fcntl(2).
pub(crate) async fn sys_fcntl(cx: &Cx, fd: Fd, op: u32, arg: u64) -> SysResult<i64> {
    let file = cx.process.files.get(fd)?;
    if let Some(done) = on_descriptor(cx, fd, &file, op, arg) {
        return done;
    }
    if file.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    match op {
        F_SETFL => set_flags(cx, fd, &file, OpenFlags::from_bits_retain(arg as u32)).map(|()| 0),
        F_GETLK | F_OFD_GETLK => lock::get(cx, &file, op, arg).map(|()| 0),
        F_SETLK | F_OFD_SETLK | F_SETLKW | F_OFD_SETLKW => lock::set(cx, &file, op, arg).await.map(|()| 0),
        F_GETPIPE_SZ => pipe_capacity(&file)?.try_into().map_err(|_| Errno::EOVERFLOW),
        F_SETPIPE_SZ => {
            let is_free = cx.credentials().has(Cap::SYS_RESOURCE);
            let most = if is_free { u64::MAX } else { cx.kernel().pipe_max_size.get() };
            pipe_of(&file)?
                .set_capacity(u64::from(arg as u32), most)?
                .try_into()
                .map_err(|_| Errno::EOVERFLOW)
        }
        _ => owner::on_owner(cx, &file, op, arg).unwrap_or_else(|| on_file(cx, &file, op, arg)),
    }
}

/// The commands that O_PATH descriptors take as well (check_fcntl_cmd).
fn on_descriptor(cx: &Cx, fd: Fd, file: &Arc<File>, op: u32, arg: u64) -> Option<SysResult<i64>> {
    let files = &cx.process.files;
    Some(match op {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let (from, limit) = (arg as u32 as usize, cx.process.limits.files());
            let cloexec = op == F_DUPFD_CLOEXEC;
            files.insert_from(Arc::clone(file), cloexec, from, limit).map(|fd| i64::from(fd.0))
        }
        F_DUPFD_QUERY => {
            let other = files.get(Fd(arg as i32));
            other.map(|other| i64::from(Arc::ptr_eq(&other, file)))
        }
        F_GETFD => files.descriptor(fd).map(|descriptor| i64::from(descriptor.cloexec)),
        F_SETFD => files.set_cloexec(fd, arg & u64::from(FD_CLOEXEC) != 0).map(|()| 0),
        F_GETFL => Ok(i64::from(file.flags().bits())),
        _ => return None,
    })
}

fn on_file(cx: &Cx, file: &File, op: u32, arg: u64) -> SysResult<i64> {
    match op {
        F_GETLEASE => Ok(i64::from(F_UNLCK)),
        F_CREATED_QUERY => Ok(i64::from(file.was_created())),
        // No directory is watched by anyone; to ask for no events is to stop watching (fcntl_dirnotify).
        F_NOTIFY if arg as u32 & !DN_MULTISHOT == 0 => Ok(0),
        // How long data will live: taken without effect (fcntl_get_rw_hint, rw_hint_valid).
        F_GET_RW_HINT => cx.mem().write(UserRef::new(arg), &0u64).map(|()| 0),
        F_SET_RW_HINT => {
            let hint: u64 = cx.mem().read(UserRef::new(arg))?;
            if hint <= RWH_MAX { Ok(0) } else { Err(Errno::EINVAL) }
        }
        F_ADD_SEALS => memfd::add_seals(file, arg as u32).map(|()| 0),
        F_GET_SEALS => memfd::get_seals(file).map(i64::from),
        _ => Err(Errno::EINVAL),
    }
}

fn pipe_of(file: &File) -> SysResult<&PipeEnd> {
    file.ops.as_any().downcast_ref().ok_or(Errno::EBADF)
}

fn pipe_capacity(file: &File) -> SysResult<usize> {
    pipe_of(file).map(PipeEnd::capacity).or_else(|_| stream::pipe_capacity(&*file.ops))
}

/// F_SETFL; O_NOATIME is for the owner alone.
fn set_flags(cx: &Cx, fd: Fd, file: &Arc<File>, wanted: OpenFlags) -> SysResult<()> {
    let new_noatime = wanted.contains(OpenFlags::NOATIME) && !file.flags().contains(OpenFlags::NOATIME);
    if new_noatime && !permission::is_owner(&file.inode.metadata()?, &cx.credentials()) {
        return Err(Errno::EPERM);
    }
    owner::set_async(cx, fd, file, wanted.contains(OpenFlags::ASYNC));
    file.set_status_flags(wanted);
    Ok(())
}
