//! How a supervisor is started and spoken to: by the `palisade` binary, and by the shim.
//!
//! A supervisor serves one sandbox (a pod) with any number of containers. It listens on `control.sock` in the
//! sandbox's directory. Over a connection go [`Request`]s and one [`Reply`] each, in turn, as [`frame`]s: JSON, with
//! descriptors beside it. [`Client`] is the blocking client; [`start`] makes a supervisor.
//!
//! Neighbours: `runtime-supervisor` serves, `runtime-cli` and the shim ask. Nothing of the kernel is needed to ask.
#![forbid(unsafe_code)]

mod client;
pub mod frame;
mod message;
pub mod observe;
mod places;
mod start;

pub use client::{CallError, Client, Stopper, connect, listen};
pub use message::{
    Container, Create, Exec, Exit, Kind, Refusal, Reply, Request, Started, State, Streams, WindowSize,
};
pub use places::{Needs, Place, PlaceError, Places, Rootfs};
pub use start::{
    Options, SUBCOMMAND, Started as Supervisor, keep_descriptors, note_supervisor, start, supervisor_of,
};
