//! ns/: the container's namespaces (namespaces(7)). Their numbers are Linux's for the initial ones, the
//! same for all processes of the container.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::anon::{AnonKind, anon_path};
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, LinkTarget, MagicTarget, Metadata};

use super::Subject;
use crate::pseudo::{Id, PseudoLink, StaticDir};

/// Name, kind and number (include/uapi/linux/nsfs.h, Linux v6.18).
const NAMESPACES: [(&str, &str, u64); 10] = [
    ("cgroup", "cgroup", 0xeffffffb),
    ("ipc", "ipc", 0xefffffff),
    ("mnt", "mnt", 0xeffffff8),
    ("net", "net", 0xeffffff9),
    ("pid", "pid", 0xeffffffc),
    ("pid_for_children", "pid", 0xeffffffc),
    ("time", "time", 0xeffffffa),
    ("time_for_children", "time", 0xeffffffa),
    ("user", "user", 0xeffffffd),
    ("uts", "uts", 0xeffffffe),
];

pub(super) fn directory(subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    let entry = |(name, kind, number): (&str, &'static str, u64)| {
        let (subject, at) = (subject.clone(), id.child(name.as_bytes(), 0o777));
        let link: Arc<dyn Inode> = PseudoLink::new(at, move |who| {
            subject.target().map_err(|_| Errno::ENOENT)?.check_inspect(who)?;
            let text = format!("{kind}:[{number}]").into_bytes();
            let inode = Arc::new(Namespace { id: Id { ino: number, mode: 0o444, uid: 0, gid: 0, ..at } });
            let to = MagicTarget::Path(anon_path(AnonKind::AnonInode, &text, inode));
            Ok(LinkTarget::Magic { to, text })
        });
        (name.as_bytes().to_vec(), link)
    };
    Ok(Arc::new(StaticDir::new(id, parent, NAMESPACES.into_iter().map(entry).collect())))
}

/// What such a link leads to. It can be opened and compared, not entered.
struct Namespace {
    id: Id,
}

impl Inode for Namespace {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Regular, 1))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn open(&self, flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        if flags.writable() { Err(Errno::EACCES) } else { Ok(Arc::new(NamespaceFile)) }
    }
}

struct NamespaceFile;

impl FileOps for NamespaceFile {
    fn is_seekable(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
