//! The executor: runs programs, each in a process of its own, and tells what became of them.
//!
//! It is `palisade-fuzz executor …`, a hidden command, started in a sandbox or in a bare container on the host. Its
//! standard input has [`Request`](crate::wire::Request)s, its standard output [`Outcome`](crate::wire::Outcome)s.

mod child;
mod place;
mod raw;
mod serve;
mod state;

pub use place::{Bare, bare_container};
pub use serve::{HUNG, serve};
