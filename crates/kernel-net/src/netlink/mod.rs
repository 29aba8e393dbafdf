//! AF_NETLINK (netlink(7); net/netlink/af_netlink.c, Linux v6.18): what the kernel says of links, addresses and routes
//! ([`route`]), and the cookies of mq_notify(2) (SIGEV_THREAD of glibc). Sockets do not speak to each other.
//!
//! Lock order: `NetlinkSocket.state` → `Ports`.

pub mod message;
pub(crate) mod route;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use rustc_hash::FxHashSet;

use crate::namespace::Family;
use crate::options::{Options, Switch};
use crate::socket::{Destination, Identity, MessageFlags, Outgoing, Received, Socket, SocketKind};
use crate::stack::InetStack;
use message::{ACK, DONE, DUMP, ERROR, LEAST_TYPE, MULTI, REQUEST, Request, Writer, next_request, word};

/// AF_NETLINK.
pub const AF_NETLINK: u16 = 16;
const NETLINK_ROUTE: i32 = 0;
/// The lists of sockets that ss(8) asks for; without its modules the kernel knows no family there, and /proc/net has them.
const NETLINK_SOCK_DIAG: i32 = 4;
/// Of a user namespace that is not the host's, the kernel takes no audit messages (audit_netlink_ok).
const NETLINK_AUDIT: i32 = 9;
/// Events of devices, of which there are none.
const NETLINK_KOBJECT_UEVENT: i32 = 15;
/// Most protocols (MAX_LINKS).
const MAX_LINKS: i32 = 32;
/// Messages that wait to be read.
const MAX_MESSAGES: usize = 256;
const READABLE: Events = Events::IN.union(Events::RDNORM);
/// SOL_NETLINK, and which of its options there are; most are switches.
const SOL_NETLINK: i32 = 270;
const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_DROP_MEMBERSHIP: i32 = 2;
const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
/// Groups of rtnetlink (RTNLGRP_MAX) and more.
const GROUPS: u32 = 64;
/// `struct sockaddr_nl`.
const ADDRESS: usize = 12;

/// Port ids that are taken (`nl_table` of one protocol).
type Ports = Mutex<FxHashSet<u32>>;

/// The family.
pub struct NetlinkFamily {
    ports: Arc<Ports>,
    stack: Arc<dyn InetStack>,
}

impl NetlinkFamily {
    /// The family of a namespace with this stack.
    #[must_use]
    pub fn new(stack: &Arc<dyn InetStack>) -> Self {
        Self { ports: Arc::default(), stack: Arc::clone(stack) }
    }
}

impl Family for NetlinkFamily {
    fn create(&self, _who: &dyn Caller, kind: SocketKind, protocol: i32) -> SysResult<Arc<dyn Socket>> {
        if !matches!(kind, SocketKind::Raw | SocketKind::Datagram) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        let is_known =
            matches!(protocol, NETLINK_ROUTE | NETLINK_SOCK_DIAG | NETLINK_AUDIT | NETLINK_KOBJECT_UEVENT);
        if !is_known || !(0..MAX_LINKS).contains(&protocol) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        Ok(Arc::new(NetlinkSocket {
            kind,
            protocol,
            ports: Arc::clone(&self.ports),
            stack: Arc::clone(&self.stack),
            options: Options::default(),
            switches: Options::default(),
            state: Mutex::default(),
            queue: WaitQueue::new(),
        }))
    }
}

#[derive(Default)]
struct State {
    messages: VecDeque<Box<[u8]>>,
    /// 0 before it is bound.
    port: u32,
    groups: u32,
    /// Whom connect(2) named; the kernel is 0.
    peer: (u32, u32),
    /// A message was lost.
    has_overrun: bool,
}

/// A socket.
pub struct NetlinkSocket {
    kind: SocketKind,
    protocol: i32,
    ports: Arc<Ports>,
    stack: Arc<dyn InetStack>,
    options: Options,
    /// The switches of SOL_NETLINK, by their numbers.
    switches: Options,
    state: Mutex<State>,
    queue: WaitQueue,
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        let port = self.state.get_mut().port;
        self.release(port);
    }
}

impl NetlinkSocket {
    /// A message from the kernel; lost when too many are unread.
    pub fn deliver(&self, message: Box<[u8]>) {
        let mut state = self.state.lock();
        if state.messages.len() < MAX_MESSAGES {
            state.messages.push_back(message);
        } else {
            state.has_overrun = true;
        }
        drop(state);
        self.queue.wake(READABLE);
    }

    /// The set of ids is shared by the protocols: one id is one socket.
    fn release(&self, port: u32) {
        if port != 0 {
            self.ports.lock().remove(&port);
        }
    }

    /// netlink_autobind: the process's id, or one that no process has.
    fn autobind(&self, who: &dyn Caller, state: &mut State) {
        if state.port != 0 {
            return;
        }
        let mut ports = self.ports.lock();
        let mut port = who.pid().unsigned_abs();
        let mut next = i32::MIN as u32 + 4096;
        while !ports.insert(port) {
            next = next.wrapping_add(1);
            port = next;
        }
        state.port = port;
    }

    fn answer(&self, request: &Request<'_>, port: u32) {
        let is_dump = request.flags & DUMP != 0;
        let result = match self.protocol {
            _ if request.flags & REQUEST == 0 => return,
            _ if request.kind < LEAST_TYPE => Ok(Vec::new()),
            NETLINK_SOCK_DIAG => Err(Errno::ENOENT),
            NETLINK_AUDIT => Err(Errno::ECONNREFUSED),
            _ if !route::is_question(request) => Err(Errno::EPERM),
            _ => self.stack.route(request, port),
        };
        match result {
            Ok(messages) if is_dump && request.kind >= LEAST_TYPE => {
                self.deliver_dump(&messages);
                let done = Writer::new(request, port, DONE, MULTI).raw(&0i32.to_ne_bytes());
                self.deliver(done.finish().into());
            }
            Ok(messages) => {
                messages.into_iter().for_each(|message| self.deliver(message.into()));
                if request.flags & ACK != 0 {
                    self.tell_error(request, port, 0);
                }
            }
            Err(errno) => self.tell_error(request, port, -errno.raw()),
        }
    }

    /// The messages of a dump, several in a piece that fits into what programs receive at once (NLMSG_GOODSIZE).
    fn deliver_dump(&self, messages: &[Vec<u8>]) {
        const GOOD: usize = 8192;
        let mut piece = Vec::new();
        for message in messages {
            if !piece.is_empty() && piece.len() + message.len() > GOOD {
                self.deliver(std::mem::take(&mut piece).into());
            }
            piece.extend_from_slice(message);
        }
        if !piece.is_empty() {
            self.deliver(piece.into());
        }
    }

    /// netlink_ack: the number and the request, of which an acknowledgement repeats the header alone.
    fn tell_error(&self, request: &Request<'_>, port: u32, error: i32) {
        let echoed = if error == 0 { request.bytes.get(..message::HEADER) } else { Some(request.bytes) };
        let message = Writer::new(request, port, ERROR, 0).raw(&error.to_ne_bytes());
        self.deliver(message.raw(echoed.unwrap_or_default()).finish().into());
    }
}

/// `struct sockaddr_nl`.
fn address(port: u32, groups: u32) -> Vec<u8> {
    let mut address = vec![0; ADDRESS];
    address.splice(..2, AF_NETLINK.to_ne_bytes());
    address.splice(4..8, port.to_ne_bytes());
    address.splice(8.., groups.to_ne_bytes());
    address
}

/// Port and groups of an address: EINVAL.
fn parse(bytes: &[u8]) -> SysResult<(u32, u32)> {
    let family = bytes.first_chunk().copied().map(u16::from_ne_bytes);
    if bytes.len() < ADDRESS || family != Some(AF_NETLINK) {
        return Err(Errno::EINVAL);
    }
    word(bytes, 4).zip(word(bytes, 8)).ok_or(Errno::EINVAL)
}

impl Socket for NetlinkSocket {
    fn identity(&self) -> Identity {
        Identity { domain: AF_NETLINK, kind: self.kind, protocol: self.protocol }
    }
    fn options(&self) -> &Options {
        &self.options
    }
    fn poll(&self) -> Events {
        let state = self.state.lock();
        let readable = if state.messages.is_empty() { Events::empty() } else { READABLE };
        let error = if state.has_overrun { Events::ERR } else { Events::empty() };
        readable | error | Events::OUT | Events::WRNORM
    }
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        let (port, groups) = parse(to.address)?;
        let mut state = self.state.lock();
        if state.port != 0 {
            if port != state.port && port != 0 {
                return Err(Errno::EINVAL);
            }
        } else if port == 0 {
            self.autobind(to.walk.who, &mut state);
        } else if self.ports.lock().insert(port) {
            state.port = port;
        } else {
            return Err(Errno::EADDRINUSE);
        }
        state.groups = groups;
        Ok(())
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        let family = to.address.first_chunk().copied().map(u16::from_ne_bytes).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        if family == 0 {
            state.peer = (0, 0);
            return Ok(());
        }
        let peer = parse(to.address)?;
        if peer != (0, 0) && !to.walk.who.credentials().has(Cap::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        self.autobind(to.walk.who, &mut state);
        state.peer = peer;
        Ok(())
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        if message.bytes.is_empty() {
            // A kernel of 5.15 or later has no use for it.
            return Err(Errno::ENODATA);
        }
        let mut state = self.state.lock();
        let to = match &message.to {
            Some(to) => parse(to.address)?,
            None => state.peer,
        };
        if to != (0, 0) && !who.credentials().has(Cap::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        self.autobind(who, &mut state);
        let port = state.port;
        drop(state);
        if to.0 != 0 || self.protocol == NETLINK_KOBJECT_UEVENT {
            return Err(Errno::ECONNREFUSED);
        }
        let mut rest = message.bytes;
        while let Some(request) = next_request(&mut rest) {
            self.answer(&request, port);
        }
        Ok(message.bytes.len())
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        if flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if std::mem::take(&mut state.has_overrun) {
            return Err(Errno::ENOBUFS);
        }
        let message = match flags.contains(MessageFlags::PEEK) {
            true => state.messages.front().cloned(),
            false => state.messages.pop_front(),
        };
        drop(state);
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
            address: address(0, 0),
            flags,
            is_last: true,
            ..Received::default()
        })
    }
    fn max_message(&self) -> Option<usize> {
        Some(self.options.send_buffer().saturating_sub(32))
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        let state = self.state.lock();
        Ok(address(state.port, state.groups))
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        let (port, groups) = self.state.lock().peer;
        Ok(address(port, groups))
    }
    fn take_error(&self) -> Option<Errno> {
        std::mem::take(&mut self.state.lock().has_overrun).then_some(Errno::ENOBUFS)
    }
    fn set_option(&self, _who: &dyn Caller, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = word(value, 0).unwrap_or(0);
        match name {
            NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
                // Nothing is ever announced; 32 of them show in the socket's name.
                if !(1..GROUPS).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                let bit = 1u32.checked_shl(number - 1).unwrap_or(0);
                let mut state = self.state.lock();
                let cleared = state.groups & !bit;
                state.groups = if name == NETLINK_ADD_MEMBERSHIP { cleared | bit } else { cleared };
            }
            3..=5 | 8 | 10..=12 => {
                self.switches.switch(name, if number != 0 { Switch::On } else { Switch::Off });
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
    fn option(&self, _who: &dyn Caller, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        match (level, name) {
            (SOL_NETLINK, 3..=5 | 8 | 10..=12) if wanted < 4 => Err(Errno::EINVAL),
            (SOL_NETLINK, 3..=5 | 8 | 10..=12) => {
                Ok(i32::from(self.switches.is_on(name)).to_ne_bytes().to_vec())
            }
            (SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS) => {
                let mut groups = [self.state.lock().groups.to_ne_bytes(), [0; 4]].concat();
                groups.truncate(wanted & !3);
                Ok(groups)
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
