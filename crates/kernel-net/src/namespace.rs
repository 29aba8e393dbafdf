//! A network namespace: the families that its sockets can have, and the names of its Unix sockets.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::RwLock;
use rustc_hash::FxHashMap;

use crate::inet::Loopback;
use crate::inet::address::Version;
use crate::netlink::{AF_NETLINK, NetlinkFamily};
use crate::socket::{Socket, SocketKind};
use crate::stack::{InetFamily, InetStack};
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
    stack: Arc<dyn InetStack>,
}

impl NetNamespace {
    /// A namespace that has AF_UNIX, AF_NETLINK, and lo in memory.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_stack(Arc::<Loopback>::default())
    }

    /// A namespace whose AF_INET and AF_INET6 are `stack`.
    #[must_use]
    pub fn with_stack(stack: Arc<dyn InetStack>) -> Arc<Self> {
        let namespace = Self { families: RwLock::default(), stack: Arc::clone(&stack) };
        namespace.add_family(AF_UNIX, Arc::new(UnixFamily::new()));
        namespace.add_family(AF_NETLINK, Arc::new(NetlinkFamily::new(&stack)));
        for version in [Version::V4, Version::V6] {
            let stack = Arc::clone(&stack);
            namespace.add_family(version.domain(), Arc::new(InetFamily { version, stack }));
        }
        Arc::new(namespace)
    }

    /// What stands behind AF_INET and AF_INET6.
    #[must_use]
    pub fn stack(&self) -> &Arc<dyn InetStack> {
        &self.stack
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
