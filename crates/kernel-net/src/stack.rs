//! What stands behind AF_INET and AF_INET6 in a network namespace. There are loopback in memory
//! ([`crate::inet::Loopback`]) and sockets of the host; nothing above a stack knows which it has.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::inet::address::Version;
use crate::inet::interface::Ifreq;
use crate::namespace::Family;
use crate::netlink::message::Request;
use crate::socket::{Socket, SocketKind};

/// An INET stack, with its interfaces.
pub trait InetStack: Send + Sync {
    /// socket(2) of AF_INET or AF_INET6.
    fn create(
        &self,
        version: Version,
        who: &dyn Caller,
        kind: SocketKind,
        protocol: i32,
    ) -> SysResult<Arc<dyn Socket>>;

    /// An ioctl(2) that asks for a property of the interface named in `ifreq`, or for the name of the one with the
    /// number in it (netdevice(7)). `request` is one of [`crate::inet::interface::QUESTIONS`].
    fn interface(&self, request: u32, ifreq: &mut Ifreq) -> SysResult<()>;

    /// SIOCGIFCONF: the interfaces that have an IPv4 address, with it.
    fn interfaces(&self) -> SysResult<Vec<Ifreq>>;

    /// A request of NETLINK_ROUTE that changes nothing: the messages of the answer, addressed to `port`. Of a dump,
    /// what comes before NLMSG_DONE.
    fn route(&self, request: &Request<'_>, port: u32) -> SysResult<Vec<Vec<u8>>>;

    /// The text of a file of /proc/net; `None` when it is made of the container's own sockets.
    fn proc_file(&self, name: &str) -> Option<Vec<u8>> {
        let _ = name;
        None
    }
}

/// AF_INET or AF_INET6 over a stack.
pub(crate) struct InetFamily {
    pub(crate) version: Version,
    pub(crate) stack: Arc<dyn InetStack>,
}

/// IPPROTO_MAX.
const PROTOCOLS: i32 = 263;

impl Family for InetFamily {
    fn create(&self, who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Arc<dyn Socket>> {
        if !(0..PROTOCOLS).contains(&protocol) {
            return Err(Errno::EINVAL);
        }
        self.stack.create(self.version, who, kind, protocol)
    }
}
