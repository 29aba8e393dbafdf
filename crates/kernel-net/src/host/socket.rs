//! A socket of the host as a socket of ours.
//!
//! Lock order: `HostSocket.watch` → the reactor's own; `HostSocket.connecting` and `Zerocopy.range` are leaves.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use abi_linux::fs::Events;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use host_net::address::Address;
use host_net::kinds::Protocol;
use host_net::options::{IP, IPV6};
use host_net::{Count, Name, ShutdownHow, control};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use platform_api::{ReadyListener, WatchId};

use super::Shared;
use super::readiness::{ALWAYS, Left, READABLE, Readiness, WRITABLE};
use super::zerocopy::Zerocopy;
use crate::inet::address::Version;
use crate::options::{BUFFER_DEFAULT, Options};
use crate::socket::{
    Destination, Identity, MessageFlags, Outgoing, RawControl, Received, Shutdown, Socket, SocketKind,
};

/// include/uapi/asm-generic/ioctls.h, linux/sockios.h.
const FIONREAD: u32 = 0x541b;
const SIOCOUTQ: u32 = 0x5411;
const SIOCOUTQNSD: u32 = 0x894b;
const SIOCATMARK: u32 = 0x8905;

/// A socket.
pub(super) struct HostSocket {
    shared: Arc<Shared>,
    pub(super) host: host_net::Socket,
    version: Version,
    kind: SocketKind,
    pub(super) options: Options,
    pub(super) readiness: Arc<Readiness>,
    /// In the reactor; never taken out before the end.
    watch: Mutex<Option<WatchId>>,
    is_watched: AtomicBool,
    /// Control messages come with what is received.
    pub(super) has_control: AtomicBool,
    pub(super) zerocopy: Zerocopy,
    /// Where a connect in progress goes.
    connecting: Mutex<Option<Address>>,
    /// No datagram is to come: who waits for one gets none, for which the host's non-blocking socket has no answer.
    is_shut: AtomicBool,
    /// The peer of an accepted connection.
    accepted: Option<Name>,
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get_mut().take() {
            self.shared.platform.unwatch_fd(watch);
        }
        self.shared.release();
    }
}

impl HostSocket {
    pub(super) fn open(
        shared: &Arc<Shared>,
        version: Version,
        kind: SocketKind,
        protocol: i32,
    ) -> SysResult<Arc<Self>> {
        shared.reserve()?;
        let opened = host_net::Socket::open(&shared.namespace, version.domain(), kind.to_raw(), protocol);
        let host = opened.inspect_err(|_| shared.release())?;
        Ok(Arc::new(Self::new(shared, host, version, kind, None)))
    }

    fn new(
        shared: &Arc<Shared>,
        host: host_net::Socket,
        version: Version,
        kind: SocketKind,
        accepted: Option<Name>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            host,
            version,
            kind,
            options: Options::default(),
            readiness: Arc::default(),
            watch: Mutex::new(None),
            is_watched: AtomicBool::new(false),
            has_control: AtomicBool::new(false),
            zerocopy: Zerocopy::default(),
            connecting: Mutex::new(None),
            is_shut: AtomicBool::new(false),
            accepted,
        }
    }

    /// Has the reactor tell of what comes from now on, and of what is there.
    fn watch(&self) -> SysResult<()> {
        if self.is_watched.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut watch = self.watch.lock();
        if watch.is_none() {
            let listener = Arc::clone(&self.readiness) as Arc<dyn ReadyListener>;
            *watch = Some(self.shared.platform.watch_shared(self.host.fd(), listener)?);
            self.is_watched.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Tries; EAGAIN promises that the queue will be woken.
    fn attempt<T>(&self, of: Events, attempt: impl FnOnce() -> SysResult<T>) -> SysResult<T> {
        self.attempt_and(of, attempt, |_| Left::Perhaps)
    }

    /// Tries; what a success has left says `left`.
    fn attempt_and<T>(
        &self,
        of: Events,
        attempt: impl FnOnce() -> SysResult<T>,
        left: impl FnOnce(&T) -> Left,
    ) -> SysResult<T> {
        self.readiness.begin(of);
        let result = attempt();
        let left = match &result {
            Ok(done) => left(done),
            Err(Errno::EAGAIN) => Left::Nothing,
            Err(_) => Left::Perhaps,
        };
        self.readiness.end(of, left, self.shared.platform.looks());
        if matches!(result, Err(Errno::EAGAIN)) {
            self.watch()?;
        }
        result
    }

    fn receive_stream(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let wanted = buffer.len();
        let is_taken = !flags.intersects(MessageFlags::TRUNC | MessageFlags::PEEK);
        // Who gets less than there is room for has got all, but for the end.
        let left =
            |&len: &usize| if is_taken && (1..wanted).contains(&len) { Left::Nothing } else { Left::Perhaps };
        let len = self.attempt_and(READABLE, || self.host.receive(buffer, flags.bits()), left)?;
        // With MSG_TRUNC the host has thrown the bytes away.
        let given = if flags.contains(MessageFlags::TRUNC) { 0 } else { len.min(buffer.len()) };
        let is_last = len == 0 || flags.intersects(MessageFlags::TRUNC | MessageFlags::PEEK);
        Ok(Received { len: given, full_len: len, is_last, ..Received::default() })
    }

    fn receive_message(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let is_stream = self.host.protocol == Protocol::Tcp;
        let is_error = flags.contains(MessageFlags::ERRQUEUE);
        // How long a datagram was is always asked.
        let host_flags = if is_stream || is_error { flags } else { flags | MessageFlags::TRUNC };
        let with_control = is_error || self.has_control.load(Ordering::Relaxed);
        let of = if is_error { Events::ERR } else { READABLE };
        let receive = || self.host.receive_message(buffer, with_control, host_flags.bits());
        let incoming = match self.attempt(of, receive) {
            Err(Errno::EAGAIN)
                if self.is_shut.load(Ordering::Relaxed) && !flags.contains(MessageFlags::DONTWAIT) =>
            {
                return Ok(Received { is_last: true, ..Received::default() });
            }
            Err(Errno::EAGAIN) if is_error => return self.zerocopy.take(self.version).ok_or(Errno::EAGAIN),
            incoming => incoming?,
        };
        let is_discarded = is_stream && flags.contains(MessageFlags::TRUNC) && !is_error;
        let controls = incoming.control.into_iter();
        Ok(Received {
            len: if is_discarded { 0 } else { incoming.len.min(buffer.len()) },
            full_len: incoming.len,
            address: incoming.name.as_bytes().to_vec(),
            flags: MessageFlags::from_bits_truncate(incoming.flags)
                & (MessageFlags::TRUNC
                    | MessageFlags::CTRUNC
                    | MessageFlags::OOB
                    | MessageFlags::EOR
                    | MessageFlags::ERRQUEUE),
            others: controls.map(|(level, kind, data)| RawControl { level, kind, data }).collect(),
            is_last: true,
            ..Received::default()
        })
    }

    /// Ports below net.ipv4.ip_unprivileged_port_start want CAP_NET_BIND_SERVICE, which the supervisor may have.
    fn check_port(&self, who: &dyn Caller, address: &Address) -> SysResult<()> {
        let has_ports = matches!(self.host.protocol, Protocol::Tcp | Protocol::Udp);
        let is_low = (1..self.shared.namespace.unprivileged_port()).contains(&address.port());
        let is_refused = has_ports && is_low && !who.credentials().has(Cap::NET_BIND_SERVICE);
        if is_refused { Err(Errno::EACCES) } else { Ok(()) }
    }
}

impl Socket for HostSocket {
    fn identity(&self) -> Identity {
        Identity { domain: self.version.domain(), kind: self.kind, protocol: self.host.number }
    }
    fn options(&self) -> &Options {
        &self.options
    }
    fn wait_queue(&self) -> &WaitQueue {
        &self.readiness.queue
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// Who asks will perhaps wait: the reactor is told before the host is asked.
    fn poll(&self) -> Events {
        if self.watch().is_err() {
            return Events::ERR;
        }
        let extra = if self.zerocopy.has_news() { Events::ERR } else { Events::empty() };
        self.host.poll() | extra
    }
    fn poll_for(&self, interest: Events) -> Events {
        match self.readiness.known(interest) {
            Some(ready) if self.is_watched.load(Ordering::Acquire) && !self.zerocopy.has_news() => ready,
            _ => self.poll(),
        }
    }
    fn may_be_ready(&self, interest: Events) -> bool {
        self.readiness.may_be(interest)
    }

    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        let address = Address::from_guest(to.address)?;
        self.check_port(to.walk.who, &address)?;
        self.host.bind(&address)
    }
    fn listen(&self, _who: &dyn Caller, backlog: u32) -> SysResult<()> {
        self.readiness.begin_anew();
        self.host.listen(backlog)
    }
    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        self.shared.reserve()?;
        let accepted = self.attempt(READABLE, || self.host.accept());
        let (host, name) = accepted.inspect_err(|_| self.shared.release())?;
        let new = Self::new(&self.shared, host, self.version, self.kind, Some(name));
        new.options.inherit(&self.options);
        new.has_control.store(self.has_control.load(Ordering::Relaxed), Ordering::Relaxed);
        new.zerocopy.inherit(&self.zerocopy);
        Ok(Arc::new(new))
    }
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        let address = Address::from_guest(to.address)?;
        self.readiness.begin_anew();
        let result = self.host.connect(&address);
        if matches!(result, Err(Errno::EINPROGRESS | Errno::EALREADY | Errno::EAGAIN)) {
            *self.connecting.lock() = Some(address);
            self.watch()?;
        }
        result
    }
    /// By another connect(2), as a caller that blocks would see it: SO_ERROR would leave the host's socket as one that is
    /// still connecting (net/ipv4/af_inet.c __inet_stream_connect).
    fn finish_connect(&self) -> SysResult<()> {
        let address = *self.connecting.lock();
        let Some(address) = address else { return Ok(()) };
        self.attempt(WRITABLE, || {
            if !self.host.poll().intersects(WRITABLE | ALWAYS) {
                return Err(Errno::EAGAIN);
            }
            match self.host.connect(&address) {
                Err(Errno::EALREADY | Errno::EINPROGRESS) => Err(Errno::EAGAIN),
                Err(Errno::EISCONN) => Ok(()),
                result => result,
            }
        })
    }
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        let ends_reading = matches!(how, Shutdown::Read | Shutdown::Both);
        let how = match how {
            Shutdown::Read => ShutdownHow::Read,
            Shutdown::Write => ShutdownHow::Write,
            Shutdown::Both => ShutdownHow::Both,
        };
        self.host.shutdown(how)?;
        if ends_reading && self.host.protocol != Protocol::Tcp {
            self.is_shut.store(true, Ordering::Relaxed);
            self.readiness.ready(READABLE | Events::RDHUP, 0);
        }
        Ok(())
    }
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        // A connection has its peer, whatever the message says, unless it is to be made by this message.
        let ignores = self.host.protocol == Protocol::Tcp && !message.flags.contains(MessageFlags::FASTOPEN);
        let to = message.to.filter(|_| !ignores).map(|to| Address::from_guest(to.address)).transpose()?;
        let mut controls = Vec::new();
        for RawControl { level, kind, data } in &message.control.others {
            let own = if self.host.is_v4() { IP } else { IPV6 };
            control::append(&mut controls, own, *level, *kind, data)?;
        }
        let flags = message.flags.bits();
        let sent = self.attempt(WRITABLE, || self.host.send(message.bytes, to.as_ref(), &controls, flags));
        if sent == Err(Errno::EPIPE)
            && self.host.protocol == Protocol::Tcp
            && !message.flags.contains(MessageFlags::NOSIGNAL)
        {
            who.raise(Signal::SIGPIPE);
        }
        let sent = sent?;
        if message.flags.contains(MessageFlags::ZEROCOPY) && self.zerocopy.add() {
            self.readiness.queue.wake(Events::ERR);
        }
        Ok(sent)
    }
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let is_plain = self.host.protocol == Protocol::Tcp
            && !flags.intersects(MessageFlags::ERRQUEUE | MessageFlags::OOB)
            && !self.has_control.load(Ordering::Relaxed);
        if is_plain { self.receive_stream(buffer, flags) } else { self.receive_message(buffer, flags) }
    }
    fn max_message(&self) -> Option<usize> {
        // The host refuses what is too long for the protocol; this bounds what is copied.
        (self.host.protocol != Protocol::Tcp).then_some(2 * BUFFER_DEFAULT)
    }
    fn name(&self) -> SysResult<Vec<u8>> {
        self.host.name().map(|name| name.as_bytes().to_vec())
    }
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        self.host.peer_name().map(|name| name.as_bytes().to_vec())
    }
    fn accepted_name(&self) -> SysResult<Vec<u8>> {
        self.accepted.map(|name| name.as_bytes().to_vec()).ok_or(Errno::ENOTCONN)
    }
    fn take_error(&self) -> Option<Errno> {
        self.host.take_error()
    }
    fn set_general_option(&self, who: &dyn Caller, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        self.set_general(who, name, value)
    }
    fn general_option(&self, name: i32, wanted: usize) -> Option<SysResult<Vec<u8>>> {
        self.general(name, wanted)
    }
    fn set_option(&self, _who: &dyn Caller, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        self.set_host_option(level, name, value)
    }
    fn option(&self, _who: &dyn Caller, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        self.host_option(level, name, wanted)
    }
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let what = match request {
            FIONREAD => Count::Readable,
            SIOCOUTQ => Count::Unsent,
            SIOCOUTQNSD => Count::NotSent,
            SIOCATMARK => Count::AtMark,
            _ => return Err(Errno::ENOTTY),
        };
        let amount = self.host.count(what)?;
        who.mem().write(UserRef::new(arg), &amount)?;
        Ok(0)
    }
}
