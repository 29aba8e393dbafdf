//! AF_INET and AF_INET6 by sockets of the host, which the supervisor opens in the container's network namespace
//! ([`host_net`]).
//!
//! A host socket never blocks. An operation goes to the host at once; only when that answers EAGAIN is the socket put
//! into the platform's reactor, edge-triggered and for good, whose events then wake the same queue that every open
//! file has ([`readiness::Readiness`]).

mod options;
mod readiness;
mod socket;
mod zerocopy;

pub use host_net::{Namespace, Whose};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_linux::{Errno, SysResult};
use host_net::Question;
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use platform_api::Platform;

use crate::inet::address::Version;
use crate::inet::interface::Ifreq;
use crate::netlink::message::{DUMP, Request};
use crate::socket::{Socket, SocketKind};
use crate::stack::InetStack;
use socket::HostSocket;

/// `struct ifconf` is answered from RTM_GETLINK and this request (SIOCGIFADDR).
const SIOCGIFADDR: u32 = 0x8915;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
/// `struct ifinfomsg` behind the header.
const LINK_ATTRIBUTES: usize = 32;

/// What guests may have beyond the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawSockets {
    /// EPERM, as without CAP_NET_RAW.
    Refused,
    /// ICMP, for who has CAP_NET_RAW.
    Icmp,
}

/// What all sockets of a stack share.
struct Shared {
    namespace: Namespace,
    platform: Arc<dyn Platform>,
    /// Open sockets: each is a descriptor of the supervisor.
    open: AtomicUsize,
    most: usize,
}

/// The stack of the host, as a network namespace has it.
pub struct HostStack {
    shared: Arc<Shared>,
    raw: RawSockets,
}

impl HostStack {
    /// At most `most` sockets in `namespace`, watched by the reactor of `platform`.
    #[must_use]
    pub fn new(namespace: Namespace, platform: Arc<dyn Platform>, raw: RawSockets, most: usize) -> Arc<Self> {
        let shared = Shared { namespace, platform, open: AtomicUsize::new(0), most };
        Arc::new(Self { shared: Arc::new(shared), raw })
    }

    fn links(&self) -> SysResult<Vec<Vec<u8>>> {
        self.shared.namespace.ask(&Question::from_guest(RTM_GETLINK, true, 1, &[0])?)
    }
}

impl Shared {
    /// ENFILE for one too many.
    fn reserve(&self) -> SysResult<()> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.release();
            return Err(Errno::ENFILE);
        }
        Ok(())
    }

    fn release(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InetStack for HostStack {
    fn create(
        &self,
        version: Version,
        who: &dyn Caller,
        kind: SocketKind,
        protocol: i32,
    ) -> SysResult<Arc<dyn Socket>> {
        if kind == SocketKind::Raw && protocol != 0 {
            let may = self.raw == RawSockets::Icmp && who.credentials().has(Cap::NET_RAW);
            may.then_some(()).ok_or(Errno::EPERM)?;
        }
        HostSocket::open(&self.shared, version, kind, protocol).map(|socket| socket as Arc<dyn Socket>)
    }

    fn interface(&self, request: u32, ifreq: &mut Ifreq) -> SysResult<()> {
        self.shared.namespace.interface(request, ifreq)
    }

    fn interfaces(&self) -> SysResult<Vec<Ifreq>> {
        let mut found = Vec::new();
        for link in self.links()? {
            let attributes = link.get(LINK_ATTRIBUTES..).unwrap_or_default();
            let Some(name) = crate::netlink::message::attribute(attributes, 0, IFLA_IFNAME) else { continue };
            let mut ifreq: Ifreq = [0; _];
            let name = name.get(..name.len().min(15)).unwrap_or_default();
            ifreq[..name.len()].copy_from_slice(name);
            // One without an IPv4 address is not in the list.
            if self.interface(SIOCGIFADDR, &mut ifreq).is_ok() {
                found.push(ifreq);
            }
        }
        Ok(found)
    }

    fn route(&self, request: &Request<'_>, port: u32) -> SysResult<Vec<Vec<u8>>> {
        let is_dump = request.flags & DUMP != 0;
        let question = Question::from_guest(request.kind, is_dump, request.sequence, request.body())?;
        let mut messages = self.shared.namespace.ask(&question)?;
        for message in &mut messages {
            // nlmsg_pid.
            message.splice(12..16, port.to_ne_bytes());
        }
        Ok(messages)
    }

    fn proc_file(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.namespace.proc_file(name).ok()
    }
}
