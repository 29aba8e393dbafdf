//! OCI bundles: `config.json` checked and turned into what a sandbox needs, and the state directory that
//! keeps ids unique.
#![forbid(unsafe_code)]

mod bundle;
mod capability;
pub mod cgroup;
mod home;
pub mod hooks;
mod linux;
mod mounts;
mod process;
mod process_config;
mod record;
pub mod seccomp;
mod spec;
mod state;
mod supported;
mod text;

pub use bundle::{BundleError, load, parse, read};
pub use process::{ConsoleSize, ProcessSpec, Rlimit, Scheduling, User};
pub use process_config::process_from_json;
pub use record::{OCI_VERSION, ProcessId, Record, Status, rfc3339};
pub use spec::{ContainerSpec, DeviceSpec, IdMapping, MountKind, MountSpec, NamespaceSpec, Propagation};
pub use state::{Entry, StateError, Store};
