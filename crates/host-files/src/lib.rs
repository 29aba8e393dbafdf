//! Host files for the userspace kernel, reached so that nothing a guest chooses goes straight into a
//! host call.
//!
//! A [`Node`] is an O_PATH handle; from it one goes on by a checked [`Name`], or a [`RelPath`] made of
//! them, through openat2(2) with RESOLVE_BENEATH, NO_MAGICLINKS and NO_SYMLINKS, so that neither a
//! symbolic link nor a race leads out of the tree. A [`DataFile`] is an open regular file, a [`Listing`]
//! an open directory, a [`MemFile`] a file in memory, a [`Stream`] one of the supervisor's own standard
//! descriptors. Flags and modes are built here from enums. Special files are never opened.
//!
//! There is no lock here.
#![forbid(unsafe_code)]

mod data;
mod listing;
mod memory;
mod name;
mod node;
mod stat;
mod stream;
mod terminal;
pub mod tree;

pub use data::{Allocate, DataFile, SeekKind};
pub use listing::{Listing, RawEntry};
pub use memory::MemFile;
pub use name::{Name, RelPath};
pub use node::{NewFile, Node, Rename, Special};
pub use stat::{HostKind, HostStat};
pub use stream::{Stream, StreamKind};
pub use terminal::TerminalAttributes;

use abi_linux::Errno;

/// rustix's errno as ours.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
