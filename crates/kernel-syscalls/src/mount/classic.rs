//! mount(2) and umount2(2).

use abi_linux::raw::general::{
    MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK, MS_MGC_MSK, MS_MGC_VAL,
    MS_MOVE, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_NOUSER,
    MS_PRIVATE, MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME,
    MS_SYNCHRONOUS, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserCStr;
use kernel_vfs::filesystem::parse_options;
use kernel_vfs::mount::{Depth, MountFlags, MountNamespace, Propagation, SuperFlags, Unmount};
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::{STRING_MAX, check_type, instance, mount_of, optional_string, own_namespace, split};
use crate::cx::Cx;
use crate::path::at::{CWD, Target};

const PROPAGATION: u32 = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
/// Flags of mount(2) that are a filesystem instance's.
const SUPER: u32 = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_LAZYTIME;

/// What mount(2) asks for beside the kind of change.
struct Wanted {
    source: Option<Vec<u8>>,
    fs_type: Option<Vec<u8>>,
    data: Vec<u8>,
    super_flags: SuperFlags,
    flags: MountFlags,
}

/// The data argument: a page, or what is mapped of it (copy_mount_options).
fn read_data(cx: &Cx, at: u64) -> SysResult<Vec<u8>> {
    if at == 0 {
        return Ok(Vec::new());
    }
    let mut data = vec![0; STRING_MAX];
    let len = cx.mem().read_partial(at, &mut data)?;
    if len == 0 {
        return Err(Errno::EFAULT);
    }
    data.truncate(len.min(STRING_MAX - 1));
    Ok(data)
}

/// The mount's flags for those of mount(2) (path_mount). `old` are those of the mount that a remount changes.
fn mount_flags(flags: u32, old: MountFlags) -> MountFlags {
    let atime = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
    let plain = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NOATIME | MS_NODIRATIME;
    let mut new = MountFlags::from_bits_retain(flags & plain);
    new.set(MountFlags::RELATIME, flags & MS_NOATIME == 0);
    if flags & MS_STRICTATIME != 0 {
        new.remove(MountFlags::RELATIME | MountFlags::NOATIME);
    }
    if flags & MS_REMOUNT != 0 && flags & atime == 0 {
        new = new.difference(MountFlags::ATIME) | old & MountFlags::ATIME;
    }
    new
}

/// mount(2).
pub(crate) fn sys_mount(
    cx: &Cx,
    source: UserCStr,
    target: UserCStr,
    filesystemtype: UserCStr,
    mountflags: u64,
    data: u64,
) -> SysResult<()> {
    let fs_type = optional_string(cx, filesystemtype, STRING_MAX)?;
    let source = optional_string(cx, source, STRING_MAX)?;
    let data = read_data(cx, data)?;
    let mut flags = mountflags as u32;
    if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags &= !MS_MGC_MSK;
    }
    let target = Target::read(cx, CWD, target)?;
    let at = cx.with_walk(|walk| target.resolve(walk, WalkFlags::empty()))?.top();
    if flags & MS_NOUSER != 0 {
        return Err(Errno::EINVAL);
    }
    let namespace = own_namespace(cx)?;
    let wanted = Wanted {
        source,
        fs_type,
        data,
        super_flags: SuperFlags::from_bits_truncate(flags & SUPER),
        flags: mount_flags(flags, at.mount.flags()),
    };
    let depth = if flags & MS_REC != 0 { Depth::Recursive } else { Depth::One };
    if flags & (MS_REMOUNT | MS_BIND) == MS_REMOUNT | MS_BIND {
        return namespace.change_flags(&at, Depth::One, |_| wanted.flags);
    }
    if flags & MS_REMOUNT != 0 {
        return remount(cx, &namespace, &at, &wanted);
    }
    if flags & MS_BIND != 0 {
        let from = other_place(cx, wanted.source)?;
        check_loop(&namespace, &from)?;
        return namespace.bind(&from, &at, depth).map(drop);
    }
    if flags & PROPAGATION != 0 {
        return namespace.set_propagation(&at, propagation(flags)?, depth);
    }
    if flags & MS_MOVE != 0 {
        let from = other_place(cx, wanted.source)?;
        return namespace.move_mount(&from, &at);
    }
    new_mount(cx, &namespace, &at, &wanted)
}

/// Exactly one type (flags_to_propagation_type).
fn propagation(flags: u32) -> SysResult<Propagation> {
    match flags & !(MS_REC | MS_SILENT) {
        MS_SHARED => Ok(Propagation::Shared),
        MS_SLAVE => Ok(Propagation::Slave),
        MS_PRIVATE => Ok(Propagation::Private),
        MS_UNBINDABLE => Ok(Propagation::Unbindable),
        _ => Err(Errno::EINVAL),
    }
}

/// The place that the source argument names.
fn other_place(cx: &Cx, source: Option<Vec<u8>>) -> SysResult<Path> {
    let path = source.filter(|path| !path.is_empty()).ok_or(Errno::EINVAL)?;
    cx.with_walk(|walk| walk.resolve(None, &path, WalkFlags::empty()))
}

/// EINVAL for the file of a mount namespace that is not younger than the caller's: it could keep itself alive
/// (mnt_ns_loop).
pub(super) fn check_loop(namespace: &MountNamespace, from: &Path) -> SysResult<()> {
    match kernel_fs::nsfs::namespace_at(from) {
        Some(kernel_task::namespaces::Namespace::Mnt(target))
            if target.id().number() <= namespace.id().number() =>
        {
            Err(Errno::EINVAL)
        }
        _ => Ok(()),
    }
}

/// do_new_mount.
fn new_mount(cx: &Cx, namespace: &MountNamespace, at: &Path, wanted: &Wanted) -> SysResult<()> {
    let name = wanted.fs_type.as_deref().ok_or(Errno::EINVAL)?;
    let kind = cx.kernel().filesystem(name)?;
    let mut super_flags = wanted.super_flags;
    let options = split(parse_options(&wanted.data)?, &mut super_flags);
    options.iter().try_for_each(|option| kind.check_option(option))?;
    check_type(cx, &**kind)?;
    let source = wanted.source.as_deref().unwrap_or(b"none");
    let superblock = instance(cx, &**kind, source, &options)?;
    let mount = mount_of(cx, &**kind, &superblock, source, super_flags, wanted.flags);
    namespace.mount_instance(&mount, at)
}

/// do_remount: flags of the filesystem and of the mount.
fn remount(cx: &Cx, namespace: &MountNamespace, at: &Path, wanted: &Wanted) -> SysResult<()> {
    namespace.check_remount(at, wanted.flags)?;
    let mut super_flags = wanted.super_flags;
    let options = split(parse_options(&wanted.data)?, &mut super_flags);
    if let Ok(kind) = cx.kernel().filesystem(at.mount.superblock().fs_type().as_bytes()) {
        options.iter().try_for_each(|option| kind.check_option(option))?;
    }
    if !cx.credentials().has_in(at.dentry.owner_ns(), Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    reconfigure(namespace, at, super_flags, |at| at.mount.superblock().reconfigure(&options))?;
    namespace.change_flags(at, Depth::One, |_| wanted.flags)
}

/// Changes a filesystem instance (reconfigure_super): EBUSY when it is to become read-only and is being written.
pub(super) fn reconfigure(
    namespace: &MountNamespace,
    at: &Path,
    flags: SuperFlags,
    change: impl FnOnce(&Path) -> SysResult<()>,
) -> SysResult<()> {
    let old = at.dentry.super_flags();
    if at.mount.superblock().is_read_only() && !flags.contains(SuperFlags::RDONLY) {
        return Err(Errno::EROFS);
    }
    at.dentry.set_super_flags(flags);
    let seals = flags.contains(SuperFlags::RDONLY) && !old.contains(SuperFlags::RDONLY);
    let result = if seals && namespace.has_writers(at) { Err(Errno::EBUSY) } else { change(at) };
    if result.is_err() {
        at.dentry.set_super_flags(old);
    }
    result
}

/// umount2(2).
pub(crate) fn sys_umount2(cx: &Cx, target: UserCStr, flags: u32) -> SysResult<()> {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let walk_flags = if flags & UMOUNT_NOFOLLOW != 0 { WalkFlags::NOFOLLOW } else { WalkFlags::empty() };
    let target = Target::read(cx, CWD, target)?;
    let at = cx.with_walk(|walk| target.resolve(walk, walk_flags))?.top();
    let namespace = own_namespace(cx)?;
    let creds = cx.credentials();
    if !at.is_mount_root() || !at.mount.is_in(&namespace) {
        return Err(Errno::EINVAL);
    }
    if flags & MNT_FORCE != 0 && !creds.has_in(at.dentry.owner_ns(), Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let root = cx.process.fs.get().root.mount.id();
    let is_root = at.mount.id() == root;
    if flags & MNT_EXPIRE != 0 {
        if is_root || flags & (MNT_FORCE | MNT_DETACH) != 0 {
            return Err(Errno::EINVAL);
        }
        return namespace.unmount(at, Unmount::Expire);
    }
    if is_root && flags & MNT_DETACH == 0 {
        // The root stays, and becomes read-only (do_umount_root).
        if !creds.has_in(at.dentry.owner_ns(), Cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let flags = at.dentry.super_flags() | SuperFlags::RDONLY;
        return reconfigure(&namespace, &at, flags, |_| Ok(()));
    }
    let how = if flags & MNT_DETACH != 0 { Unmount::Detach } else { Unmount::IfUnused };
    namespace.unmount(at, how)
}
