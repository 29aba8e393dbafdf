//! Files that stand for namespaces: what /proc/pid/ns/* leads to (namespaces(7), ioctl_nsfs(2); fs/nsfs.c, Linux
//! v6.18). Each keeps its namespace alive.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::user::UserRef;
use kernel_base::user_ns::{NamespaceKind, UserNamespace};
use kernel_task::namespaces::Namespace;
use kernel_vfs::anon::{AnonKind, anon_path};
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::{FileKind, Inode, Metadata};
use kernel_vfs::path::Path;

const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;

/// The place of a namespace.
#[must_use]
pub fn path_of(namespace: Namespace) -> Path {
    let text = namespace.text();
    anon_path(AnonKind::Namespace, text.as_bytes(), Arc::new(NamespaceInode(namespace)))
}

/// A file open on a namespace.
#[must_use]
pub fn open(namespace: Namespace) -> Arc<File> {
    let path = path_of(namespace.clone());
    let inode = Arc::clone(path.inode());
    File::new(path, inode, Arc::new(NamespaceFile(namespace)), OpenFlags::empty())
}

/// The namespace that an open file stands for.
#[must_use]
pub fn namespace_of(file: &File) -> Option<&Namespace> {
    file.ops.as_any().downcast_ref::<NamespaceFile>().map(|file| &file.0)
}

/// The namespace at a place.
#[must_use]
pub fn namespace_at(path: &Path) -> Option<&Namespace> {
    path.inode().as_any().downcast_ref::<NamespaceInode>().map(|inode| &inode.0)
}

struct NamespaceInode(Namespace);

impl Inode for NamespaceInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        let dev = kernel_vfs::anon::device_of(AnonKind::Namespace);
        let time = Timespec::default();
        Ok(Metadata {
            dev,
            ino: self.0.id().number(),
            mode: FileKind::Regular.mode_bits() | 0o444,
            nlink: 1,
            block_size: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            ..Metadata::default()
        })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn open(&self, flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        if flags.writable() { Err(Errno::EPERM) } else { Ok(Arc::new(NamespaceFile(self.0.clone()))) }
    }
}

struct NamespaceFile(Namespace);

/// A namespace's user namespace or parent, which the caller's own must hold (ns_get_owner).
fn above(target: Option<&Arc<UserNamespace>>, creds: &Credentials) -> SysResult<Arc<UserNamespace>> {
    target.filter(|target| target.is_within(&creds.user_ns)).cloned().ok_or(Errno::EPERM)
}

/// What NS_GET_USERNS and NS_GET_PARENT open; `None` for other commands.
#[must_use]
pub fn related(namespace: &Namespace, command: u32, creds: &Credentials) -> Option<SysResult<Namespace>> {
    let kind = namespace.id().kind();
    match command {
        NS_GET_USERNS => Some(above(namespace.owner(), creds).map(Namespace::User)),
        NS_GET_PARENT => Some(match kind {
            NamespaceKind::User => above(namespace.owner(), creds).map(Namespace::User),
            NamespaceKind::Pid => Err(Errno::EPERM),
            _ => Err(Errno::EINVAL),
        }),
        _ => None,
    }
}

impl FileOps for NamespaceFile {
    fn is_seekable(&self) -> bool {
        false
    }
    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        match (cmd, &self.0) {
            (NS_GET_NSTYPE, namespace) => Ok(i64::from(namespace.id().kind().flag())),
            (NS_GET_OWNER_UID, Namespace::User(namespace)) => {
                let uid = who.credentials().user_ns.show_uid(namespace.owner());
                who.mem().write(UserRef::new(arg), &uid)?;
                Ok(0)
            }
            (NS_GET_MNTNS_ID, Namespace::Mnt(namespace)) => {
                who.mem().write(UserRef::new(arg), &namespace.id().number())?;
                Ok(0)
            }
            (NS_GET_OWNER_UID | NS_GET_MNTNS_ID, _) => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
