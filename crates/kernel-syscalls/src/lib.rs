//! The system calls: decode, one operation of a subsystem, copy out. One file for each family; which call
//! goes where is generated from `syscall-table` into `dispatch.rs`.
//!
//! Lock order: none of its own. Handlers hold no lock across a guest copy.
#![forbid(unsafe_code)]

mod cx;
mod dispatch;
mod engine;
mod events;
mod fd;
mod file;
mod gate;
mod ids;
mod io;
mod ipc;
mod loader;
mod mem;
mod mount;
mod net;
mod observe;
mod path;
mod poll;
mod process;
mod sched;
mod signal;
mod stub;
mod system;
#[cfg(test)]
mod tests;
mod time;
mod xattr;

pub mod strace;

pub use cx::{Cx, Outcome};
pub use engine::Engine;
pub use observe::{Ending, Observed, Observer, Observers, Times};
pub use stub::stub_counts;
