//! Guests as host processes whose calls arrive by seccomp user notification.
//!
//! [`spawn`] makes a container's init: new namespaces, an empty root, no rights, a filter. [`NotifyPlatform`]
//! implements [`platform_api::Platform`] on the listener that comes out of it, and [`NotifyPlatform::run`] turns
//! the calling thread into the reactor and delivers calls to workers until the init is dead. [`doctor`] says
//! whether the host has what this needs.
//!
//! Measured on Linux 6.18, two cores, by `examples/roundtrip.rs`, against 1.9 µs for a bare RECV and SEND: a null
//! call 2.0 µs; SECCOMP_IOCTL_NOTIF_ID_VALID +0.14; reading a byte of the guest +0.65; [`platform_api::Platform::identify`]
//! +1.0; signal books +7; a substitution with its new call 11 at best and 50 in the mean, where wake-ups land on the other
//! CPU; making a container 0.75 ms, of which the network namespace is 0.35.
//!
//! Neighbours: `host-sys` makes the raw calls, `host-seccomp` the filter, `runtime-supervisor` puts kernel and
//! platform together.
//!
//! Lock order: `run::Baton::watchdog`, then `run::Baton::bell`; `calls::Calls::parked` and the maps of the
//! `reactor` are leaves. No lock is held across a host call that waits, but for `watchdog`, whose very purpose
//! is that one thread at a time sleeps in it.

mod calls;
pub mod doctor;
pub mod home;
mod joined;
mod line;
pub mod maker;
mod memory;
mod platform;
mod proc;
mod reactor;
mod run;
mod spawn;
mod trace;

pub use host_sys::pidfd::Ending;
pub use host_sys::seccomp::Instruction;
pub use joined::Joined;
pub use platform::{NotifyPlatform, WorkerStart};
pub use spawn::{Container, GuestIds, SpawnError, SpawnSpec, Step, spawn, stay};

use abi_linux::Errno;

/// An error of rustix as ours.
pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
