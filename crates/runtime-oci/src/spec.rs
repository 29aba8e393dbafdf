//! What a sandbox is to be, whoever asked for it: `palisade do`'s flags or a bundle's config.json.

use std::path::PathBuf;

/// Who the first process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// `None`: 022.
    pub umask: Option<u32>,
}

/// A resource limit, by its RLIMIT_ number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the host.
    Bind(PathBuf),
    Tmpfs,
    Proc,
    Sysfs,
    Devtmpfs,
    Devpts,
    Mqueue,
    Cgroup,
}

/// One mount, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    pub kind: MountKind,
    /// Absolute path inside the container.
    pub destination: Vec<u8>,
    pub source: Vec<u8>,
    pub readonly: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    pub noatime: bool,
    pub nosymfollow: bool,
    /// Options of the filesystem itself, such as `size=64k`.
    pub data: Vec<String>,
}

impl MountSpec {
    /// A writable mount without any options.
    #[must_use]
    pub fn new(kind: MountKind, destination: &[u8]) -> Self {
        Self {
            kind,
            destination: destination.to_vec(),
            source: Vec::new(),
            readonly: false,
            nosuid: false,
            nodev: false,
            noexec: false,
            noatime: false,
            nosymfollow: false,
            data: Vec::new(),
        }
    }
}

/// A sandbox with one container.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// The host directory that becomes `/`.
    pub rootfs: PathBuf,
    /// Whether `/` may be written to at all.
    pub readonly: bool,
    /// Whether what is written to `/` stays in memory instead of reaching `rootfs`.
    pub overlay: bool,
    pub mounts: Vec<MountSpec>,
    /// What is there is hidden: a file looks empty, and so does a directory.
    pub masked_paths: Vec<Vec<u8>>,
    /// What is there may not be written.
    pub readonly_paths: Vec<Vec<u8>>,
    pub args: Vec<Vec<u8>>,
    /// `KEY=VALUE` each.
    pub env: Vec<Vec<u8>>,
    pub cwd: Vec<u8>,
    pub user: User,
    pub hostname: Vec<u8>,
    pub domainname: Vec<u8>,
    /// Capability sets of the first process, as bit sets: bounding, effective, permitted, inheritable, ambient.
    pub capabilities: [u64; 5],
    pub no_new_privs: bool,
    pub rlimits: Vec<Rlimit>,
    /// Whether the container gets a terminal of its own.
    pub terminal: bool,
    /// Whether a reaper of ours is process 1 and the program process 2.
    pub init: bool,
    /// Fewer calls are native.
    pub strict: bool,
}
