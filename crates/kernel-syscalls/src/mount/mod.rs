//! Mounts: mount(2) and its relatives, and the calls that make a mount in steps (fs/namespace.c, fs/fsopen.c, Linux
//! v6.18). All act on mount namespaces of our own.

pub(crate) mod attributes;
pub(crate) mod classic;
pub(crate) mod context;
pub(crate) mod list;
pub(crate) mod pivot;
pub(crate) mod tree;

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserCStr;
use kernel_vfs::filesystem::{FileSystemType, MountOption, Request, super_flag};
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace, SuperFlags};

use crate::cx::Cx;

/// Longest string argument, and size of mount(2)'s data (PAGE_SIZE).
const STRING_MAX: usize = 4096;

/// The caller's mount namespace, which it must administer (may_mount).
fn own_namespace(cx: &Cx) -> SysResult<Arc<MountNamespace>> {
    let namespace = Arc::clone(&cx.process.namespaces().mnt);
    if !cx.credentials().has_in(namespace.user_ns(), Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    Ok(namespace)
}

/// A string; `None` for a null pointer.
fn optional_string(cx: &Cx, at: UserCStr, max: usize) -> SysResult<Option<Vec<u8>>> {
    if at.0 == 0 { Ok(None) } else { cx.mem().read_cstr(at, max, Errno::EINVAL).map(Some) }
}

/// Takes the generic flags out of options.
fn split(options: Vec<MountOption>, flags: &mut SuperFlags) -> Vec<MountOption> {
    let mut own = Vec::new();
    for option in options {
        match super_flag(&option.key).filter(|_| option.value.is_none()) {
            Some((set, clear)) => *flags = flags.difference(clear) | set,
            None => own.push(option),
        }
    }
    own
}

/// EPERM unless the caller may mount this type (mount_capable).
fn check_type(cx: &Cx, kind: &dyn FileSystemType) -> SysResult<()> {
    let creds = cx.credentials();
    let may = if kind.is_for_all() {
        creds.has_in(&kind.user_ns(&*cx.task), Cap::SYS_ADMIN)
    } else {
        creds.has(Cap::SYS_ADMIN)
    };
    if may { Ok(()) } else { Err(Errno::EPERM) }
}

/// Makes an instance from checked options.
fn instance(
    cx: &Cx,
    kind: &dyn FileSystemType,
    source: &[u8],
    options: &[MountOption],
) -> SysResult<Arc<dyn SuperBlock>> {
    cx.with_walk(|walk| kind.create(&Request { walk, source, options }))
}

/// A mount of a new instance, not attached.
fn mount_of(
    cx: &Cx,
    kind: &dyn FileSystemType,
    superblock: &Arc<dyn SuperBlock>,
    source: &[u8],
    super_flags: SuperFlags,
    flags: MountFlags,
) -> Arc<Mount> {
    let user_ns = kind.user_ns(&*cx.task);
    let sealed = if superblock.is_read_only() { SuperFlags::RDONLY } else { SuperFlags::empty() };
    let super_flags = super_flags | sealed;
    Mount::of_new(superblock, source, flags, super_flags, &user_ns)
}
