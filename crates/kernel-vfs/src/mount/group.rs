//! Who hears of whose mounts: peer groups and their slaves (fs/pnode.c, Linux v6.18;
//! Documentation/filesystems/sharedsubtree.rst).
//!
//! Linux threads rings of mounts; here a [`PeerGroup`] lists its members and those that only receive. All
//! members of a group have the same master, so a group is as good a master as one of its mounts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use kernel_base::sync::Mutex;

use super::copy::Copying;
use super::{Mount, check_total};
use crate::dentry::Dentry;

/// Propagation type (mount(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Shared,
    Slave,
    Private,
    Unbindable,
}

/// A mount's part in propagation.
#[derive(Default)]
pub(super) struct Links {
    peers: Option<Arc<PeerGroup>>,
    master: Option<Arc<PeerGroup>>,
    is_unbindable: bool,
}

/// Mounts that tell each other.
pub(super) struct PeerGroup {
    id: u64,
    members: Mutex<Vec<Weak<Mount>>>,
    /// Mounts that it tells, and does not hear.
    slaves: Mutex<Vec<Weak<Mount>>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn alive(list: &Mutex<Vec<Weak<Mount>>>) -> Vec<Arc<Mount>> {
    list.lock().iter().filter_map(Weak::upgrade).collect()
}

fn add(list: &Mutex<Vec<Weak<Mount>>>, mount: &Arc<Mount>) {
    let mut list = list.lock();
    list.retain(|known| known.strong_count() > 0);
    list.push(Arc::downgrade(mount));
}

fn remove(list: &Mutex<Vec<Weak<Mount>>>, mount: &Mount) {
    list.lock().retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), mount));
}

impl PeerGroup {
    fn new() -> Arc<Self> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, members: Mutex::default(), slaves: Mutex::default() })
    }

    fn is_empty(&self) -> bool {
        self.members.lock().iter().all(|member| member.strong_count() == 0)
    }

    /// Its last member is gone: who heard it hears its own master from now on, or nobody.
    fn dissolve(&self, master: Option<&Arc<Self>>) {
        for slave in alive(&self.slaves) {
            slave.links.lock().master = master.map(Arc::clone);
            if let Some(master) = master {
                add(&master.slaves, &slave);
            }
        }
    }
}

impl Mount {
    /// The id of its peer group, if it is shared.
    #[must_use]
    pub fn peer_group(&self) -> Option<u64> {
        self.links.lock().peers.as_ref().map(|group| group.id)
    }

    /// The id of the group that it receives from, if it is a slave.
    #[must_use]
    pub fn master_group(&self) -> Option<u64> {
        self.links.lock().master.as_ref().map(|group| group.id)
    }

    /// The id of the nearest group that it receives from and that has a mount below `seen`
    /// (get_dominating_id).
    #[must_use]
    pub fn dominating_group(&self, seen: &dyn Fn(&Arc<Self>) -> bool) -> Option<u64> {
        let mut master = self.links.lock().master.clone();
        while let Some(group) = master {
            let members = alive(&group.members);
            if members.iter().any(seen) {
                return Some(group.id);
            }
            master = members.first().and_then(|member| member.links.lock().master.clone());
        }
        None
    }

    /// Whether it may not be the source of a bind.
    #[must_use]
    pub fn is_unbindable(&self) -> bool {
        self.links.lock().is_unbindable
    }

    pub(super) fn is_shared(&self) -> bool {
        self.links.lock().peers.is_some()
    }

    fn peers(&self) -> Option<Arc<PeerGroup>> {
        self.links.lock().peers.clone()
    }

    fn join(self: &Arc<Self>, group: &Arc<PeerGroup>) {
        self.links.lock().peers = Some(Arc::clone(group));
        add(&group.members, self);
    }

    fn follow(self: &Arc<Self>, master: &Arc<PeerGroup>) {
        self.links.lock().master = Some(Arc::clone(master));
        add(&master.slaves, self);
    }

    /// Leaves its peers; the group, if others are still in it.
    fn leave_peers(&self) -> Option<Arc<PeerGroup>> {
        let (group, master) = {
            let mut links = self.links.lock();
            (links.peers.take()?, links.master.clone())
        };
        remove(&group.members, self);
        if group.is_empty() {
            group.dissolve(master.as_ref());
            return None;
        }
        Some(group)
    }

    fn leave_master(&self) {
        let master = self.links.lock().master.take();
        if let Some(master) = master {
            remove(&master.slaves, self);
        }
    }

    /// Neither tells nor hears from now on.
    pub(super) fn leave(&self) {
        self.leave_peers();
        self.leave_master();
    }

    /// Makes it shared; whether it was not.
    pub(super) fn share(self: &Arc<Self>) -> bool {
        self.links.lock().is_unbindable = false;
        if self.is_shared() {
            return false;
        }
        self.join(&PeerGroup::new());
        true
    }

    /// Changes its type (change_mnt_propagation).
    pub(super) fn set_propagation(self: &Arc<Self>, to: Propagation) {
        match to {
            Propagation::Shared => {
                self.share();
            }
            Propagation::Slave => {
                self.links.lock().is_unbindable = false;
                if let Some(group) = self.leave_peers() {
                    self.leave_master();
                    self.follow(&group);
                }
            }
            Propagation::Private | Propagation::Unbindable => {
                self.leave();
                self.links.lock().is_unbindable = to == Propagation::Unbindable;
            }
        }
    }

    /// Takes the place in propagation that a copy of `old` has.
    pub(super) fn take_links(self: &Arc<Self>, old: &Self, how: Copying) {
        let (peers, master, is_unbindable) = {
            let links = old.links.lock();
            (links.peers.clone(), links.master.clone(), links.is_unbindable)
        };
        self.links.lock().is_unbindable = is_unbindable;
        let as_slave = match how {
            Copying::Same => false,
            Copying::Slave | Copying::SharedSlave | Copying::SlaveIfShared => peers.is_some(),
        };
        if as_slave {
            if let Some(peers) = &peers {
                self.follow(peers);
            }
            if how == Copying::SharedSlave {
                self.share();
            }
            return;
        }
        if let Some(peers) = &peers {
            self.join(peers);
        }
        if let Some(master) = &master {
            self.follow(master);
        }
    }

    /// All that receive what happens on this mount, other than itself.
    pub(super) fn receivers(&self) -> Vec<Arc<Self>> {
        let mut found = Vec::new();
        let mut groups: Vec<_> = self.peers().into_iter().collect();
        let mut next = 0;
        while let Some(group) = groups.get(next).map(Arc::clone) {
            found.extend(alive(&group.members).into_iter().filter(|member| member.id != self.id));
            for slave in alive(&group.slaves) {
                match slave.peers() {
                    None => found.push(slave),
                    Some(peers) if groups.iter().any(|known| known.id == peers.id) => {}
                    Some(peers) => groups.push(peers),
                }
            }
            next += 1;
        }
        found
    }

    /// Copies `source`, which is shared, for all that receive what happens at `at` of this mount: each with the mount
    /// that it goes on (propagate_mnt).
    pub(super) fn propagate(
        &self,
        at: &Arc<Dentry>,
        source: &Arc<Self>,
    ) -> SysResult<Vec<(Arc<Self>, Arc<Self>)>> {
        let mut made = Vec::new();
        let mut put = |on: Arc<Self>, source: &Arc<Self>, how| {
            check_total(1)?;
            let copy = source.copy_whole(how)?;
            made.push((on, Arc::clone(&copy)));
            Ok(copy)
        };
        let shows = |mount: &Arc<Self>| at.is_within(mount.root());
        let mut pending: Vec<_> =
            self.peers().map(|group| (group, Arc::clone(source), self.id)).into_iter().collect();
        while let Some((group, source, done)) = pending.pop() {
            for member in
                alive(&group.members).into_iter().filter(|member| member.id != done && shows(member))
            {
                put(member, &source, Copying::Same)?;
            }
            let mut met = Vec::new();
            for slave in alive(&group.slaves) {
                let Some(peers) = slave.peers() else {
                    if shows(&slave) {
                        put(slave, &source, Copying::Slave)?;
                    }
                    continue;
                };
                if met.contains(&peers.id) {
                    continue;
                }
                met.push(peers.id);
                match alive(&peers.members).into_iter().find(shows) {
                    Some(first) => {
                        let id = first.id;
                        let copy = put(first, &source, Copying::SharedSlave)?;
                        pending.push((peers, copy, id));
                    }
                    // None of them shows the place; their slaves may.
                    None => pending.push((peers, Arc::clone(&source), 0)),
                }
            }
        }
        Ok(made)
    }
}
