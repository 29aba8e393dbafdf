//! Sealed files in memory.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use abi_linux::{Errno, SysResult};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// A memfd, executable and close-on-exec, that holds `bytes` and that nobody can change any more.
pub fn sealed(name: &str, bytes: &[u8]) -> SysResult<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC (6.3) says that execution is meant; with vm.memfd_noexec unset both forms work.
    let fd = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| memfd_create(name, flags));
    let mut file = File::from(fd.map_err(errno)?);
    file.write_all(bytes).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).map_err(errno)?;
    Ok(file.into())
}
