//! The options of SOL_SOCKET (socket(7); net/core/sock.c sk_setsockopt and sk_getsockopt, Linux v6.18), which
//! are the same for every family. A family reads those that matter to it.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use abi_linux::time::NSEC_PER_SEC;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;

use crate::control::Credential;
use crate::rare::Rare;
use crate::socket::Socket;

/// Default and greatest size of the buffers, before doubling (net.core.wmem_default and wmem_max).
pub const BUFFER_DEFAULT: usize = 212_992;
/// SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF.
const MIN_SEND: usize = 4608;
const MIN_RECEIVE: usize = 2304;
/// Stands for no timeout.
const FOREVER: u64 = u64::MAX;

/// Option names (include/uapi/asm-generic/socket.h).
pub mod so {
    pub const DEBUG: i32 = 1;
    pub const REUSEADDR: i32 = 2;
    pub const TYPE: i32 = 3;
    pub const ERROR: i32 = 4;
    pub const DONTROUTE: i32 = 5;
    pub const BROADCAST: i32 = 6;
    pub const SNDBUF: i32 = 7;
    pub const RCVBUF: i32 = 8;
    pub const KEEPALIVE: i32 = 9;
    pub const OOBINLINE: i32 = 10;
    pub const NO_CHECK: i32 = 11;
    pub const PRIORITY: i32 = 12;
    pub const LINGER: i32 = 13;
    pub const BSDCOMPAT: i32 = 14;
    pub const REUSEPORT: i32 = 15;
    pub const PASSCRED: i32 = 16;
    pub const PEERCRED: i32 = 17;
    pub const RCVLOWAT: i32 = 18;
    pub const SNDLOWAT: i32 = 19;
    pub const RCVTIMEO: i32 = 20;
    pub const SNDTIMEO: i32 = 21;
    pub const PEERNAME: i32 = 28;
    pub const ACCEPTCONN: i32 = 30;
    pub const SNDBUFFORCE: i32 = 32;
    pub const RCVBUFFORCE: i32 = 33;
    pub const PASSSEC: i32 = 34;
    pub const MARK: i32 = 36;
    pub const PROTOCOL: i32 = 38;
    pub const DOMAIN: i32 = 39;
    pub const PEERGROUPS: i32 = 59;
    pub const RCVTIMEO_NEW: i32 = 66;
    pub const SNDTIMEO_NEW: i32 = 67;
    pub const NETNS_COOKIE: i32 = 71;
}

/// What is set on one socket.
pub struct Options {
    /// A bit for each option that is on or off, by its number (all are below 32).
    switches: AtomicU32,
    send_buffer: AtomicUsize,
    receive_buffer: AtomicUsize,
    send_timeout_ns: AtomicU64,
    receive_timeout_ns: AtomicU64,
    /// Seconds.
    linger: AtomicI32,
    receive_low_water: AtomicI32,
    priority: AtomicI32,
    mark: AtomicU32,
    rare: Rare,
}

impl Default for Options {
    fn default() -> Self {
        Self::with_buffers(BUFFER_DEFAULT, BUFFER_DEFAULT)
    }
}

/// Says that SO_SNDBUF was set (SOCK_SNDBUF_LOCK): a switch beyond those that have a number.
const SEND_BUFFER_LOCKED: i32 = 31;

impl Options {
    /// With buffers of these sizes.
    #[must_use]
    pub fn with_buffers(send: usize, receive: usize) -> Self {
        Self {
            switches: AtomicU32::new(0),
            send_buffer: AtomicUsize::new(send),
            receive_buffer: AtomicUsize::new(receive),
            send_timeout_ns: AtomicU64::new(FOREVER),
            receive_timeout_ns: AtomicU64::new(FOREVER),
            linger: AtomicI32::new(0),
            receive_low_water: AtomicI32::new(1),
            priority: AtomicI32::new(0),
            mark: AtomicU32::new(0),
            rare: Rare::default(),
        }
    }
}

/// Whether an option is a switch that is only remembered.
const fn is_switch(name: i32) -> bool {
    matches!(
        name,
        so::DEBUG
            | so::REUSEADDR
            | so::DONTROUTE
            | so::BROADCAST
            | so::KEEPALIVE
            | so::OOBINLINE
            | so::NO_CHECK
            | so::REUSEPORT
            | so::PASSCRED
            | so::LINGER
    )
}

fn int_of(value: &[u8]) -> SysResult<i32> {
    value.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Errno::EINVAL)
}

/// A `struct timeval` as a timeout (sock_set_timeout): zero is for ever, negative seconds are not at all.
fn timeout_of(value: &[u8]) -> SysResult<u64> {
    let word =
        |at: usize| value.get(at..at + 8).and_then(<[u8]>::first_chunk).copied().map(i64::from_ne_bytes);
    let (seconds, micros) = word(0).zip(word(8)).ok_or(Errno::EINVAL)?;
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM);
    }
    if seconds < 0 {
        return Ok(0);
    }
    let ns = (seconds as u64).saturating_mul(NSEC_PER_SEC).saturating_add(micros as u64 * 1000);
    Ok(if ns == 0 { FOREVER } else { ns })
}

fn timeval(ns: u64) -> Vec<u8> {
    let (seconds, micros) =
        if ns == FOREVER { (0, 0) } else { (ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000) };
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

fn bounded(value: i32, smallest: usize) -> usize {
    let wanted = usize::try_from(value).unwrap_or(BUFFER_DEFAULT).min(BUFFER_DEFAULT);
    (wanted * 2).max(smallest)
}

impl Options {
    /// A connection stands: its send buffer grows, unless the guest has said how large it is.
    pub fn expand_send_buffer(&self, size: usize) {
        if !self.is_on(SEND_BUFFER_LOCKED) {
            self.send_buffer.fetch_max(size, Ordering::Relaxed);
        }
    }

    /// An accepted connection begins with the options of its listener (sk_clone_lock).
    pub fn inherit(&self, from: &Self) {
        let relaxed = Ordering::Relaxed;
        self.switches.store(from.switches.load(relaxed), relaxed);
        self.send_buffer.store(from.send_buffer.load(relaxed), relaxed);
        self.receive_buffer.store(from.receive_buffer.load(relaxed), relaxed);
        self.send_timeout_ns.store(from.send_timeout_ns.load(relaxed), relaxed);
        self.receive_timeout_ns.store(from.receive_timeout_ns.load(relaxed), relaxed);
        self.linger.store(from.linger.load(relaxed), relaxed);
        self.receive_low_water.store(from.receive_low_water.load(relaxed), relaxed);
        self.priority.store(from.priority.load(relaxed), relaxed);
        self.mark.store(from.mark.load(relaxed), relaxed);
        self.rare.inherit(&from.rare);
    }

    /// SO_LINGER with no time: a close resets.
    #[must_use]
    pub fn lingers_not_at_all(&self) -> bool {
        self.is_on(so::LINGER) && self.linger.load(Ordering::Relaxed) == 0
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: i32) -> bool {
        u32::try_from(name)
            .is_ok_and(|bit| bit < 32 && self.switches.load(Ordering::Relaxed) & (1 << bit) != 0)
    }

    /// Turns a switch on or off.
    pub fn switch(&self, name: i32, to: Switch) {
        let Ok(bit) = u32::try_from(name) else { return };
        let mask = 1u32.checked_shl(bit).unwrap_or(0);
        match to {
            Switch::On => self.switches.fetch_or(mask, Ordering::Relaxed),
            Switch::Off => self.switches.fetch_and(!mask, Ordering::Relaxed),
        };
    }

    /// SO_SNDBUF, as it is accounted.
    #[must_use]
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed)
    }

    /// SO_RCVBUF, as it is accounted.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Ordering::Relaxed)
    }

    /// SO_SNDTIMEO in nanoseconds; `None` for ever.
    #[must_use]
    pub fn send_timeout_ns(&self) -> Option<u64> {
        Some(self.send_timeout_ns.load(Ordering::Relaxed)).filter(|&ns| ns != FOREVER)
    }

    /// SO_RCVTIMEO in nanoseconds; `None` for ever.
    #[must_use]
    pub fn receive_timeout_ns(&self) -> Option<u64> {
        Some(self.receive_timeout_ns.load(Ordering::Relaxed)).filter(|&ns| ns != FOREVER)
    }

    /// SO_RCVLOWAT.
    #[must_use]
    pub fn receive_low_water(&self) -> usize {
        usize::try_from(self.receive_low_water.load(Ordering::Relaxed)).unwrap_or(1)
    }

    pub(crate) fn set(&self, who: &dyn Caller, name: i32, value: &[u8]) -> SysResult<()> {
        let number = int_of(value)?;
        match name {
            so::DEBUG if number != 0 && !who.credentials().has(Cap::NET_ADMIN) => return Err(Errno::EACCES),
            so::LINGER => {
                let seconds = value.get(4..).ok_or(Errno::EINVAL).and_then(int_of)?;
                self.linger.store(seconds, Ordering::Relaxed);
                self.switch(name, Switch::from_int(number));
            }
            name if is_switch(name) => self.switch(name, Switch::from_int(number)),
            so::SNDBUF => {
                self.send_buffer.store(bounded(number, MIN_SEND), Ordering::Relaxed);
                self.switch(SEND_BUFFER_LOCKED, Switch::On);
            }
            so::RCVBUF => self.receive_buffer.store(bounded(number, MIN_RECEIVE), Ordering::Relaxed),
            so::SNDBUFFORCE | so::RCVBUFFORCE if !who.credentials().has(Cap::NET_ADMIN) => {
                return Err(Errno::EPERM);
            }
            // Not beyond the maximum: the memory is the supervisor's.
            so::SNDBUFFORCE => self.send_buffer.store(bounded(number.max(0), MIN_SEND), Ordering::Relaxed),
            so::RCVBUFFORCE => {
                self.receive_buffer.store(bounded(number.max(0), MIN_RECEIVE), Ordering::Relaxed)
            }
            so::SNDTIMEO => self.send_timeout_ns.store(timeout_of(value)?, Ordering::Relaxed),
            so::RCVTIMEO => self.receive_timeout_ns.store(timeout_of(value)?, Ordering::Relaxed),
            so::RCVLOWAT => {
                let low = if number < 0 { i32::MAX } else { number.max(1) };
                self.receive_low_water.store(low, Ordering::Relaxed);
            }
            so::PRIORITY if (0..=6).contains(&number) || who.credentials().has(Cap::NET_ADMIN) => {
                self.priority.store(number, Ordering::Relaxed);
            }
            so::PRIORITY => return Err(Errno::EPERM),
            so::MARK if !who.credentials().has(Cap::NET_ADMIN) => return Err(Errno::EPERM),
            so::MARK => self.mark.store(number as u32, Ordering::Relaxed),
            so::BSDCOMPAT => {}
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn get(&self, name: i32) -> SysResult<Vec<u8>> {
        let int = |value: i32| Ok(value.to_ne_bytes().to_vec());
        match name {
            so::LINGER => {
                let on = i32::from(self.is_on(so::LINGER));
                Ok([on.to_ne_bytes(), self.linger.load(Ordering::Relaxed).to_ne_bytes()].concat())
            }
            name if is_switch(name) => int(i32::from(self.is_on(name))),
            so::SNDBUF => int(i32::try_from(self.send_buffer()).unwrap_or(i32::MAX)),
            so::RCVBUF => int(i32::try_from(self.receive_buffer()).unwrap_or(i32::MAX)),
            so::SNDTIMEO => Ok(timeval(self.send_timeout_ns.load(Ordering::Relaxed))),
            so::RCVTIMEO => Ok(timeval(self.receive_timeout_ns.load(Ordering::Relaxed))),
            so::RCVLOWAT => int(self.receive_low_water.load(Ordering::Relaxed)),
            so::SNDLOWAT => int(1),
            so::PRIORITY => int(self.priority.load(Ordering::Relaxed)),
            so::MARK => int(self.mark.load(Ordering::Relaxed) as i32),
            so::BSDCOMPAT | so::PASSSEC => int(0),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

/// A switch's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    const fn from_int(value: i32) -> Self {
        if value != 0 { Self::On } else { Self::Off }
    }
}

/// setsockopt(2) at level SOL_SOCKET.
pub fn set(socket: &dyn Socket, who: &dyn Caller, name: i32, value: &[u8]) -> SysResult<()> {
    if let Some(result) = socket.set_general_option(who, name, value) {
        return result;
    }
    let is_unix = socket.identity().domain == crate::unix::AF_UNIX;
    match name {
        so::TYPE | so::PROTOCOL | so::DOMAIN | so::ERROR => Err(Errno::ENOPROTOOPT),
        // Since Linux 6.14 SO_REUSEPORT is for INET alone.
        so::REUSEPORT if is_unix && int_of(value)? != 0 => Err(Errno::EOPNOTSUPP),
        so::PASSCRED | so::PASSSEC if !may_receive_credentials(socket.identity().domain) => {
            int_of(value).and(Err(Errno::EOPNOTSUPP))
        }
        so::RCVTIMEO_NEW => socket.options().set(who, so::RCVTIMEO, value),
        so::SNDTIMEO_NEW => socket.options().set(who, so::SNDTIMEO, value),
        _ => {
            match socket.options().set(who, name, value) {
                Err(Errno::ENOPROTOOPT) => {
                    return socket.options().rare.set(who, socket.identity(), name, int_of(value)?);
                }
                result => result?,
            }
            // A larger buffer may let a writer go on.
            if matches!(name, so::SNDBUF | so::SNDBUFFORCE) {
                socket.wait_queue().wake(socket.poll());
            }
            Ok(())
        }
    }
}

const AF_NETLINK: u16 = 16;

/// Since Linux 6.16 (sk_may_scm_recv).
fn may_receive_credentials(domain: u16) -> bool {
    matches!(domain, crate::unix::AF_UNIX | AF_NETLINK)
}

/// getsockopt(2) at level SOL_SOCKET: the value, which the caller cuts to the guest's buffer of `wanted` bytes.
pub fn get(socket: &dyn Socket, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
    if let Some(result) = socket.general_option(name, wanted) {
        return result;
    }
    let identity = socket.identity();
    let int = |value: i32| Ok(value.to_ne_bytes().to_vec());
    match name {
        so::TYPE => int(identity.kind.to_raw() as i32),
        so::DOMAIN => int(i32::from(identity.domain)),
        so::PROTOCOL => int(identity.protocol),
        so::ERROR => int(socket.take_error().map_or(0, Errno::raw)),
        so::ACCEPTCONN => int(i32::from(socket.is_listening())),
        so::PEERNAME => {
            let name = socket.peer_name().map_err(|_| Errno::ENOTCONN)?;
            if name.len() < wanted { Err(Errno::EINVAL) } else { Ok(name) }
        }
        so::PEERCRED => {
            let none = Credential { pid: 0, uid: u32::MAX, gid: u32::MAX };
            Ok(socket.peer_credential().map_or(none, |peer| peer.credential).to_bytes().to_vec())
        }
        so::PEERGROUPS => {
            let peer = socket.peer_credential().ok_or(Errno::ENODATA)?;
            Ok(peer.groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect())
        }
        so::NETNS_COOKIE if wanted != 8 => Err(Errno::EINVAL),
        // Of the initial network namespace, which a sandbox takes its own for.
        so::NETNS_COOKIE => Ok(1u64.to_ne_bytes().to_vec()),
        so::RCVTIMEO_NEW => socket.options().get(so::RCVTIMEO),
        so::SNDTIMEO_NEW => socket.options().get(so::SNDTIMEO),
        so::PASSCRED | so::PASSSEC if !may_receive_credentials(identity.domain) => Err(Errno::EOPNOTSUPP),
        _ => match socket.options().get(name) {
            Err(Errno::ENOPROTOOPT) => socket.options().rare.get(identity, name).and_then(int),
            result => result,
        },
    }
}
