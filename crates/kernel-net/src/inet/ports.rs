//! The table of ports of one protocol (net/ipv4/inet_hashtables.c, inet_connection_sock.c, udp.c; Linux v6.18).

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::RwLock;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::address::Endpoint;

/// net.ipv4.ip_local_port_range.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Who wants a port, and how it shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) ip: IpAddr,
    /// IPV6_V6ONLY.
    pub(super) only_v6: bool,
    /// SO_REUSEADDR and SO_REUSEPORT.
    pub(super) reuses_address: bool,
    pub(super) reuses_port: bool,
    pub(super) uid: u32,
}

/// Names an entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortKey {
    pub(super) port: u16,
    id: u64,
}

struct Entry<T> {
    id: u64,
    claim: Claim,
    /// Its port is nobody else's while it listens, whatever SO_REUSEADDR says.
    listens: bool,
    /// Whom it is connected with: it hears nobody else.
    remote: Option<Endpoint>,
    socket: Weak<T>,
}

struct Port<T> {
    entries: Vec<Entry<T>>,
    /// Accepted connections, which keep the port from those who do not share: address, whether they would, how many.
    accepted: Vec<(IpAddr, bool, usize)>,
}

impl<T> Default for Port<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), accepted: Vec::new() }
    }
}

/// All ports of a protocol.
pub(super) struct Ports<T> {
    ports: RwLock<FxHashMap<u16, Port<T>>>,
    next_id: AtomicU64,
    next_port: AtomicU32,
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Self { ports: RwLock::default(), next_id: AtomicU64::new(0), next_port: AtomicU32::new(0) }
    }
}

impl Claim {
    /// Whether packets to `ip` are for it, and how exactly it says so.
    fn score(&self, ip: IpAddr) -> Option<u32> {
        if self.ip == ip {
            return Some(4);
        }
        if !self.ip.is_unspecified() {
            return None;
        }
        match (self.ip, ip) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Some(2),
            (IpAddr::V6(_), IpAddr::V4(_)) if !self.only_v6 => Some(1),
            _ => None,
        }
    }

    /// Whether some packet would be for both (inet_rcv_saddr_equal).
    fn overlaps(&self, other: &Self) -> bool {
        let both_any = self.ip.is_unspecified() && other.ip.is_unspecified();
        if both_any {
            let mixed = self.ip.is_ipv4() != other.ip.is_ipv4();
            return !mixed || !(self.only_v6 || other.only_v6);
        }
        self.score(other.ip).is_some() || other.score(self.ip).is_some()
    }
}

/// Whether two sockets may have one port although a packet would be for both.
fn may_share(one: &Claim, two: &Claim, one_listens: bool) -> bool {
    let by_address = one.reuses_address && two.reuses_address && !one_listens;
    let by_port = one.reuses_port && two.reuses_port && one.uid == two.uid;
    by_address || by_port
}

impl<T> Port<T> {
    /// Whether `claim` must not have the port, which it has already when it is `own`.
    fn conflicts(&self, claim: &Claim, own: Option<u64>) -> bool {
        let mut others = self.entries.iter().filter(|entry| Some(entry.id) != own);
        let is_taken =
            others.any(|entry| entry.claim.overlaps(claim) && !may_share(&entry.claim, claim, entry.listens));
        let is_busy = own.is_none()
            && self.accepted.iter().any(|&(ip, shares, _)| {
                claim.score(ip).is_some() && !(shares && (claim.reuses_address || claim.reuses_port))
            });
        is_taken || is_busy
    }

    fn is_free(&self) -> bool {
        self.entries.is_empty() && self.accepted.is_empty()
    }
}

impl<T> Ports<T> {
    /// Enters a socket at `port`, or at some free one for 0: EADDRINUSE.
    pub(super) fn bind(&self, port: u16, claim: Claim, socket: Weak<T>) -> SysResult<PortKey> {
        let mut ports = self.ports.write();
        let port = match port {
            0 => self.free_port(&ports).ok_or(Errno::EADDRINUSE)?,
            _ => port,
        };
        let entry = ports.entry(port).or_default();
        if entry.conflicts(&claim, None) {
            return Err(Errno::EADDRINUSE);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        entry.entries.push(Entry { id, claim, listens: false, remote: None, socket });
        Ok(PortKey { port, id })
    }

    fn free_port(&self, ports: &FxHashMap<u16, Port<T>>) -> Option<u16> {
        let count = u32::try_from(EPHEMERAL.len()).unwrap_or(1);
        let begin = self.next_port.fetch_add(1, Ordering::Relaxed);
        let at = |step: u32| {
            // A walk over the whole range that does not go from neighbour to neighbour: 10007 is a prime.
            let offset = u64::from(begin.wrapping_add(step) % count) * 10_007 % u64::from(count);
            EPHEMERAL.start() + u16::try_from(offset).unwrap_or(0)
        };
        (0..count).map(at).find(|port| ports.get(port).is_none_or(Port::is_free))
    }

    /// The socket begins to listen: EADDRINUSE when another one that shares its address does.
    pub(super) fn listen(&self, key: PortKey) -> SysResult<()> {
        let mut ports = self.ports.write();
        let port = ports.get_mut(&key.port).ok_or(Errno::EINVAL)?;
        let own = port.entries.iter().find(|entry| entry.id == key.id).ok_or(Errno::EINVAL)?;
        let claim = own.claim;
        if port.conflicts(&claim, Some(key.id)) {
            return Err(Errno::EADDRINUSE);
        }
        port.change(key, |entry| entry.listens = true);
        Ok(())
    }

    /// Gives the socket its address, and whom it hears.
    pub(super) fn connect(&self, key: PortKey, ip: IpAddr, remote: Option<Endpoint>) {
        if let Some(port) = self.ports.write().get_mut(&key.port) {
            port.change(key, |entry| {
                entry.claim.ip = ip;
                entry.remote = remote;
            });
        }
    }

    /// Takes a socket out.
    pub(super) fn release(&self, key: PortKey) {
        self.change(key.port, |port| port.entries.retain(|entry| entry.id != key.id));
    }

    /// Counts an accepted connection.
    pub(super) fn hold(&self, local: Endpoint, shares: bool) {
        let mut ports = self.ports.write();
        let accepted = &mut ports.entry(local.port).or_default().accepted;
        match accepted.iter_mut().find(|(ip, with, _)| *ip == local.ip && *with == shares) {
            Some((_, _, count)) => *count += 1,
            None => accepted.push((local.ip, shares, 1)),
        }
    }

    /// An accepted connection is gone.
    pub(super) fn unhold(&self, local: Endpoint, shares: bool) {
        self.change(local.port, |port| {
            let found = port.accepted.iter_mut().find(|(ip, with, _)| *ip == local.ip && *with == shares);
            if let Some((_, _, count)) = found {
                *count -= 1;
            }
            port.accepted.retain(|&(_, _, count)| count > 0);
        });
    }

    fn change(&self, number: u16, change: impl FnOnce(&mut Port<T>)) {
        let mut ports = self.ports.write();
        if let Some(port) = ports.get_mut(&number) {
            change(port);
            if port.is_free() {
                ports.remove(&number);
            }
        }
    }

    /// Whom a packet is for: the socket that says it most exactly, of several by SO_REUSEPORT one that the sender's
    /// address chooses, else the newest. `listening` asks for those that listen.
    pub(super) fn find(&self, to: Endpoint, from: Endpoint, listening: Listening) -> Option<Arc<T>> {
        let ports = self.ports.read();
        let score = |entry: &Entry<T>| {
            let exactness = entry.claim.score(to.ip)?;
            match entry.remote {
                Some(remote) if remote != from => None,
                Some(_) => Some(exactness + 8),
                None => Some(exactness),
            }
        };
        let may = |entry: &&Entry<T>| listening == Listening::Any || entry.listens;
        let all = || ports.get(&to.port).into_iter().flat_map(|port| &port.entries).filter(may);
        let best = all().filter_map(score).max()?;
        let mut candidates = all().filter(|entry| score(entry) == Some(best));
        let newest = candidates.clone().next_back()?;
        let chosen = if newest.claim.reuses_port {
            let group = candidates.clone().count();
            let hash = FxBuildHasher.hash_one(from);
            // The high bits of this hash are the good ones.
            let at = usize::try_from(hash >> 33).unwrap_or(0) % group.max(1);
            candidates.nth(at).unwrap_or(newest)
        } else {
            newest
        };
        // Nothing may be dropped below the table's lock: a socket takes it when it goes away.
        chosen.socket.upgrade()
    }
}

impl<T> Ports<T> {
    /// All whom a packet to a group or a broadcast address is for.
    pub(super) fn find_all(&self, to: Endpoint, from: Endpoint) -> Vec<Arc<T>> {
        let ports = self.ports.read();
        let entries = ports.get(&to.port).into_iter().flat_map(|port| &port.entries);
        let is_for = |entry: &&Entry<T>| {
            entry.claim.score(to.ip).is_some() && entry.remote.is_none_or(|remote| remote == from)
        };
        entries.filter(is_for).filter_map(|entry| entry.socket.upgrade()).collect()
    }
}

impl<T> Port<T> {
    fn change(&mut self, key: PortKey, change: impl FnOnce(&mut Entry<T>)) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == key.id) {
            change(entry);
        }
    }
}

/// Which sockets [`Ports::find`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    Any,
    Only,
}
