//! Sockets of the host on a guest's behalf: AF_INET and AF_INET6 in a network namespace of the host.
//!
//! What may be asked of the host stands here as data: [`kinds`], [`options`], [`control`]. Addresses, options and control
//! messages of a guest are taken apart and built anew; no byte of a guest reaches the host's socket calls but the
//! contents of what it sends. Every socket is non-blocking: nothing here waits.
#![forbid(unsafe_code)]

pub mod address;
pub mod control;
pub mod kinds;
mod namespace;
pub mod options;
mod route;
mod socket;

pub use host_sys::socket::{Count, Name};
pub use namespace::{Namespace, Whose};
pub use route::Question;
pub use rustix::net::Shutdown as ShutdownHow;
pub use socket::{Incoming, Peer, Socket};
