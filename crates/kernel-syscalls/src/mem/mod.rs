//! Mapping files: mmap(2); files to be mapped: memfd_create(2).
//!
//! The host maps files itself. The supervisor puts a host file at the number that the guest named into the
//! host's table of the process, close-on-exec, and lets the call go on; nothing but mmap can use an fd
//! there. close(2) of that number closes it there, too.

pub(crate) mod memfd;
pub(crate) mod numa;

use std::os::fd::AsFd;
use std::sync::Arc;

use abi_linux::raw::general::{
    MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_TYPE, PROT_EXEC, PROT_WRITE,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_ipc::shm::{MemFile, SHM_MAP_OFFSET};
use kernel_vfs::file::{File, Mapping};
use kernel_vfs::mount::MountFlags;

use crate::cx::{Cx, Outcome};

/// The number at which the host's table holds the loader while an exec is under way.
pub(crate) const LOADER_FD: i32 = 63;
const MMAP: i32 = 9;
const PAGE_SIZE: u64 = 4096;

/// Checks what do_mmap checks of a file (mm/mmap.c, Linux v6.18) and gives what is to be mapped.
fn mapping(file: &File, prot: u32, flags: u32) -> SysResult<Mapping> {
    let wants_exec = prot & PROT_EXEC != 0;
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED | MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let open_flags = file.flags();
    let shared_write = shared && prot & PROT_WRITE != 0;
    if shared_write && !open_flags.writable() || !open_flags.readable() {
        return Err(Errno::EACCES);
    }
    if wants_exec && file.path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EPERM);
    }
    // A shared mapping of a writable file may be made writable later, by mprotect.
    match file.ops.mapping(shared && open_flags.writable(), wants_exec) {
        // Sealed against writing: what is mapped for reading can't be made writable.
        Err(Errno::EPERM) if !shared_write => file.ops.mapping(false, wants_exec),
        mapping => mapping,
    }
}

/// The file that the guest, or the loader on its behalf, means.
fn mapped_file(cx: &Cx, fd: Fd) -> SysResult<Arc<File>> {
    match cx.loading_file(fd.0) {
        Some(file) => Ok(file),
        None => cx.file(fd),
    }
}

/// Whether mprotect(2) must not make a shared mapping of `file` writable.
fn is_for_reading(file: &File, flags: u32) -> bool {
    flags & MAP_TYPE != MAP_PRIVATE && !file.flags().writable()
}

/// Zeros that stay what they are, as far as a mapping goes.
fn zeros(offset: u64, len: u64) -> SysResult<MemFile> {
    let end = offset.checked_add(len).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EOVERFLOW)?;
    let memory = MemFile::new()?;
    memory.data().set_len(end)?;
    Ok(memory)
}

/// msync(2) of addresses that no guest has, in the order of its refusals (mm/msync.c, Linux v6.18).
pub(crate) fn sys_msync(cx: &Cx, addr: u64, _len: usize, flags: i32) -> SysResult<Outcome> {
    const MS_ASYNC: i32 = 1;
    const MS_INVALIDATE: i32 = 2;
    const MS_SYNC: i32 = 4;
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(both | MS_INVALIDATE) != 0 || !addr.is_multiple_of(PAGE_SIZE) || flags & both == both {
        return Err(Errno::EINVAL);
    }
    crate::gate::checked(cx)
}

/// mmap(2) of a file; anonymous mappings come here under `--strict` alone.
pub(crate) fn sys_mmap(
    cx: &Cx,
    addr: u64,
    len: u64,
    prot: u32,
    flags: u32,
    fd: Fd,
    offset: u64,
) -> SysResult<Outcome> {
    if flags & MAP_ANONYMOUS != 0 {
        // No huge pages are set aside for guests.
        return if flags & MAP_HUGETLB != 0 { Err(Errno::ENOMEM) } else { crate::gate::checked(cx) };
    }
    if offset == SHM_MAP_OFFSET {
        // shmat(2) has put the segment there (under `--strict`; otherwise the filter lets it through).
        return crate::gate::checked(cx);
    }
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if addr >= 1 << 47 {
        return Err(Errno::ENOMEM);
    }
    let file = mapped_file(cx, fd)?;
    if flags & MAP_HUGETLB != 0 || len == 0 {
        return Err(Errno::EINVAL);
    }
    let host = match mapping(&file, prot, flags)? {
        Mapping::Host(host) => host,
        Mapping::Memory { fd, label } => {
            cx.kernel().mapped_files.note(label, &file.path);
            fd
        }
        Mapping::Zero if is_for_reading(&file, flags) => {
            let memory = zeros(offset, len)?;
            cx.kernel().mapped_files.note(memory.label(), &file.path);
            memory.read_only_fd()
        }
        Mapping::Zero => {
            let flags = u64::from(flags | MAP_ANONYMOUS);
            let args = [addr, len, u64::from(prot), flags, u64::MAX, 0];
            return Ok(Outcome::Substitute { nr: MMAP, args });
        }
    };
    let install = || cx.kernel().platform.install_fd(cx.call.id, fd.0, host.as_fd());
    if fd.0 == LOADER_FD {
        // Where the loader stands nothing takes its place, or the host would execute that. The process is about to lose
        // its mappings anyway.
        cx.before_any_exec(install).ok_or(Errno::ENOMEM)??;
    } else {
        install()?;
    }
    cx.process.note_mapped_fd(fd.0);
    Ok(Outcome::Continue)
}
