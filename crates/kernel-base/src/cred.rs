//! Credentials of a guest process: virtual ids and capabilities (credentials(7), capabilities(7)).

use std::sync::Arc;

use crate::user_ns::UserNamespace;

/// A set of capabilities, bit `n` for capability `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

/// A capability's number (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap(pub u8);

macro_rules! caps { ($($name:ident = $n:literal;)*) => { impl Cap { $(#[doc = concat!("capability ", $n)] pub const $name: Self = Self($n);)* } }; }
caps! {
    CHOWN = 0; DAC_OVERRIDE = 1; DAC_READ_SEARCH = 2; FOWNER = 3; FSETID = 4; KILL = 5; SETGID = 6; SETUID = 7;
    SETPCAP = 8; LINUX_IMMUTABLE = 9; NET_BIND_SERVICE = 10; NET_BROADCAST = 11; NET_ADMIN = 12; NET_RAW = 13;
    IPC_LOCK = 14; IPC_OWNER = 15; SYS_MODULE = 16; SYS_RAWIO = 17; SYS_CHROOT = 18; SYS_PTRACE = 19;
    SYS_PACCT = 20; SYS_ADMIN = 21; SYS_BOOT = 22; SYS_NICE = 23; SYS_RESOURCE = 24; SYS_TIME = 25;
    SYS_TTY_CONFIG = 26; MKNOD = 27; LEASE = 28; AUDIT_WRITE = 29; AUDIT_CONTROL = 30; SETFCAP = 31;
    MAC_OVERRIDE = 32; MAC_ADMIN = 33; SYSLOG = 34; WAKE_ALARM = 35; BLOCK_SUSPEND = 36; AUDIT_READ = 37;
    PERFMON = 38; BPF = 39; CHECKPOINT_RESTORE = 40;
}
/// Highest capability (CAP_LAST_CAP, Linux v6.18).
pub const CAP_LAST: u8 = 40;

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability of Linux v6.18.
    pub const ALL: Self = Self((1 << (CAP_LAST + 1)) - 1);
    /// What Docker and containerd grant by default.
    pub const CONTAINER_DEFAULT: Self = Self(0xa804_25fb);

    /// Whether `cap` is in the set.
    #[must_use]
    pub const fn contains(self, cap: Cap) -> bool {
        self.0 & (1 << cap.0) != 0
    }
    /// The set with `cap` added.
    #[must_use]
    pub const fn with(self, cap: Cap) -> Self {
        Self(self.0 | 1 << cap.0)
    }
    /// The set without `cap`.
    #[must_use]
    pub const fn without(self, cap: Cap) -> Self {
        Self(self.0 & !(1 << cap.0))
    }
}

/// `struct cred` of a process. Immutable: a change replaces it, so a path walk sees one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub ruid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub rgid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Arc<[u32]>,
    pub permitted: CapSet,
    pub effective: CapSet,
    pub inheritable: CapSet,
    pub bounding: CapSet,
    pub ambient: CapSet,
    pub securebits: u32,
    pub no_new_privs: bool,
    /// Where its capabilities count and how it sees ids.
    pub user_ns: Arc<UserNamespace>,
}

impl Credentials {
    /// A user with no supplementary groups; root gets `caps`, others none.
    #[must_use]
    pub fn new(uid: u32, gid: u32, caps: CapSet) -> Self {
        let held = if uid == 0 { caps } else { CapSet::EMPTY };
        Self {
            ruid: uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Arc::from([]),
            permitted: held,
            effective: held,
            inheritable: CapSet::EMPTY,
            bounding: caps,
            ambient: CapSet::EMPTY,
            securebits: 0,
            no_new_privs: false,
            user_ns: Arc::clone(UserNamespace::initial()),
        }
    }

    /// Whether `cap` is effective in the container's own user namespace: for what belongs to the whole container
    /// (Linux's capable).
    #[must_use]
    pub fn has(&self, cap: Cap) -> bool {
        self.effective.contains(cap) && self.user_ns.is_initial()
    }

    /// Whether `cap` is effective in the process's own user namespace.
    #[must_use]
    pub fn has_own(&self, cap: Cap) -> bool {
        self.effective.contains(cap)
    }

    /// Whether `cap` is effective over what belongs to `namespace` (ns_capable; security/commoncap.c cap_capable).
    #[must_use]
    pub fn has_in(&self, namespace: &UserNamespace, cap: Cap) -> bool {
        let mut here = namespace;
        loop {
            if *here == *self.user_ns {
                return self.effective.contains(cap);
            }
            let Some(parent) = here.parent() else { return false };
            if **parent == *self.user_ns && here.owner() == self.euid {
                return true;
            }
            here = parent;
        }
    }

    /// Whether `cap` is effective over an inode of this owner (capable_wrt_inode_uidgid).
    #[must_use]
    pub fn has_over(&self, uid: u32, gid: u32, cap: Cap) -> bool {
        self.effective.contains(cap) && self.user_ns.owns(uid, gid)
    }

    /// Root of the process's user namespace.
    #[must_use]
    pub fn root_uid(&self) -> Option<u32> {
        self.user_ns.uid(0)
    }

    /// Whether `gid` is the file-system gid or a supplementary group (in_group_p).
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
