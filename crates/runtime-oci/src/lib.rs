//! OCI bundles: `config.json` checked and turned into what a sandbox needs, and the state directory that
//! keeps ids unique.
#![forbid(unsafe_code)]

mod bundle;
mod home;
mod mounts;
mod spec;
mod state;
mod supported;

pub use bundle::{BundleError, load};
pub use spec::{ContainerSpec, MountKind, MountSpec, Rlimit, User};
pub use state::{StateDir, StateError};
