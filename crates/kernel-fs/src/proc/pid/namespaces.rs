//! ns/: the process's namespaces (namespaces(7); fs/proc/namespaces.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::user_ns::NamespaceKind;
use kernel_task::namespaces::Namespace;
use kernel_vfs::inode::{Inode, LinkTarget, MagicTarget};

use super::Subject;
use crate::nsfs;
use crate::pseudo::{Id, PseudoLink, StaticDir};

/// Names, in the order of the directory.
const ENTRIES: [(&str, NamespaceKind); 10] = [
    ("cgroup", NamespaceKind::Cgroup),
    ("ipc", NamespaceKind::Ipc),
    ("mnt", NamespaceKind::Mnt),
    ("net", NamespaceKind::Net),
    ("pid", NamespaceKind::Pid),
    ("pid_for_children", NamespaceKind::Pid),
    ("time", NamespaceKind::Time),
    ("time_for_children", NamespaceKind::Time),
    ("user", NamespaceKind::User),
    ("uts", NamespaceKind::Uts),
];

pub(super) fn directory(subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    let entry = |(name, kind): (&str, NamespaceKind)| {
        let (subject, at) = (subject.clone(), id.child(name.as_bytes(), 0o777));
        let link: Arc<dyn Inode> = PseudoLink::new(at, move |who| {
            let target = subject.target().map_err(|_| Errno::ENOENT)?;
            target.check_inspect(who)?;
            let (namespaces, credentials) = (target.process.namespaces(), target.process.credentials());
            let namespace = Namespace::of(kind, &namespaces, &credentials);
            let text = namespace.text().into_bytes();
            Ok(LinkTarget::Magic { to: MagicTarget::Path(nsfs::path_of(namespace)), text })
        });
        (name.as_bytes().to_vec(), link)
    };
    Ok(Arc::new(StaticDir::new(id, parent, ENTRIES.into_iter().map(entry).collect())))
}
