//! AF_NETLINK (netlink(7)) as far as mq_notify(2) needs it: a socket to which the kernel sends the cookie of a
//! notification (SIGEV_THREAD of glibc). It can be read; it cannot be bound, and nothing can be sent, so that programs
//! that would ask for routes or devices find none.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;

use crate::namespace::Family;
use crate::options::Options;
use crate::socket::{Identity, MessageFlags, Received, Socket, SocketKind};

/// AF_NETLINK.
pub const AF_NETLINK: u16 = 16;
/// NETLINK_ROUTE, which glibc asks for.
const NETLINK_ROUTE: i32 = 0;
/// Most protocols (MAX_LINKS).
const MAX_LINKS: i32 = 32;
/// Messages that wait to be read: each registration of a queue has at most one.
const MAX_MESSAGES: usize = 256;
const READABLE: Events = Events::IN.union(Events::RDNORM);

/// The family.
pub struct NetlinkFamily;

impl Family for NetlinkFamily {
    fn create(&self, _who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Arc<dyn Socket>> {
        if !matches!(kind, SocketKind::Raw | SocketKind::Datagram) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        if !(0..MAX_LINKS).contains(&protocol) || protocol != NETLINK_ROUTE {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let (options, messages, queue) = (Options::default(), Mutex::default(), WaitQueue::new());
        Ok(Arc::new(NetlinkSocket { kind, options, messages, queue }))
    }
}

/// A socket.
pub struct NetlinkSocket {
    kind: SocketKind,
    options: Options,
    messages: Mutex<VecDeque<Box<[u8]>>>,
    queue: WaitQueue,
}

impl NetlinkSocket {
    /// A message from the kernel; lost when too many are unread.
    pub fn deliver(&self, message: Box<[u8]>) {
        let mut messages = self.messages.lock();
        if messages.len() < MAX_MESSAGES {
            messages.push_back(message);
        }
        drop(messages);
        self.queue.wake(READABLE);
    }
}

/// `struct sockaddr_nl` of port 0: the kernel, or a socket without a name.
fn address() -> Vec<u8> {
    let mut address = vec![0; 12];
    address.splice(..2, AF_NETLINK.to_ne_bytes());
    address
}

impl Socket for NetlinkSocket {
    fn identity(&self) -> Identity {
        Identity { domain: AF_NETLINK, kind: self.kind, protocol: NETLINK_ROUTE }
    }
    fn options(&self) -> &Options {
        &self.options
    }
    fn poll(&self) -> Events {
        let readable = if self.messages.lock().is_empty() { Events::empty() } else { READABLE };
        readable | Events::OUT | Events::WRNORM
    }
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut messages = self.messages.lock();
        let message = match flags.contains(MessageFlags::PEEK) {
            true => messages.front().cloned(),
            false => messages.pop_front(),
        };
        drop(messages);
        let message = message.ok_or(Errno::EAGAIN)?;
        let len = message.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), message.get(..len)) {
            to.copy_from_slice(from);
        }
        let is_cut = len < message.len();
        let flags = if is_cut { MessageFlags::TRUNC } else { MessageFlags::empty() };
        Ok(Received {
            len,
            full_len: message.len(),
            address: address(),
            flags,
            is_last: true,
            ..Received::default()
        })
    }
    fn max_message(&self) -> Option<usize> {
        Some(usize::MAX)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        Ok(address())
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        Ok(address())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
