//! OCI bundles: `config.json` checked and turned into what a sandbox needs, and the state directory that
//! keeps ids unique.
#![forbid(unsafe_code)]

mod bundle;
mod capability;
pub mod cgroup;
mod features;
mod home;
pub mod hooks;
mod linux;
mod mounts;
mod network;
mod process;
mod process_config;
mod record;
pub mod seccomp;
mod spec;
mod state;
mod supported;
mod template;
mod text;

pub use bundle::{BundleError, load, parse, read, resolve_rootfs};
pub use cgroup::resources_from_json;
pub use features::features;
pub use network::{NetworkMode, NetworkSpec, Publish};
pub use oci_spec::runtime::LinuxResources;
pub use process::{ConsoleSize, ProcessSpec, Rlimit, Scheduling, User};
pub use process_config::process_from_json;
pub use record::{OCI_VERSION, ProcessId, Record, Status, rfc3339};
pub use spec::{
    ContainerSpec, DeviceSpec, IdMapping, IdMappings, MountKind, MountSpec, NamespaceSpec, Propagation,
    Recursion,
};
pub use state::{Entry, StateError, Store};
pub use template::{Rootless, template};
