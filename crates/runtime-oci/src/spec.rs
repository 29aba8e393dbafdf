//! What a sandbox is to be, whoever asked for it: `palisade do`'s flags or a bundle's config.json.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hooks, LinuxResources, LinuxSeccomp};
use serde::{Deserialize, Serialize};

use crate::network::NetworkSpec;
use crate::process::ProcessSpec;

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    pub kind: MountKind,
    /// Absolute path inside the container.
    #[serde(with = "crate::text::one")]
    pub destination: Vec<u8>,
    #[serde(with = "crate::text::one")]
    pub source: Vec<u8>,
    pub readonly: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    pub noatime: bool,
    pub nodiratime: bool,
    pub strictatime: bool,
    pub nosymfollow: bool,
    /// Whether a bind shows what is mounted below its source, too.
    pub recursion: Recursion,
    /// Whether a tmpfs begins with what it covers (runc's `tmpcopyup`).
    pub copies_up: bool,
    /// Whose the files of a bind are instead, from the host's ids to the container's on the host; empty lists stand for the
    /// container's own maps.
    pub ids: Option<IdMappings>,
    /// Changes of propagation, one after the other: of this mount, or of all below it, too.
    pub propagation: Vec<(Propagation, Recursion)>,
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
            nodiratime: false,
            strictatime: false,
            nosymfollow: false,
            recursion: Recursion::All,
            copies_up: false,
            ids: None,
            propagation: Vec::new(),
            data: Vec::new(),
        }
    }
}

/// A namespace of config.json's `linux.namespaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceSpec {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
    pub kind: String,
    /// Of the host, to be joined; `None`: a new one.
    pub path: Option<PathBuf>,
}

/// A line of a user namespace's uid_map or gid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    pub container_id: u32,
    pub host_id: u32,
    pub size: u32,
}

/// Maps of users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMappings {
    pub users: Vec<IdMapping>,
    pub groups: Vec<IdMapping>,
}

impl std::fmt::Display for IdMapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { container_id, host_id, size } = self;
        write!(f, "{{\"containerID\": {container_id}, \"hostID\": {host_id}, \"size\": {size}}}")
    }
}

/// A device node to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    #[serde(with = "crate::text::one")]
    pub path: Vec<u8>,
    /// S_IFCHR, S_IFBLK or S_IFIFO, and the permissions.
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
    pub uid: u32,
    pub gid: u32,
}

/// How mounts and unmounts spread (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    Shared,
    Slave,
    #[default]
    Private,
    Unbindable,
}

/// How far a change reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    #[default]
    One,
    All,
}

/// A container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The host directory that becomes `/`.
    pub rootfs: PathBuf,
    /// Whether `/` may be written to at all.
    pub readonly: bool,
    /// Whether what is written to `/` stays in memory instead of reaching `rootfs`.
    pub overlay: bool,
    /// Of `/`, when all is mounted.
    pub root_propagation: (Propagation, Recursion),
    pub mounts: Vec<MountSpec>,
    /// Made in /dev, over those that are always there.
    pub devices: Vec<DeviceSpec>,
    /// What is there is hidden: a file looks empty, and so does a directory.
    #[serde(with = "crate::text::many")]
    pub masked_paths: Vec<Vec<u8>>,
    /// What is there may not be written.
    #[serde(with = "crate::text::many")]
    pub readonly_paths: Vec<Vec<u8>>,
    /// The first process.
    pub process: ProcessSpec,
    #[serde(with = "crate::text::one")]
    pub hostname: Vec<u8>,
    #[serde(with = "crate::text::one")]
    pub domainname: Vec<u8>,
    /// As listed; one that is not listed is made all the same.
    pub namespaces: Vec<NamespaceSpec>,
    /// Of a user namespace of its own; empty: it has none.
    pub uid_mappings: Vec<IdMapping>,
    pub gid_mappings: Vec<IdMapping>,
    /// Names with slashes, as below /proc/sys.
    pub sysctl: BTreeMap<String, String>,
    /// The filter that all processes of the container have from their start.
    pub seccomp: Option<LinuxSeccomp>,
    /// PER_ of personality(2).
    pub personality: Option<u32>,
    /// `linux.cgroupsPath`.
    pub cgroups_path: Option<String>,
    pub resources: LinuxResources,
    pub hooks: Hooks,
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub network: NetworkSpec,
    /// Whether a reaper of ours is process 1 and the program process 2.
    pub init: bool,
    /// Fewer calls are native.
    pub strict: bool,
}
