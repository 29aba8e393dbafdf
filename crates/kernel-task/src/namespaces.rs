//! The namespaces of a process (namespaces(7); kernel/nsproxy.c, Linux v6.18), all of our own: the host's are the
//! container's and never change. Network, pid and time namespaces cannot be made yet; all share the container's.
//!
//! As directories, namespaces belong to the process and not to the thread: a process with several threads can't change
//! them.

use std::sync::Arc;

use abi_linux::raw::general::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER,
    CLONE_NEWUTS,
};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};
use kernel_base::sync::RwLock;
use kernel_base::user_ns::{NamespaceId, NamespaceKind, UserNamespace};
use kernel_vfs::mount::MountNamespace;
use kernel_vfs::path::Path;

use crate::fs::FsState;
use crate::kernel::Uts;

/// Flags of clone(2) that ask for namespaces.
pub const CLONE_NAMESPACES: u32 = CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWTIME;

/// A namespace without more than its owner and number: what its kind holds is kept elsewhere.
#[derive(Debug)]
pub struct PlainNamespace {
    id: NamespaceId,
    user_ns: Arc<UserNamespace>,
}

impl PlainNamespace {
    fn initial(kind: NamespaceKind, user_ns: &Arc<UserNamespace>) -> Arc<Self> {
        Arc::new(Self { id: NamespaceId::initial(kind), user_ns: Arc::clone(user_ns) })
    }

    fn new(kind: NamespaceKind, user_ns: &Arc<UserNamespace>) -> SysResult<Arc<Self>> {
        Ok(Arc::new(Self { id: NamespaceId::allocate(kind)?, user_ns: Arc::clone(user_ns) }))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> &NamespaceId {
        &self.id
    }

    /// The user namespace whose administrators may change it.
    #[must_use]
    pub fn user_ns(&self) -> &Arc<UserNamespace> {
        &self.user_ns
    }
}

/// Host and domain name (uts_namespaces(7)).
pub struct UtsNamespace {
    base: Arc<PlainNamespace>,
    pub names: RwLock<Uts>,
}

impl UtsNamespace {
    /// The container's own, whose user namespace this is.
    #[must_use]
    pub fn initial(names: Uts, user_ns: &Arc<UserNamespace>) -> Arc<Self> {
        let base = PlainNamespace::initial(NamespaceKind::Uts, user_ns);
        Arc::new(Self { base, names: RwLock::new(names) })
    }

    /// Its owner and number.
    #[must_use]
    pub fn base(&self) -> &Arc<PlainNamespace> {
        &self.base
    }
}

/// System V IPC and message queues (ipc_namespaces(7)).
pub struct IpcNamespace {
    base: Arc<PlainNamespace>,
    /// What lives in it.
    pub objects: Arc<kernel_ipc::IpcNamespace>,
}

impl IpcNamespace {
    /// The container's own, whose user namespace this is.
    #[must_use]
    pub fn initial(user_ns: &Arc<UserNamespace>) -> Arc<Self> {
        Arc::new(Self { base: PlainNamespace::initial(NamespaceKind::Ipc, user_ns), objects: Arc::default() })
    }

    /// Its owner and number.
    #[must_use]
    pub fn base(&self) -> &Arc<PlainNamespace> {
        &self.base
    }
}

/// All namespaces of a process but the user namespace, which its credentials hold (Linux's nsproxy).
#[derive(Clone)]
pub struct Namespaces {
    pub mnt: Arc<MountNamespace>,
    pub uts: Arc<UtsNamespace>,
    pub ipc: Arc<IpcNamespace>,
    pub cgroup: Arc<PlainNamespace>,
    pub net: Arc<PlainNamespace>,
    pub pid: Arc<PlainNamespace>,
    pub time: Arc<PlainNamespace>,
}

/// What a process gets that leaves namespaces.
pub struct Changed {
    pub credentials: Credentials,
    pub namespaces: Namespaces,
    pub fs: FsState,
}

/// A change that waits for the child of the same thread's next call: the host performs another clone than the one asked
/// for, and only that one makes the child.
pub struct ChildChange {
    /// The call that the host performs.
    pub nr: i32,
    pub args: [u64; 6],
    pub instruction_pointer: u64,
    /// Its own namespaces.
    pub changed: Option<Changed>,
    /// Whether it has its maker's descriptors (CLONE_FILES).
    pub files: ChildFiles,
}

/// Whose descriptors a child has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildFiles {
    Copied,
    Shared,
}

impl Namespaces {
    /// Those of the container's first process; of the user namespace that `mnt` belongs to.
    #[must_use]
    pub fn initial(mnt: Arc<MountNamespace>, uts: &Arc<UtsNamespace>, ipc: &Arc<IpcNamespace>) -> Arc<Self> {
        let own = |kind| PlainNamespace::initial(kind, mnt.user_ns());
        let [cgroup, net, pid] = [NamespaceKind::Cgroup, NamespaceKind::Net, NamespaceKind::Pid].map(own);
        let time = PlainNamespace::initial(NamespaceKind::Time, UserNamespace::initial());
        Arc::new(Self { uts: Arc::clone(uts), ipc: Arc::clone(ipc), mnt, cgroup, net, pid, time })
    }

    /// New ones as the CLONE_NEW* in `flags` ask (create_user_ns, create_new_namespaces).
    pub fn unshare(&self, flags: u32, credentials: &Credentials, fs: &FsState) -> SysResult<Changed> {
        let mut changed =
            Changed { credentials: credentials.clone(), namespaces: self.clone(), fs: fs.clone() };
        if flags & CLONE_NEWUSER != 0 {
            // A namespace for whoever is in a chroot would show what is outside of it.
            if !fs.root.is_same(&self.mnt.root()) {
                return Err(Errno::EPERM);
            }
            changed.credentials = UserNamespace::create(credentials)?;
        }
        let user_ns = Arc::clone(&changed.credentials.user_ns);
        if flags & CLONE_NAMESPACES & !CLONE_NEWUSER == 0 {
            return Ok(changed);
        }
        let is_missing = flags & (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME) != 0;
        if is_missing || !changed.credentials.has_own(Cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let new = &mut changed.namespaces;
        if flags & CLONE_NEWUTS != 0 {
            let names = RwLock::new(self.uts.names.read().clone());
            new.uts =
                Arc::new(UtsNamespace { base: PlainNamespace::new(NamespaceKind::Uts, &user_ns)?, names });
        }
        if flags & CLONE_NEWIPC != 0 {
            let base = PlainNamespace::new(NamespaceKind::Ipc, &user_ns)?;
            new.ipc = Arc::new(IpcNamespace { base, objects: Arc::default() });
        }
        if flags & CLONE_NEWCGROUP != 0 {
            new.cgroup = PlainNamespace::new(NamespaceKind::Cgroup, &user_ns)?;
        }
        if flags & CLONE_NEWNS != 0 {
            let (mnt, copies) = self.mnt.duplicate(&user_ns)?;
            let follow = |path: &mut Path| {
                if let Some((_, copy)) = copies.iter().find(|(old, _)| *old == path.mount.id()) {
                    path.mount = Arc::clone(copy);
                }
            };
            follow(&mut changed.fs.root);
            follow(&mut changed.fs.cwd);
            new.mnt = mnt;
        }
        Ok(changed)
    }
}

/// Any namespace: what an entry of /proc/pid/ns leads to.
#[derive(Clone)]
pub enum Namespace {
    Mnt(Arc<MountNamespace>),
    Uts(Arc<UtsNamespace>),
    Ipc(Arc<IpcNamespace>),
    User(Arc<UserNamespace>),
    /// Of a kind that keeps nothing here.
    Plain(Arc<PlainNamespace>),
}

impl Namespace {
    /// The one of this kind that a process is in.
    #[must_use]
    pub fn of(kind: NamespaceKind, namespaces: &Namespaces, credentials: &Credentials) -> Self {
        match kind {
            NamespaceKind::Mnt => Self::Mnt(Arc::clone(&namespaces.mnt)),
            NamespaceKind::Uts => Self::Uts(Arc::clone(&namespaces.uts)),
            NamespaceKind::Ipc => Self::Ipc(Arc::clone(&namespaces.ipc)),
            NamespaceKind::User => Self::User(Arc::clone(&credentials.user_ns)),
            NamespaceKind::Cgroup => Self::Plain(Arc::clone(&namespaces.cgroup)),
            NamespaceKind::Net => Self::Plain(Arc::clone(&namespaces.net)),
            NamespaceKind::Pid => Self::Plain(Arc::clone(&namespaces.pid)),
            NamespaceKind::Time => Self::Plain(Arc::clone(&namespaces.time)),
        }
    }

    /// Its number and kind.
    #[must_use]
    pub fn id(&self) -> &NamespaceId {
        match self {
            Self::Mnt(namespace) => namespace.id(),
            Self::Uts(namespace) => namespace.base().id(),
            Self::Ipc(namespace) => namespace.base().id(),
            Self::User(namespace) => namespace.id(),
            Self::Plain(namespace) => namespace.id(),
        }
    }

    /// The user namespace that owns it; `None` for the container's own user namespace.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<UserNamespace>> {
        match self {
            Self::Mnt(namespace) => Some(namespace.user_ns()),
            Self::Uts(namespace) => Some(namespace.base().user_ns()),
            Self::Ipc(namespace) => Some(namespace.base().user_ns()),
            Self::User(namespace) => namespace.parent(),
            Self::Plain(namespace) => Some(namespace.user_ns()),
        }
    }

    /// What readlink(2) of its entry says.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}:[{}]", self.id().kind().name(), self.id().number())
    }
}

impl Changed {
    /// Enters a namespace (setns(2), the `install` of each kind).
    pub fn enter(&mut self, target: &Namespace) -> SysResult<()> {
        let creds = &self.credentials;
        if let Namespace::User(namespace) = target {
            if *namespace == creds.user_ns {
                return Err(Errno::EINVAL);
            }
            if !creds.has_in(namespace, Cap::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            self.credentials = self.credentials.clone().entering(Arc::clone(namespace));
            return Ok(());
        }
        let owner = target.owner().ok_or(Errno::EINVAL)?;
        if !creds.has_in(owner, Cap::SYS_ADMIN) || !creds.has_own(Cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        match target {
            Namespace::Mnt(namespace) => {
                if !creds.has_own(Cap::SYS_CHROOT) {
                    return Err(Errno::EPERM);
                }
                let root = namespace.root();
                self.fs = FsState { root: root.clone(), cwd: root, umask: self.fs.umask };
                self.namespaces.mnt = Arc::clone(namespace);
            }
            Namespace::Uts(namespace) => self.namespaces.uts = Arc::clone(namespace),
            Namespace::Ipc(namespace) => self.namespaces.ipc = Arc::clone(namespace),
            Namespace::Plain(namespace) if namespace.id().kind() == NamespaceKind::Cgroup => {
                self.namespaces.cgroup = Arc::clone(namespace);
            }
            // There is no other that it could be.
            Namespace::Plain(_) | Namespace::User(_) => {}
        }
        Ok(())
    }
}
