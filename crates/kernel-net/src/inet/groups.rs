//! Multicast groups (ip(7), ipv6(7); net/ipv4/igmp.c, net/ipv6/mcast.c; Linux v6.18). lo has no route to a group: it is
//! joined, and sent to, by who names the interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::sync::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use super::Network;
use super::address::{AF_INET, AF_INET6, LOOPBACK_INDEX, Version, family, is_local};
use super::settings::{IP, IPV6, name};

/// net.ipv4.igmp_max_memberships. v6 has none but the socket's memory.
const MOST: usize = 20;
/// `struct ip_mreq`, `ip_mreqn`, `ipv6_mreq` and `group_req`.
const MREQ: usize = 8;
const MREQN: usize = 12;
const MREQ_V6: usize = 20;
const GROUP_REQ: usize = 136;

/// Which groups have members in a namespace, and how many.
#[derive(Default)]
pub(super) struct Groups(RwLock<FxHashMap<IpAddr, usize>>);

impl Groups {
    /// Whether lo takes packets to a group.
    pub(super) fn has(&self, group: IpAddr) -> bool {
        group == IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)) || self.0.read().contains_key(&group)
    }

    fn leave(&self, group: IpAddr) {
        let mut groups = self.0.write();
        if let Some(count) = groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                groups.remove(&group);
            }
        }
    }
}

#[derive(Default)]
struct State {
    joined: Vec<IpAddr>,
    /// IP_MULTICAST_IF: the interface's address; zeroes when it was given by its number.
    outgoing: Option<Ipv4Addr>,
}

/// The groups of one socket.
pub(super) struct Memberships {
    network: Arc<Network>,
    state: Mutex<State>,
}

impl Drop for Memberships {
    fn drop(&mut self) {
        let joined = std::mem::take(&mut self.state.get_mut().joined);
        joined.into_iter().for_each(|group| self.network.groups.leave(group));
    }
}

/// A group, and lo, if an interface was named at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    group: IpAddr,
    has_interface: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Join(Wanted),
    Leave(Wanted),
    /// IP_MULTICAST_IF.
    Outgoing(Option<Ipv4Addr>),
}

fn word(bytes: &[u8], at: usize) -> SysResult<[u8; 4]> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(Errno::EINVAL)
}

/// Whether lo is named, and not another interface.
fn by_index(index: [u8; 4]) -> SysResult<bool> {
    match u32::from_ne_bytes(index) {
        0 => Ok(false),
        LOOPBACK_INDEX => Ok(true),
        _ => Err(Errno::ENODEV),
    }
}

fn by_address(address: [u8; 4], otherwise: Errno) -> SysResult<bool> {
    let address = Ipv4Addr::from(address);
    match address.is_unspecified() {
        true => Ok(false),
        false if is_local(address.into()) => Ok(true),
        false => Err(otherwise),
    }
}

fn wanted_v4(value: &[u8]) -> SysResult<Wanted> {
    if value.len() < MREQ {
        return Err(Errno::EINVAL);
    }
    let group = IpAddr::from(word(value, 0)?);
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let by_number = value.len() >= MREQN && by_index(word(value, 8)?)?;
    let has_interface = by_number || by_address(word(value, 4)?, Errno::ENODEV)?;
    Ok(Wanted { group, has_interface })
}

fn wanted_v6(value: &[u8]) -> SysResult<Wanted> {
    if value.len() < MREQ_V6 {
        return Err(Errno::EINVAL);
    }
    let group: [u8; 16] = value.first_chunk().copied().ok_or(Errno::EINVAL)?;
    checked(Ipv6Addr::from(group).into(), by_index(word(value, 16)?)?)
}

fn checked(group: IpAddr, has_interface: bool) -> SysResult<Wanted> {
    if group.is_multicast() { Ok(Wanted { group, has_interface }) } else { Err(Errno::EINVAL) }
}

/// `struct group_req`.
fn wanted_any(value: &[u8], version: Version) -> SysResult<Wanted> {
    if value.len() < GROUP_REQ {
        return Err(Errno::EINVAL);
    }
    let address = value.get(8..).unwrap_or_default();
    let group = match (version, family(address)) {
        (Version::V4, Some(AF_INET)) => IpAddr::from(word(address, 4)?),
        (Version::V6, Some(AF_INET6)) => {
            let octets: [u8; 16] =
                address.get(8..).and_then(<[u8]>::first_chunk).copied().ok_or(Errno::EINVAL)?;
            Ipv6Addr::from(octets).into()
        }
        _ => return Err(Errno::EINVAL),
    };
    checked(group, by_index(word(value, 0)?)?)
}

/// `struct in_addr`, `ip_mreq` or `ip_mreqn`.
fn outgoing(value: &[u8]) -> SysResult<Option<Ipv4Addr>> {
    let address = if value.len() >= MREQ { word(value, 4)? } else { word(value, 0)? };
    if value.len() >= MREQN && by_index(word(value, 8)?).map_err(|_| Errno::EADDRNOTAVAIL)? {
        return Ok(Some(address.into()));
    }
    Ok(by_address(address, Errno::EADDRNOTAVAIL)?.then_some(address.into()))
}

/// What an option changes; `None` when it is none of these.
fn change((level, option): (i32, i32), value: &[u8], version: Version) -> Option<SysResult<Change>> {
    let is_v6 = version == Version::V6;
    Some(match (level, option) {
        (IP, name::IP_ADD_MEMBERSHIP) => wanted_v4(value).map(Change::Join),
        (IP, name::IP_DROP_MEMBERSHIP) => wanted_v4(value).map(Change::Leave),
        (IP, name::IP_MULTICAST_IF) => outgoing(value).map(Change::Outgoing),
        (IP, name::MCAST_JOIN_GROUP) => wanted_any(value, Version::V4).map(Change::Join),
        (IP, name::MCAST_LEAVE_GROUP) => wanted_any(value, Version::V4).map(Change::Leave),
        (IPV6, name::IPV6_ADD_MEMBERSHIP) if is_v6 => wanted_v6(value).map(Change::Join),
        (IPV6, name::IPV6_DROP_MEMBERSHIP) if is_v6 => wanted_v6(value).map(Change::Leave),
        (IPV6, name::MCAST_JOIN_GROUP) if is_v6 => wanted_any(value, version).map(Change::Join),
        (IPV6, name::MCAST_LEAVE_GROUP) if is_v6 => wanted_any(value, version).map(Change::Leave),
        _ => return None,
    })
}

impl Memberships {
    pub(super) fn new(network: &Arc<Network>) -> Self {
        Self { network: Arc::clone(network), state: Mutex::default() }
    }

    /// setsockopt(2); `None` when the option is none of these.
    pub(super) fn set(&self, option: (i32, i32), value: &[u8], version: Version) -> Option<SysResult<()>> {
        let change = match change(option, value, version)? {
            Ok(change) => change,
            Err(errno) => return Some(Err(errno)),
        };
        Some(match change {
            Change::Join(wanted) => self.join(wanted),
            Change::Leave(wanted) => self.leave(wanted),
            Change::Outgoing(address) => {
                self.state.lock().outgoing = address;
                Ok(())
            }
        })
    }

    fn join(&self, wanted: Wanted) -> SysResult<()> {
        // ip_mc_join_group looks for the interface first, ipv6_sock_mc_join at what it has.
        if !wanted.has_interface && wanted.group.is_ipv4() {
            return Err(Errno::ENODEV);
        }
        let mut state = self.state.lock();
        if state.joined.contains(&wanted.group) {
            return Err(Errno::EADDRINUSE);
        }
        if !wanted.has_interface {
            return Err(Errno::ENODEV);
        }
        if state.joined.len() >= MOST {
            return Err(Errno::ENOBUFS);
        }
        state.joined.push(wanted.group);
        *self.network.groups.0.write().entry(wanted.group).or_default() += 1;
        Ok(())
    }

    fn leave(&self, wanted: Wanted) -> SysResult<()> {
        if !wanted.has_interface && wanted.group.is_ipv4() {
            return Err(Errno::ENODEV);
        }
        let mut state = self.state.lock();
        let at = state.joined.iter().position(|group| *group == wanted.group).ok_or(Errno::EADDRNOTAVAIL)?;
        state.joined.swap_remove(at);
        self.network.groups.leave(wanted.group);
        Ok(())
    }

    /// Whether this socket is a member.
    pub(super) fn has(&self, group: IpAddr) -> bool {
        self.state.lock().joined.contains(&group)
    }

    /// IP_MULTICAST_IF.
    pub(super) fn outgoing(&self) -> Option<Ipv4Addr> {
        self.state.lock().outgoing
    }
}

#[cfg(test)]
mod tests {
    use super::{Memberships, Network, change};
    use crate::inet::address::Version;
    use crate::inet::settings::{IP, IPV6, name};
    use abi_linux::Errno;
    use proptest::prelude::{any, proptest};
    use std::sync::Arc;

    #[test]
    fn groups_are_joined_once_and_left_at_the_end() {
        let network = Arc::<Network>::default();
        let one = Memberships::new(&network);
        let join = (IP, name::IP_ADD_MEMBERSHIP);
        let lo = [224, 9, 9, 9, 127, 0, 0, 1];
        assert_eq!(one.set(join, &lo[..7], Version::V4), Some(Err(Errno::EINVAL)));
        assert_eq!(one.set(join, &[224, 9, 9, 9, 0, 0, 0, 0], Version::V4), Some(Err(Errno::ENODEV)));
        assert_eq!(one.set(join, &lo, Version::V4), Some(Ok(())));
        assert_eq!(one.set(join, &lo, Version::V4), Some(Err(Errno::EADDRINUSE)));
        assert!(network.groups.has([224, 9, 9, 9].into()));
        drop(one);
        assert!(!network.groups.has([224, 9, 9, 9].into()));
    }

    proptest! {
        #[test]
        fn any_request_is_judged(
            level in 0i32..2, option in 15i32..50, value in proptest::collection::vec(any::<u8>(), 0..140),
        ) {
            let level = if level == 0 { IP } else { IPV6 };
            for version in [Version::V4, Version::V6] {
                let _ = change((level, option), &value, version);
            }
        }
    }
}
