//! ioctl(2): what every file understands, then what the file itself does (fs/ioctl.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::ioctl::{
    FIOASYNC, FIOCLEX, FIOGETOWN, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE, FIOSETOWN, SIOCGPGRP, SIOCSPGRP,
    TIOCGPTPEER,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::nsfs;
use kernel_fs::tty::{self, Operation};
use kernel_vfs::anon::is_anon_inode;
use kernel_vfs::file::File;
use kernel_vfs::inode::FileKind;
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};

use super::owner;
use crate::cx::Cx;

/// include/uapi/linux/fs.h.
const FIGETBSZ: u32 = 2;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FICLONE: u32 = 0x4004_9409;
const FICLONERANGE: u32 = 0x4020_940d;
const FIDEDUPERANGE: u32 = 0xc018_9436;

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
        FIGETBSZ => {
            let size = file.inode.metadata()?.block_size;
            cx.mem().write(UserRef::new(arg), &size).map(|()| 0)
        }
        FIOQSIZE => size_of_file(cx, &file, arg).map(|()| 0),
        // No filesystem of ours has them (ioctl_fiemap, ioctl_file_dedupe_range).
        FS_IOC_FIEMAP | FIDEDUPERANGE => Err(Errno::EOPNOTSUPP),
        FICLONE => clone_file(cx, &file, Fd(arg as i32)),
        FICLONERANGE => {
            // struct file_clone_range begins with the descriptor.
            let range: [i64; 4] = cx.mem().read(UserRef::new(arg))?;
            clone_file(cx, &file, Fd(range[0] as i32))
        }
        _ if nsfs::namespace_of(&file).is_some() => on_namespace(cx, &file, request, arg),
        TIOCGPTPEER => open_peer(cx, &file, arg).map(|fd| i64::from(fd.0)),
        _ => perform(cx, &file, request, arg).await,
    }
}

/// FIOQSIZE: ENOTTY but for files, directories and links.
fn size_of_file(cx: &Cx, file: &File, arg: u64) -> SysResult<()> {
    let is_sized = matches!(file.inode.kind(), FileKind::Regular | FileKind::Directory | FileKind::Symlink);
    if !is_sized || is_anon_inode(&*file.inode) {
        return Err(Errno::ENOTTY);
    }
    // What it takes on the disk (inode_get_bytes).
    let bytes = file.inode.metadata()?.blocks.saturating_mul(512);
    cx.mem().write(UserRef::new(arg), &bytes)
}

/// FICLONE, in the order of its refusals (fs/remap_range.c vfs_clone_file_range): no filesystem of ours shares blocks.
fn clone_file(cx: &Cx, file: &File, source: Fd) -> SysResult<i64> {
    let source = cx.file(source)?;
    if !file.path.dentry.same_tree(&source.path.dentry) {
        return Err(Errno::EXDEV);
    }
    let kinds = [source.inode.kind(), file.inode.kind()];
    if kinds.contains(&FileKind::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds.iter().any(|&kind| kind != FileKind::Regular) {
        return Err(Errno::EINVAL);
    }
    source.check_readable().and(file.check_writable())?;
    if file.flags().contains(OpenFlags::APPEND) { Err(Errno::EBADF) } else { Err(Errno::EOPNOTSUPP) }
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
