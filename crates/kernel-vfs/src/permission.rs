//! Who may do what with an inode: owner, group and other bits, the sticky bit, and the capabilities that
//! override them (path_resolution(7), capabilities(7); Linux v6.18 fs/namei.c generic_permission).

use abi_linux::fs::{S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_ISVTX};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};

use crate::inode::Metadata;

bitflags::bitflags! {
    /// What is wanted, with the values of access(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Access: u32 {
        const EXEC = 1;
        const WRITE = 2;
        const READ = 4;
    }
}

/// EACCES unless `creds` may do `want`.
pub fn check(meta: &Metadata, creds: &Credentials, want: Access) -> SysResult<()> {
    let class = if creds.fsuid == meta.uid {
        meta.mode >> 6
    } else if creds.in_group(meta.gid) {
        meta.mode >> 3
    } else {
        meta.mode
    };
    if want.bits() & !class & 7 == 0 || capable(meta, creds, want) { Ok(()) } else { Err(Errno::EACCES) }
}

fn capable(meta: &Metadata, creds: &Credentials, want: Access) -> bool {
    let is_dir = meta.mode & S_IFMT == S_IFDIR;
    if creds.has(Cap::DAC_READ_SEARCH) && (want == Access::READ || is_dir && !want.contains(Access::WRITE)) {
        return true;
    }
    // Root may run a file only when somebody may.
    creds.has(Cap::DAC_OVERRIDE) && (is_dir || !want.contains(Access::EXEC) || meta.mode & 0o111 != 0)
}

/// Whether `creds` own the inode or may act as its owner (inode_owner_or_capable).
#[must_use]
pub fn is_owner(meta: &Metadata, creds: &Credentials) -> bool {
    creds.fsuid == meta.uid || creds.has(Cap::FOWNER)
}

/// EPERM when a sticky directory keeps `creds` from removing somebody else's entry (check_sticky).
pub fn check_sticky(dir: &Metadata, entry: &Metadata, creds: &Credentials) -> SysResult<()> {
    let free = dir.mode & S_ISVTX == 0
        || creds.fsuid == entry.uid
        || creds.fsuid == dir.uid
        || creds.has(Cap::FOWNER);
    if free { Ok(()) } else { Err(Errno::EPERM) }
}

/// The mode that a file keeps when others write it or it changes hands (setattr_should_drop_suidgid).
#[must_use]
pub const fn mode_without_privilege(mode: u32) -> u32 {
    match mode & S_IFMT {
        S_IFDIR => mode,
        S_IFREG if mode & 0o010 != 0 => mode & !(S_ISUID | S_ISGID),
        _ => mode & !S_ISUID,
    }
}
