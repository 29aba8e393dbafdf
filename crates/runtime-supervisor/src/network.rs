//! What stands behind a container's INET sockets: loopback in memory, or the host in the container's network namespace.

use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use kernel_net::NetNamespace;
use kernel_net::host::{HostStack, Namespace, RawSockets, Whose};
use kernel_net::unix::AF_UNIX;
use kernel_task::Kernel;
use platform_api::HostTid;
use runtime_oci::{ContainerSpec, NetworkMode};
use rustix::process::{Resource, getrlimit};

/// Of the supervisor's descriptors guests' sockets may take this part.
const SHARE: u64 = 2;

/// Says what network `kernel` has. The namespace is entered with the first socket: most containers that end soon have
/// none. One that is in `other`'s, in its pod, has the names of Unix sockets and the loopback in memory in common with
/// it; what is the host's is the same anyway.
pub(crate) fn install(
    spec: &ContainerSpec,
    kernel: &Arc<Kernel>,
    init: HostTid,
    other: Option<Weak<Kernel>>,
) {
    let other = move || other.as_ref().and_then(Weak::upgrade);
    if spec.network.mode == NetworkMode::None {
        let same = move || other().map_or_else(NetNamespace::new, |other| Arc::clone(other.net()));
        return kernel.set_net_maker(Box::new(same));
    }
    let own = spec.namespaces.iter().find(|namespace| namespace.kind == "network");
    let plan = Plan {
        whose: if own.is_some() { Whose::Of(init) } else { Whose::Supervisor },
        is_fresh: own.is_some_and(|namespace| namespace.path.is_none()),
        raw: if spec.network.raw_sockets { RawSockets::Icmp } else { RawSockets::Refused },
    };
    let platform = Arc::clone(&kernel.platform);
    kernel.set_net_maker(Box::new(move || {
        let opened = plan.open().map(|namespace| {
            let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            NetNamespace::with_stack(HostStack::new(namespace, Arc::clone(&platform), plan.raw, most))
        });
        let net = opened.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot enter the container's network namespace: it has lo alone");
            NetNamespace::new()
        });
        if let Some(unix) = other().and_then(|other| other.net().family(AF_UNIX.into()).ok()) {
            net.add_family(AF_UNIX, unix);
        }
        net
    }));
}

/// The sysctls of the container's own network namespace, which the host holds. The host's own are not a container's to
/// set.
pub(crate) fn sysctls(spec: &ContainerSpec) -> Vec<(String, String)> {
    let is_own = spec.namespaces.iter().any(|namespace| namespace.kind == "network");
    if spec.network.mode == NetworkMode::None || !is_own {
        return Vec::new();
    }
    let of_network = spec.sysctl.iter().filter(|(path, _)| path.starts_with("net/"));
    of_network.map(|(path, value)| (path.clone(), value.clone())).collect()
}

/// How the namespace is opened.
struct Plan {
    whose: Whose,
    /// Nobody else has set it up.
    is_fresh: bool,
    raw: RawSockets,
}

impl Plan {
    fn open(&self) -> SysResult<Namespace> {
        let namespace = Namespace::open(self.whose)?;
        if self.is_fresh {
            namespace.set_loopback_up()?;
        }
        Ok(namespace)
    }
}
