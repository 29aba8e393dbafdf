//! ioctl(2): what every file understands, then what the file itself does (fs/ioctl.c, Linux v6.18).

use abi_linux::SysResult;
use abi_linux::fs::OpenFlags;
use abi_linux::raw::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;
use kernel_vfs::inode::FileKind;

use crate::cx::Cx;

/// Sets or clears a status flag as the int at `arg` says.
fn set_status(cx: &Cx, file: &File, flag: OpenFlags, arg: u64) -> SysResult<i64> {
    let on: i32 = cx.mem().read(UserRef::new(arg))?;
    let mut flags = file.flags();
    flags.set(flag, on != 0);
    file.set_status_flags(flags);
    Ok(0)
}

/// ioctl(2).
pub(crate) async fn sys_ioctl(cx: &Cx, fd: Fd, request: u32, arg: u64) -> SysResult<i64> {
    let file = cx.file(fd)?;
    match request {
        FIOCLEX => cx.process.files.set_cloexec(fd, true).map(|()| 0),
        FIONCLEX => cx.process.files.set_cloexec(fd, false).map(|()| 0),
        FIONBIO => set_status(cx, &file, OpenFlags::NONBLOCK, arg),
        FIOASYNC => set_status(cx, &file, OpenFlags::ASYNC, arg),
        FIONREAD if file.inode.kind() == FileKind::Regular => {
            let size = file.inode.metadata()?.size;
            let left = size.saturating_sub(*file.position());
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            cx.mem().write(UserRef::new(arg), &left)?;
            Ok(0)
        }
        _ => file.ops.ioctl(&*cx.task, request, arg),
    }
}
