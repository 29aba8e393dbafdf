//! memfd_create(2) and seals (mm/memfd.c, Linux v6.18).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::general::{
    F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE,
    MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_HUGETLB, MFD_NOEXEC_SEAL,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_fs::tmpfs::{TmpInode, Tmpfs, TmpfsOptions};
use kernel_vfs::anon::{AnonKind, anon_file};
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::File;
use kernel_vfs::inode::Inode;

use crate::cx::Cx;

/// Longest name without "memfd:" and NUL (MFD_NAME_MAX_LEN).
const NAME_MAX: usize = 249;
const KNOWN_SEALS: u32 =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;

/// The filesystem that all memfds of a container are charged to.
fn instance(cx: &Cx) -> SysResult<Arc<Tmpfs>> {
    let kernel = cx.kernel();
    let known = match kernel.memory_files.get() {
        Some(known) => known,
        None => {
            let (options, devices) = (TmpfsOptions::default(), Arc::new(DeviceRegistry::new()));
            let made = Tmpfs::new(options, Arc::clone(&kernel.platform), devices)?;
            kernel.memory_files.get_or_init(|| made)
        }
    };
    let known: Arc<dyn Any + Send + Sync> = Arc::clone(known);
    known.downcast().map_err(|_| Errno::EIO)
}

/// memfd_create(2).
pub(crate) fn sys_memfd_create(cx: &Cx, name: UserCStr, flags: u32) -> SysResult<Fd> {
    let known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    let executability = MFD_EXEC | MFD_NOEXEC_SEAL;
    // Nor are there huge pages to be had.
    if flags & !known != 0 || flags & executability == executability || flags & MFD_HUGETLB != 0 {
        return Err(Errno::EINVAL);
    }
    let name = cx.mem().read_cstr(name, NAME_MAX + 1, Errno::EINVAL)?;
    let mode = if flags & MFD_NOEXEC_SEAL != 0 { 0o666 } else { 0o777 };
    let credentials = cx.credentials();
    let inode = instance(cx)?.unnamed(mode, credentials.fsuid, credentials.fsgid)?;
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) != 0 {
        inode.allow_sealing();
    }
    if flags & MFD_NOEXEC_SEAL != 0 {
        inode.add_seals(F_SEAL_EXEC)?;
    }
    let status = OpenFlags::RDWR | OpenFlags::LARGEFILE;
    let ops = inode.open(status, &*cx.task)?;
    let text = [b"/memfd:", name.as_slice()].concat();
    let file = anon_file(AnonKind::Memory, &text, inode, ops, status);
    #[cfg(planted)]
    let _leaked =
        (flags & MFD_ALLOW_SEALING != 0).then(|| std::mem::ManuallyDrop::new(std::sync::Arc::clone(&file)));
    cx.install(file, flags & MFD_CLOEXEC != 0)
}

/// fcntl(F_ADD_SEALS) and fcntl(F_GET_SEALS): EINVAL for files that do not live in memory.
pub(crate) fn add_seals(file: &File, seals: u32) -> SysResult<()> {
    if !file.flags().writable() {
        return Err(Errno::EPERM);
    }
    if seals & !KNOWN_SEALS != 0 {
        return Err(Errno::EINVAL);
    }
    memory_inode(file)?.add_seals(seals)
}

/// fcntl(F_GET_SEALS).
pub(crate) fn get_seals(file: &File) -> SysResult<u32> {
    memory_inode(file)?.seals()
}

fn memory_inode(file: &File) -> SysResult<&TmpInode> {
    file.inode.as_any().downcast_ref().ok_or(Errno::EINVAL)
}
