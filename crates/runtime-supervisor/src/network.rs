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
        sysctls: spec.sysctl.iter().filter(|(path, _)| path.starts_with("net/")).map(owned).collect(),
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

fn owned((path, value): (&String, &String)) -> (String, String) {
    (path.clone(), value.clone())
}

/// How the namespace is opened.
struct Plan {
    whose: Whose,
    /// Nobody else has set it up.
    is_fresh: bool,
    sysctls: Vec<(String, String)>,
    raw: RawSockets,
}

impl Plan {
    fn open(&self) -> SysResult<Namespace> {
        let mut namespace = Namespace::open(self.whose)?;
        if self.is_fresh {
            namespace.set_loopback_up()?;
        }
        // The host's own are not a container's to set.
        if self.whose != Whose::Supervisor {
            for (path, value) in &self.sysctls {
                if let Err(error) = namespace.set_sysctl(path, value) {
                    tracing::warn!(%error, path, "cannot set a sysctl of the network namespace");
                }
            }
        }
        Ok(namespace)
    }
}
