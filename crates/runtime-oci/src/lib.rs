//! OCI bundles: `config.json` checked and turned into what a sandbox needs, and the state directory that
//! keeps ids unique.
#![forbid(unsafe_code)]

mod bundle;
pub mod cgroup;
mod home;
pub mod hooks;
mod mounts;
mod process;
mod record;
mod spec;
mod state;
mod supported;
mod text;

pub use bundle::{BundleError, load};
pub use process::{ConsoleSize, ProcessSpec, Rlimit, Scheduling, User};
pub use record::{OCI_VERSION, ProcessId, Record, Status, rfc3339};
pub use spec::{ContainerSpec, DeviceSpec, IdMapping, MountKind, MountSpec, NamespaceSpec, Propagation};
pub use state::{Entry, StateError, Store};
