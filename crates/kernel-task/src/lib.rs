//! Processes and threads: who is who, fd tables, credentials, fork snapshots, exec, exit, signal books.
//!
//! Guests' processes and threads are host processes and threads; this crate keeps what the host does not
//! know of them. [`Kernel`] is a container's userspace kernel, [`Process`] a thread group, [`Task`] a thread.
//!
//! Lock order (outer first): `Kernel.discovery` → `Process.exec` → `Kernel.tasks` →
//! `Process.tasks`/`children` → `Process.fs` (`shareable`) → `FdTable` → leaf locks (credentials, limits, comm). None is
//! held while guest memory is copied, and none but `Kernel.discovery` while the host is asked; `Process.exec` is held
//! while the host puts a mapped file where an exec would put the loader.
#![forbid(unsafe_code)]

pub mod aio;
pub mod credentials;
pub mod current;
mod dead;
pub mod elf;
pub mod exec;
pub mod exit;
pub mod fd_table;
pub mod fork;
pub mod fs;
pub mod groups;
mod ipc;
pub mod itimer;
pub mod kernel;
pub mod kill;
pub mod limits;
pub mod machine;
pub mod mapped;
pub mod namespaces;
mod orphan;
pub mod posix_timer;
pub mod process;
pub mod seccomp;
pub mod settings;
pub mod shareable;
pub mod sigio;
pub mod signal_actions;
pub mod signals;
pub mod task;
mod thread_credentials;

#[cfg(test)]
mod scene;

pub use abi_linux::{Errno, SysResult};
pub use fd_table::FdTable;
pub use kernel::Kernel;
pub use process::Process;
pub use task::Task;
