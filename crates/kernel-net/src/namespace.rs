//! A network namespace: the families that its sockets can have, and the names of its Unix sockets.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::RwLock;
use rustc_hash::FxHashMap;

use crate::inet::address::{AF_INET, AF_INET6, Version};
use crate::inet::{InetFamily, Network};
use crate::netlink::{AF_NETLINK, NetlinkFamily};
use crate::socket::{Socket, SocketKind};
use crate::unix::{AF_UNIX, UnixFamily};

/// Both ends of a socketpair(2).
pub type Pair = (Arc<dyn Socket>, Arc<dyn Socket>);

/// Makes the sockets of an address family.
pub trait Family: Send + Sync {
    /// socket(2): EPROTONOSUPPORT or ESOCKTNOSUPPORT for what the family has not.
    fn create(&self, who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Arc<dyn Socket>>;
    /// socketpair(2).
    fn create_pair(&self, who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Pair> {
        let _ = (who, kind, protocol);
        Err(Errno::EOPNOTSUPP)
    }
}

/// One network namespace, shared by the containers of a pod.
pub struct NetNamespace {
    families: RwLock<FxHashMap<u16, Arc<dyn Family>>>,
}

impl NetNamespace {
    /// A namespace that has AF_UNIX, AF_NETLINK, and lo.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let namespace = Self { families: RwLock::default() };
        namespace.add_family(AF_UNIX, Arc::new(UnixFamily::new()));
        namespace.add_family(AF_NETLINK, Arc::<NetlinkFamily>::default());
        let network = Arc::<Network>::default();
        namespace.add_family(AF_INET, Arc::new(InetFamily::new(Version::V4, &network)));
        namespace.add_family(AF_INET6, Arc::new(InetFamily::new(Version::V6, &network)));
        Arc::new(namespace)
    }

    /// Enters a family; replaces what was there.
    pub fn add_family(&self, domain: u16, family: Arc<dyn Family>) {
        self.families.write().insert(domain, family);
    }

    /// The family `domain`: EAFNOSUPPORT without one.
    pub fn family(&self, domain: i32) -> SysResult<Arc<dyn Family>> {
        let domain = u16::try_from(domain).map_err(|_| Errno::EAFNOSUPPORT)?;
        self.families.read().get(&domain).cloned().ok_or(Errno::EAFNOSUPPORT)
    }
}
