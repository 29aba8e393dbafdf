//! fsopen(2), fsconfig(2), fsmount(2), fspick(2): a mount in steps (fs/fsopen.c, fs/fs_context.c, Linux v6.18).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{AT_FDCWD, OpenFlags};
use abi_linux::raw::general::{
    FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, FSPICK_CLOEXEC, FSPICK_EMPTY_PATH, FSPICK_NO_AUTOMOUNT,
    FSPICK_SYMLINK_NOFOLLOW,
};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::sync::Mutex;
use kernel_base::user::UserCStr;
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::filesystem::{FileSystemType, MAX_KEY, MAX_OPTIONS, MountOption};
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, SuperFlags};
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::attributes::{ATTRIBUTES, flags_of};
use super::classic::reconfigure;
use super::{STRING_MAX, check_type, instance, mount_of, optional_string, own_namespace, split};
use crate::cx::Cx;
use crate::path::at::Target;
use crate::poll::epoll::open_anonymous;

/// Longest blob of FSCONFIG_SET_BINARY.
const BLOB_MAX: i32 = 1 << 20;
/// FSCONFIG_* (include/uapi/linux/mount.h).
const SET_FLAG: u32 = 0;
const SET_STRING: u32 = 1;
const SET_BINARY: u32 = 2;
const SET_PATH: u32 = 3;
const SET_PATH_EMPTY: u32 = 4;
const SET_FD: u32 = 5;
const CMD_CREATE: u32 = 6;
const CMD_RECONFIGURE: u32 = 7;
const CMD_CREATE_EXCL: u32 = 8;

/// How far a context is.
enum Phase {
    /// Options of a new instance are collected.
    Create,
    /// The instance waits for its mount.
    Made(Arc<dyn SuperBlock>),
    /// Options of a present instance are collected.
    Change(Path),
    Failed,
}

struct State {
    phase: Phase,
    source: Option<Vec<u8>>,
    options: Vec<MountOption>,
    flags: SuperFlags,
}

/// A filesystem context.
struct FsContext {
    kind: Option<Arc<dyn FileSystemType>>,
    state: Mutex<State>,
}

impl FileOps for FsContext {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        // Messages of the filesystem; ours have none.
        Err(Errno::ENODATA)
    }
    fn is_seekable(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FsContext {
    fn open(cx: &Cx, kind: Option<Arc<dyn FileSystemType>>, phase: Phase, flags: SuperFlags) -> Arc<File> {
        let state = Mutex::new(State { phase, source: None, options: Vec::new(), flags });
        open_anonymous(cx, "anon_inode:[fscontext]", Arc::new(Self { kind, state }), OpenFlags::RDWR)
    }

    /// vfs_parse_fs_param.
    fn set(&self, option: MountOption) -> SysResult<()> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Create | Phase::Change(_)) {
            return Err(Errno::EBUSY);
        }
        let mut flags = state.flags;
        let Some(option) = split(vec![option], &mut flags).pop() else {
            state.flags = flags;
            return Ok(());
        };
        if option.key == b"source" {
            if state.source.is_some() {
                return Err(Errno::EINVAL);
            }
            state.source = Some(option.value.ok_or(Errno::EINVAL)?);
            return Ok(());
        }
        if let Some(kind) = &self.kind {
            kind.check_option(&option)?;
        }
        if state.options.len() >= MAX_OPTIONS {
            return Err(Errno::EINVAL);
        }
        state.options.push(option);
        Ok(())
    }

    /// FSCONFIG_CMD_CREATE.
    fn create(&self, cx: &Cx) -> SysResult<()> {
        let kind = self.kind.as_ref().ok_or(Errno::EBUSY)?;
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Create) {
            return Err(Errno::EBUSY);
        }
        check_type(cx, &**kind)?;
        let options = std::mem::take(&mut state.options);
        state.phase = Phase::Failed;
        let source = state.source.clone().unwrap_or_else(|| b"none".to_vec());
        drop(state);
        let made = instance(cx, &**kind, &source, &options)?;
        self.state.lock().phase = Phase::Made(made);
        Ok(())
    }

    /// FSCONFIG_CMD_RECONFIGURE.
    fn change(&self, cx: &Cx) -> SysResult<()> {
        let mut state = self.state.lock();
        let Phase::Change(at) = &state.phase else { return Err(Errno::EBUSY) };
        let at = at.clone();
        if !cx.credentials().has_in(at.dentry.owner_ns(), Cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let (options, flags) = (std::mem::take(&mut state.options), state.flags);
        drop(state);
        let namespace = Arc::clone(&cx.process.namespaces().mnt);
        reconfigure(&namespace, &at, flags, |at| at.mount.superblock().reconfigure(&options))
    }
}

/// fsopen(2).
pub(crate) fn sys_fsopen(cx: &Cx, fsname: UserCStr, flags: u32) -> SysResult<Fd> {
    own_namespace(cx)?;
    if flags & !FSOPEN_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let name = cx.mem().read_cstr(fsname, STRING_MAX, Errno::EINVAL)?;
    let kind = Arc::clone(cx.kernel().filesystem(&name)?);
    let file = FsContext::open(cx, Some(kind), Phase::Create, SuperFlags::empty());
    cx.install(file, flags != 0)
}

/// fspick(2).
pub(crate) fn sys_fspick(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<Fd> {
    own_namespace(cx)?;
    let known = FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk_flags = WalkFlags::empty();
    walk_flags.set(WalkFlags::NOFOLLOW, flags & FSPICK_SYMLINK_NOFOLLOW != 0);
    walk_flags.set(WalkFlags::EMPTY_PATH, flags & FSPICK_EMPTY_PATH != 0);
    let target = Target::read_even_empty(cx, dirfd, path)?;
    let at = cx.with_walk(|walk| target.resolve(walk, walk_flags))?.top();
    if !at.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    let kind = cx.kernel().filesystem(at.mount.superblock().fs_type().as_bytes()).ok().map(Arc::clone);
    let present = at.dentry.super_flags();
    cx.install(FsContext::open(cx, kind, Phase::Change(at), present), flags & FSPICK_CLOEXEC != 0)
}

/// EINVAL for arguments that a command does not take.
fn check_arguments(cmd: u32, key: bool, value: bool, aux: i32) -> SysResult<()> {
    let fits = match cmd {
        SET_FLAG => key && !value && aux == 0,
        SET_STRING => key && value && aux == 0,
        SET_BINARY => key && value && aux > 0 && aux <= BLOB_MAX,
        SET_PATH | SET_PATH_EMPTY => key && value && (aux == AT_FDCWD || aux >= 0),
        SET_FD => key && !value && aux >= 0,
        CMD_CREATE | CMD_RECONFIGURE | CMD_CREATE_EXCL => !key && !value && aux == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// fsconfig(2). A path or a descriptor as value becomes the text of its path: that is what filesystems take them for.
pub(crate) fn sys_fsconfig(cx: &Cx, fd: Fd, cmd: u32, key: UserCStr, value: u64, aux: i32) -> SysResult<()> {
    if fd.0 < 0 {
        return Err(Errno::EINVAL);
    }
    check_arguments(cmd, key.0 != 0, value != 0, aux)?;
    let file = cx.file(fd)?;
    let context = file.ops.as_any().downcast_ref::<FsContext>().ok_or(Errno::EINVAL)?;
    let key = optional_string(cx, key, MAX_KEY)?.unwrap_or_default();
    let shown = |path: &Path| path.display(&cx.process.fs.get().root);
    let value = match cmd {
        CMD_CREATE | CMD_CREATE_EXCL => return context.create(cx),
        CMD_RECONFIGURE => return context.change(cx),
        SET_FLAG => None,
        SET_BINARY => {
            let mut blob = vec![0; usize::try_from(aux).map_err(|_| Errno::EINVAL)?];
            cx.mem().read_bytes(value, &mut blob)?;
            Some(blob)
        }
        SET_PATH | SET_PATH_EMPTY => {
            let target = Target::read_even_empty(cx, Fd(aux), UserCStr(value))?;
            let flags = if cmd == SET_PATH_EMPTY { WalkFlags::EMPTY_PATH } else { WalkFlags::empty() };
            Some(shown(&cx.with_walk(|walk| target.resolve(walk, flags))?))
        }
        SET_FD => Some(shown(&cx.process.files.get(Fd(aux))?.path)),
        _ => Some(cx.mem().read_cstr(UserCStr(value), MAX_KEY, Errno::EINVAL)?),
    };
    context.set(MountOption { key, value })
}

/// fsmount(2).
pub(crate) fn sys_fsmount(cx: &Cx, fsfd: Fd, flags: u32, attr_flags: u32) -> SysResult<Fd> {
    own_namespace(cx)?;
    if flags & !FSMOUNT_CLOEXEC != 0 || u64::from(attr_flags) & !ATTRIBUTES != 0 {
        return Err(Errno::EINVAL);
    }
    let mount_flags = flags_of(u64::from(attr_flags))?;
    let file = cx.file(fsfd)?;
    let context = file.ops.as_any().downcast_ref::<FsContext>().ok_or(Errno::EINVAL)?;
    let kind = context.kind.as_ref().ok_or(Errno::EINVAL)?;
    let mut state = context.state.lock();
    let superblock = match &state.phase {
        Phase::Made(superblock) => Arc::clone(superblock),
        Phase::Change(_) => return Err(Errno::EBUSY),
        Phase::Create | Phase::Failed => return Err(Errno::EINVAL),
    };
    let source = state.source.clone().unwrap_or_else(|| b"none".to_vec());
    let mount_flags = mount_flags | MountFlags::FLOATING;
    let mount = mount_of(cx, &**kind, &superblock, &source, state.flags, mount_flags);
    state.phase = Phase::Change(Path::new(Arc::clone(&mount), Arc::clone(mount.root())));
    drop(state);
    open_floating(cx, &mount, flags != 0)
}

/// An O_PATH descriptor of a mount in no namespace; the mount goes with it unless it is moved into one.
pub(super) fn open_floating(cx: &Cx, mount: &Arc<Mount>, cloexec: bool) -> SysResult<Fd> {
    let place = Path::new(Arc::clone(mount), Arc::clone(mount.root()));
    let file = cx.with_walk(|walk| walk.open_place(place, OpenFlags::PATH))?;
    cx.install(file, cloexec)
}
