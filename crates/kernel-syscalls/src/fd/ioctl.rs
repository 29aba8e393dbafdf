//! ioctl(2): what every file understands, then what the file itself does (fs/ioctl.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::ioctl::{
    FIOASYNC, FIOCLEX, FIOGETOWN, FIONBIO, FIONCLEX, FIONREAD, FIOSETOWN, SIOCGPGRP, SIOCSPGRP, TIOCGPTPEER,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::nsfs;
use kernel_fs::tty::{self, Operation};
use kernel_vfs::file::File;
use kernel_vfs::inode::FileKind;
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};

use super::owner;
use crate::cx::Cx;

/// FIONBIO: O_NONBLOCK as the int at `arg` says.
fn set_nonblocking(cx: &Cx, file: &File, arg: u64) -> SysResult<i64> {
    let on: i32 = cx.mem().read(UserRef::new(arg))?;
    let mut flags = file.flags();
    flags.set(OpenFlags::NONBLOCK, on != 0);
    file.set_status_flags(flags);
    Ok(0)
}

/// ioctl(2).
pub(crate) async fn sys_ioctl(cx: &Cx, fd: Fd, request: u32, arg: u64) -> SysResult<i64> {
    let file = cx.file(fd)?;
    match request {
        FIOCLEX => cx.process.files.set_cloexec(fd, true).map(|()| 0),
        FIONCLEX => cx.process.files.set_cloexec(fd, false).map(|()| 0),
        FIONBIO => set_nonblocking(cx, &file, arg),
        FIOASYNC => owner::fioasync(cx, fd, &file, arg),
        FIOSETOWN | SIOCSPGRP if file.inode.kind() == FileKind::Socket => {
            let who: i32 = cx.mem().read(UserRef::new(arg))?;
            owner::set_plain(cx, &file, who).map(|()| 0)
        }
        FIOGETOWN | SIOCGPGRP if file.inode.kind() == FileKind::Socket => {
            cx.mem().write(UserRef::new(arg), &owner::get_plain(&file)).map(|()| 0)
        }
        // Files that somebody can wait for know better what there is to read.
        FIONREAD if file.inode.kind() == FileKind::Regular && file.ops.wait_queue().is_none() => {
            let size = file.inode.metadata()?.size;
            let left = size.saturating_sub(*file.position());
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            cx.mem().write(UserRef::new(arg), &left)?;
            Ok(0)
        }
        _ if nsfs::namespace_of(&file).is_some() => on_namespace(cx, &file, request, arg),
        TIOCGPTPEER => open_peer(cx, &file, arg).map(|fd| i64::from(fd.0)),
        _ => perform(cx, &file, request, arg).await,
    }
}

/// ioctl_nsfs(2): some commands open another namespace.
fn on_namespace(cx: &Cx, file: &File, request: u32, arg: u64) -> SysResult<i64> {
    let namespace = nsfs::namespace_of(file).ok_or(Errno::ENOTTY)?;
    match nsfs::related(namespace, request, &cx.credentials()) {
        Some(related) => cx.install(nsfs::open(related?), true).map(|fd| i64::from(fd.0)),
        None => file.ops.ioctl(&*cx.task, request, arg),
    }
}

/// What the file itself does. A background process that its terminal stops waits for its signal.
async fn perform(cx: &Cx, file: &File, request: u32, arg: u64) -> SysResult<i64> {
    loop {
        match file.ops.ioctl(&*cx.task, request, arg) {
            Err(Errno::EAGAIN) if tty::job_control_blocks(&*file.ops, &*cx.task, Operation::Change) => {
                cx.park_for_job_control().await;
            }
            result => return result,
        }
    }
}

/// TIOCGPTPEER: the slave of a master, by no name. Its place in the tree is found as Linux finds it
/// (fs/devpts/inode.c devpts_mntget): beside the ptmx that was opened, or in `pts` beside that.
fn open_peer(cx: &Cx, file: &File, flags: u64) -> SysResult<Fd> {
    let flags = OpenFlags::from_bits_retain(flags as u32);
    let (index, slave) = tty::open_peer(&*file.ops, flags, &*cx.task)?;
    let parent = file.path.dentry.parent().ok_or(Errno::ENODEV)?;
    let parent = Path::new(Arc::clone(&file.path.mount), parent);
    let find = |walk: &WalkContext<'_>, name: String| {
        let path = walk.resolve(Some(&parent), name.as_bytes(), WalkFlags::NOFOLLOW)?;
        if path.inode().metadata()?.rdev == tty::device_number(index) { Ok(path) } else { Err(Errno::ENODEV) }
    };
    let path =
        cx.with_walk(|walk| find(walk, index.to_string()).or_else(|_| find(walk, format!("pts/{index}"))))?;
    let inode = Arc::clone(path.inode());
    let status = flags.difference(OpenFlags::CLOEXEC | OpenFlags::NOCTTY);
    cx.install(File::new(path, inode, slave, status), flags.contains(OpenFlags::CLOEXEC))
}
