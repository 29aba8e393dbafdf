//! What a container shares with others of its pod: the namespaces that its config.json names by the path of one of
//! theirs. They are objects of this process, so they can be had of containers of this process alone.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};

use kernel_base::executor::ReadyQueue;
use kernel_base::user_ns::UserNamespace;
use kernel_task::Kernel;
use kernel_task::namespaces::{IpcNamespace, UtsNamespace};
use runtime_control::{Place, Places};
use runtime_oci::ContainerSpec;

use crate::container::Container;
use crate::error::Error;

/// What a container has in common with others; what is `None` it has for itself.
#[derive(Default)]
pub(crate) struct Shared {
    /// Calls that have become ready, whichever container makes them.
    pub(crate) ready: Arc<ReadyQueue>,
    pub(crate) uts: Option<Arc<UtsNamespace>>,
    pub(crate) ipc: Option<Arc<IpcNamespace>>,
    pub(crate) user: Option<Arc<UserNamespace>>,
    /// Whose network namespace it is in.
    pub(crate) net: Option<Weak<Kernel>>,
    /// In whose process namespace it is.
    pub(crate) pid: Option<Arc<Container>>,
}

impl Shared {
    /// Looks up what `spec` names by path, and `places` has open, among the containers of this process.
    pub(crate) fn find(
        spec: &ContainerSpec,
        places: &Places,
        containers: &[Arc<Container>],
        ready: &Arc<ReadyQueue>,
    ) -> Result<Self, Error> {
        let mut shared = Self { ready: Arc::clone(ready), ..Self::default() };
        for (index, namespace) in spec.namespaces.iter().enumerate() {
            let Some(path) = &namespace.path else { continue };
            let kind = namespace.kind.as_str();
            let Some(file) = file_of(kind) else { continue };
            let wanted = places.get(Place::Namespace(index)).and_then(inode_of);
            let is_its = |one: &&Arc<Container>| {
                let own = format!("/proc/{}/ns/{file}", one.init.pid);
                one.has_own_processes() && wanted.is_some() && inode(&own) == wanted
            };
            let found = containers.iter().find(is_its);
            match (kind, found) {
                ("uts", Some(container)) => shared.uts = Some(Arc::clone(&container.uts)),
                ("ipc", Some(container)) => shared.ipc = Some(Arc::clone(&container.ipc)),
                ("user", Some(container)) => shared.user = Some(Arc::clone(&container.user_ns)),
                ("pid", Some(container)) => shared.pid = Some(Arc::clone(container)),
                (_, Some(container)) => shared.net = Some(Arc::downgrade(&container.kernel)),
                // One of the host's, which the first container of a pod enters.
                ("network", None) => {}
                (_, None) => {
                    let (kind, path) = (namespace.kind.clone(), path.display().to_string());
                    return Err(Error::NotInPod { kind, path });
                }
            }
        }
        Ok(shared)
    }
}

/// The name in /proc/pid/ns of what can be shared.
fn file_of(kind: &str) -> Option<&str> {
    match kind {
        "network" => Some("net"),
        "uts" | "ipc" | "pid" | "user" => Some(kind),
        _ => None,
    }
}

fn inode_of(namespace: BorrowedFd<'_>) -> Option<u64> {
    rustix::fs::fstat(namespace).map(|stat| stat.st_ino).ok()
}

fn inode(path: &str) -> Option<u64> {
    std::fs::metadata(path).map(|metadata| metadata.ino()).ok()
}
