//! User namespaces (user_namespaces(7); kernel/user_namespace.c, Linux v6.18).
//!
//! Ids in [`Credentials`](crate::cred::Credentials) and in inodes are the container's (Linux's kuid_t): those of the
//! initial namespace. A [`UserNamespace`] translates them at the border of the system calls, and capabilities
//! count relative to it. The initial one maps each id to itself.
//!
//! Lock order: `UserNamespace.settings` is a leaf.

mod map;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use abi_linux::{Errno, SysResult};

pub use self::map::{Extent, IdMap};
use crate::cred::{Cap, CapSet, Credentials};
use crate::sync::Mutex;

/// What an id without a mapping looks like (fs.overflowuid, fs.overflowgid).
pub const OVERFLOW_ID: u32 = 65534;
/// The owner of what belongs to nobody (INVALID_UID, INVALID_GID).
pub const INVALID_ID: u32 = u32::MAX;
/// How deep namespaces may be nested (create_user_ns).
const MAX_LEVEL: u32 = 32;
/// Most namespaces of one kind (user.max_*_namespaces).
pub const MAX_NAMESPACES: usize = 1024;

/// Kinds of namespaces, with their clone(2) flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    Cgroup = 0x0200_0000,
    Ipc = 0x0800_0000,
    Mnt = 0x0002_0000,
    Net = 0x4000_0000,
    Pid = 0x2000_0000,
    Time = 0x0000_0080,
    User = 0x1000_0000,
    Uts = 0x0400_0000,
}

impl NamespaceKind {
    /// All of them, in the order of /proc/pid/ns.
    pub const ALL: [Self; 8] =
        [Self::Cgroup, Self::Ipc, Self::Mnt, Self::Net, Self::Pid, Self::Time, Self::User, Self::Uts];

    /// CLONE_NEW*.
    #[must_use]
    pub const fn flag(self) -> u32 {
        self as u32
    }

    /// Its name in /proc/pid/ns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mnt => "mnt",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    /// The number of the initial one (include/uapi/linux/nsfs.h).
    #[must_use]
    pub const fn initial_number(self) -> u64 {
        match self {
            Self::Mnt => 0xefff_fff8,
            Self::Net => 0xefff_fff9,
            Self::Time => 0xefff_fffa,
            Self::Cgroup => 0xefff_fffb,
            Self::Pid => 0xefff_fffc,
            Self::User => 0xefff_fffd,
            Self::Uts => 0xefff_fffe,
            Self::Ipc => 0xefff_ffff,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Cgroup => 0,
            Self::Ipc => 1,
            Self::Mnt => 2,
            Self::Net => 3,
            Self::Pid => 4,
            Self::Time => 5,
            Self::User => 6,
            Self::Uts => 7,
        }
    }
}

static COUNTS: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
/// Numbers of namespaces made later (PROC_DYNAMIC_FIRST); never used again.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0xf000_0000);
/// Whether there ever was a user namespace besides the initial one.
static IS_NESTED: AtomicBool = AtomicBool::new(false);

/// A namespace's number, and its place among those that may exist.
#[derive(Debug)]
pub struct NamespaceId {
    kind: NamespaceKind,
    number: u64,
}

impl NamespaceId {
    /// That of an initial namespace, which counts for nothing.
    #[must_use]
    pub const fn initial(kind: NamespaceKind) -> Self {
        Self { kind, number: kind.initial_number() }
    }

    /// A new one; ENOSPC when there are too many.
    pub fn allocate(kind: NamespaceKind) -> SysResult<Self> {
        let count = COUNTS.get(kind.index()).ok_or(Errno::EINVAL)?;
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_NAMESPACES {
            count.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(Self { kind, number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// Its number: the inode's in /proc/pid/ns.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for NamespaceId {
    fn drop(&mut self) {
        if self.number != self.kind.initial_number()
            && let Some(count) = COUNTS.get(self.kind.index())
        {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Which ids a map is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    User,
    Group,
    Project,
}

#[derive(Debug)]
struct Settings {
    may_setgroups: bool,
}

/// One user namespace.
#[derive(Debug)]
pub struct UserNamespace {
    id: NamespaceId,
    parent: Option<Arc<UserNamespace>>,
    level: u32,
    owner: u32,
    group: u32,
    parent_could_setfcap: bool,
    maps: [OnceLock<IdMap>; 3],
    settings: Mutex<Settings>,
}

impl PartialEq for UserNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.id.number == other.id.number
    }
}

impl Eq for UserNamespace {}

static INITIAL: LazyLock<Arc<UserNamespace>> = LazyLock::new(|| {
    Arc::new(UserNamespace {
        id: NamespaceId::initial(NamespaceKind::User),
        parent: None,
        level: 0,
        owner: 0,
        group: 0,
        parent_could_setfcap: false,
        maps: [IdMap::identity(), IdMap::identity(), IdMap::identity()].map(OnceLock::from),
        settings: Mutex::new(Settings { may_setgroups: true }),
    })
});

impl UserNamespace {
    /// The container's own.
    #[must_use]
    pub fn initial() -> &'static Arc<Self> {
        &INITIAL
    }

    /// Has ids looked at before they are shown, as when another namespace exists: some may be [`INVALID_ID`].
    pub fn expect_invalid_ids() {
        IS_NESTED.store(true, Ordering::Relaxed);
    }

    /// Whether any other may exist: where not, no id needs translation.
    #[must_use]
    pub fn is_any_nested() -> bool {
        IS_NESTED.load(Ordering::Relaxed)
    }

    /// The credentials of `creator` in a new namespace of its own (create_user_ns, set_cred_user_ns).
    pub fn create(creator: &Credentials) -> SysResult<Credentials> {
        let parent = &creator.user_ns;
        if parent.level > MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        if parent.from_uid(creator.euid).is_none() || parent.from_gid(creator.egid).is_none() {
            return Err(Errno::EPERM);
        }
        let may_setgroups = parent.settings.lock().may_setgroups;
        let namespace = Self {
            id: NamespaceId::allocate(NamespaceKind::User)?,
            parent: Some(Arc::clone(parent)),
            level: parent.level + 1,
            owner: creator.euid,
            group: creator.egid,
            parent_could_setfcap: creator.effective.contains(Cap::SETFCAP),
            maps: [const { OnceLock::new() }; 3],
            settings: Mutex::new(Settings { may_setgroups }),
        };
        IS_NESTED.store(true, Ordering::Relaxed);
        Ok(creator.clone().entering(Arc::new(namespace)))
    }

    /// One in which a container starts, with its maps there from the beginning: their outside ids are the host's.
    pub fn of_container(users: IdMap, groups: IdMap) -> SysResult<Arc<Self>> {
        let parent = Self::initial();
        let maps = [users, groups, IdMap::identity()].map(OnceLock::from);
        IS_NESTED.store(true, Ordering::Relaxed);
        Ok(Arc::new(Self {
            id: NamespaceId::allocate(NamespaceKind::User)?,
            parent: Some(Arc::clone(parent)),
            level: parent.level + 1,
            owner: 0,
            group: 0,
            parent_could_setfcap: true,
            maps,
            settings: Mutex::new(Settings { may_setgroups: true }),
        }))
    }

    /// Its number and kind.
    #[must_use]
    pub fn id(&self) -> &NamespaceId {
        &self.id
    }

    /// The one that it was made in.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// The user who made it.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// The group of who made it.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Whether it is the container's own.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.parent.is_none()
    }

    /// Whether it is `other` or made below it (in_userns).
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let mut here = self;
        loop {
            if here == other {
                return true;
            }
            let Some(parent) = &here.parent else { return false };
            here = parent;
        }
    }

    fn map(&self, kind: IdKind) -> &OnceLock<IdMap> {
        let [users, groups, projects] = &self.maps;
        match kind {
            IdKind::User => users,
            IdKind::Group => groups,
            IdKind::Project => projects,
        }
    }

    /// The container's id for one of this namespace (make_kuid, make_kgid).
    #[must_use]
    pub fn to_container(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.map(kind).get()?.down(id)
    }

    /// This namespace's id for one of the container (from_kuid, from_kgid).
    #[must_use]
    pub fn to_local(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.map(kind).get()?.up(id)
    }

    /// [`Self::to_container`] of a user.
    #[must_use]
    pub fn uid(&self, id: u32) -> Option<u32> {
        self.to_container(IdKind::User, id)
    }

    /// [`Self::to_container`] of a group.
    #[must_use]
    pub fn gid(&self, id: u32) -> Option<u32> {
        self.to_container(IdKind::Group, id)
    }

    /// [`Self::to_local`] of a user.
    #[must_use]
    pub fn from_uid(&self, id: u32) -> Option<u32> {
        self.to_local(IdKind::User, id)
    }

    /// [`Self::to_local`] of a group.
    #[must_use]
    pub fn from_gid(&self, id: u32) -> Option<u32> {
        self.to_local(IdKind::Group, id)
    }

    /// How a user looks from here (from_kuid_munged).
    #[must_use]
    pub fn show_uid(&self, id: u32) -> u32 {
        if self.is_initial() && id != INVALID_ID { id } else { self.from_uid(id).unwrap_or(OVERFLOW_ID) }
    }

    /// How a group looks from here (from_kgid_munged).
    #[must_use]
    pub fn show_gid(&self, id: u32) -> u32 {
        if self.is_initial() && id != INVALID_ID { id } else { self.from_gid(id).unwrap_or(OVERFLOW_ID) }
    }

    /// Whether an inode of this owner belongs here (privileged_wrt_inode_uidgid).
    #[must_use]
    pub fn owns(&self, uid: u32, gid: u32) -> bool {
        if self.is_initial() {
            return uid != INVALID_ID && gid != INVALID_ID;
        }
        self.from_uid(uid).is_some() && self.from_gid(gid).is_some()
    }

    /// Whether setgroups(2) is possible at all (userns_may_setgroups).
    #[must_use]
    pub fn may_setgroups(&self) -> bool {
        self.map(IdKind::Group).get().is_some() && self.settings.lock().may_setgroups
    }

    /// What /proc/pid/setgroups says.
    #[must_use]
    pub fn allows_setgroups(&self) -> bool {
        self.settings.lock().may_setgroups
    }

    /// A write to /proc/pid/setgroups (proc_setgroups_write).
    pub fn set_allows_setgroups(&self, allow: bool) -> SysResult<()> {
        let mut settings = self.settings.lock();
        let refused = if allow { !settings.may_setgroups } else { self.map(IdKind::Group).get().is_some() };
        if refused {
            return Err(Errno::EPERM);
        }
        settings.may_setgroups = allow;
        Ok(())
    }

    /// The extents of a map, in the order written, as a reader in `reader` sees them (m_start, uid_m_show).
    #[must_use]
    pub fn show_map(&self, kind: IdKind, reader: &Self) -> Vec<Extent> {
        let Some(map) = self.map(kind).get() else { return Vec::new() };
        let own = reader == self;
        let lower = if own { self.parent.as_deref().unwrap_or(self) } else { reader };
        let shown = |extent: &Extent| Extent {
            lower: lower.to_local(kind, extent.lower).unwrap_or(u32::MAX),
            ..*extent
        };
        map.extents().iter().map(shown).collect()
    }

    /// A write to /proc/pid/{uid,gid,projid}_map by `writer`, through a file opened by `opener` (map_write).
    pub fn write_map(
        &self,
        kind: IdKind,
        text: &[u8],
        writer: &Credentials,
        opener: &Credentials,
    ) -> SysResult<()> {
        let parent = self.parent.as_ref().ok_or(Errno::EPERM)?;
        let from = &opener.user_ns;
        if **from != *self && from != parent {
            return Err(Errno::EPERM);
        }
        let settings = self.settings.lock();
        let slot = self.map(kind);
        let administers = kind == IdKind::Project || opener.has_in(self, Cap::SYS_ADMIN);
        if slot.get().is_some() || !administers {
            return Err(Errno::EPERM);
        }
        let mut map = IdMap::parse(text)?;
        if !self.permits(kind, &map, &settings, writer, opener) {
            return Err(Errno::EPERM);
        }
        let below = parent.map(kind).get().ok_or(Errno::EPERM)?;
        map.lower_into(below)?;
        slot.set(map).map_err(|_| Errno::EPERM)
    }

    /// new_idmap_permitted, verify_root_map.
    fn permits(
        &self,
        kind: IdKind,
        map: &IdMap,
        settings: &Settings,
        writer: &Credentials,
        opener: &Credentials,
    ) -> bool {
        let Some(parent) = &self.parent else { return false };
        if kind == IdKind::User && map.extents().iter().any(|extent| extent.lower == 0) {
            let may = if *opener.user_ns == *self {
                self.parent_could_setfcap
            } else {
                opener.has_in(parent, Cap::SETFCAP)
            };
            if !may {
                return false;
            }
        }
        if let [Extent { lower, count: 1, .. }] = *map.extents()
            && self.owner == opener.euid
        {
            let is_own = match kind {
                IdKind::User => parent.uid(lower) == Some(opener.euid),
                IdKind::Group => !settings.may_setgroups && parent.gid(lower) == Some(opener.egid),
                IdKind::Project => false,
            };
            if is_own {
                return true;
            }
        }
        let cap = match kind {
            IdKind::User => Cap::SETUID,
            IdKind::Group => Cap::SETGID,
            IdKind::Project => return true,
        };
        writer.has_in(parent, cap) && opener.has_in(parent, cap)
    }
}

impl Credentials {
    /// As a member of `namespace`, with all capabilities there (set_cred_user_ns).
    #[must_use]
    pub fn entering(mut self, namespace: Arc<UserNamespace>) -> Self {
        self.securebits = 0;
        self.inheritable = CapSet::EMPTY;
        self.permitted = CapSet::ALL;
        self.effective = CapSet::ALL;
        self.ambient = CapSet::EMPTY;
        self.bounding = CapSet::ALL;
        self.user_ns = namespace;
        self
    }
}

#[cfg(test)]
mod tests;
