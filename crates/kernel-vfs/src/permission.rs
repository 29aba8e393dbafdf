//! Who may do what with an inode: owner, group and other bits, the sticky bit, and the capabilities that
//! override them (path_resolution(7), capabilities(7); Linux v6.18 fs/namei.c generic_permission).

use abi_linux::fs::{S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_ISVTX};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};
use kernel_base::user_ns::{INVALID_ID, UserNamespace};

use crate::inode::{FileKind, Inode, Metadata};

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
    // What belongs to nobody is not written to, lest it be given away (fs/namei.c inode_permission, HAS_UNMAPPED_ID).
    if want.contains(Access::WRITE) && [meta.uid, meta.gid].contains(&INVALID_ID) {
        return Err(Errno::EACCES);
    }
    let class = if creds.fsuid == meta.uid {
        meta.mode >> 6
    } else if creds.in_group(meta.gid) {
        meta.mode >> 3
    } else {
        meta.mode
    };
    if want.bits() & !class & 7 == 0 || capable(meta, creds, want) { Ok(()) } else { Err(Errno::EACCES) }
}

/// As [`check`], but the inode is asked only where its owner and mode matter: not when a capability decides.
pub fn check_inode(inode: &dyn Inode, creds: &Credentials, want: Access) -> SysResult<()> {
    let is_dir = inode.kind() == FileKind::Directory;
    if creds.user_ns.is_initial() && !UserNamespace::is_any_nested() && overrides(is_dir, creds, want) {
        return Ok(());
    }
    check(&inode.lasting_metadata()?, creds, want)
}

/// Whether `creds` may do `want` whatever owner and mode are, in an inode that belongs to their user namespace.
fn overrides(is_dir: bool, creds: &Credentials, want: Access) -> bool {
    let reads = want == Access::READ || is_dir && !want.contains(Access::WRITE);
    creds.has_own(Cap::DAC_READ_SEARCH) && reads
        || creds.has_own(Cap::DAC_OVERRIDE) && (is_dir || !want.contains(Access::EXEC))
}

fn capable(meta: &Metadata, creds: &Credentials, want: Access) -> bool {
    if !creds.user_ns.owns(meta.uid, meta.gid) {
        return false;
    }
    let is_dir = meta.mode & S_IFMT == S_IFDIR;
    // Root may run a file only when somebody may.
    overrides(is_dir, creds, want) || creds.has_own(Cap::DAC_OVERRIDE) && meta.mode & 0o111 != 0
}

/// Whether `creds` own the inode or may act as its owner (inode_owner_or_capable).
#[must_use]
pub fn is_owner(meta: &Metadata, creds: &Credentials) -> bool {
    creds.fsuid == meta.uid || creds.has_over(meta.uid, meta.gid, Cap::FOWNER)
}

/// EPERM when a sticky directory keeps `creds` from removing somebody else's entry (check_sticky).
pub fn check_sticky(dir: &Metadata, entry: &Metadata, creds: &Credentials) -> SysResult<()> {
    let free = dir.mode & S_ISVTX == 0
        || creds.fsuid == entry.uid
        || creds.fsuid == dir.uid
        || creds.has_over(entry.uid, entry.gid, Cap::FOWNER);
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

#[cfg(test)]
mod tests {
    use super::{Access, S_IFDIR, S_IFREG, check, overrides};
    use crate::inode::Metadata;
    use kernel_base::cred::{Cap, CapSet, Credentials};

    #[test]
    fn what_a_capability_decides_does_not_depend_on_the_mode() {
        let sets = [
            &[][..],
            &[Cap::DAC_READ_SEARCH],
            &[Cap::DAC_OVERRIDE],
            &[Cap::DAC_READ_SEARCH, Cap::DAC_OVERRIDE],
        ];
        for caps in sets {
            let mut creds = Credentials::new(1000, 1000, CapSet::EMPTY);
            creds.effective = caps.iter().fold(CapSet::EMPTY, |set, &cap| set.with(cap));
            for (kind, is_dir) in [(S_IFDIR, true), (S_IFREG, false)] {
                for want in (0..8).map(Access::from_bits_retain).filter(|want| !want.is_empty()) {
                    // Without any bit is the worst case; a regular file that nobody may run is not root's to run.
                    let meta = Metadata { mode: kind, ..Metadata::default() };
                    let granted = check(&meta, &creds, want).is_ok();
                    assert_eq!(overrides(is_dir, &creds, want), granted, "{caps:?} {want:?} {is_dir}");
                }
            }
        }
    }
}
