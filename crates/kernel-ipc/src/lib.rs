//! System V IPC (sysvipc(7); ipc/, Linux v6.18) and POSIX message queues (mq_overview(7)): all that an IPC namespace
//! holds.
//!
//! [`IpcNamespace`] has a table of [`shm::Segment`]s, one of [`sem::SemSet`]s and one of
//! [`msg::MessageQueue`]s, with their limits. What a process holds of them is in [`shm::Attachments`] and
//! [`sem::UndoList`], which kernel-task keeps and ends with the process. [`mqueue::PosixQueues`] makes and charges
//! POSIX queues; their names are a filesystem's. Nothing here knows guests or
//! processes: who acts is an [`Actor`].
//!
//! Lock order: a table's `Ids.entries` → the `state` of an object of that table; `UndoList.sets` and
//! `Attachments.at` stand alone. Wakers are called with none held.
#![forbid(unsafe_code)]

pub mod ids;
pub mod mqueue;
pub mod msg;
pub mod perm;
pub mod sem;
pub mod shm;

use std::sync::{Arc, OnceLock};

use kernel_vfs::mount::Mount;

pub use abi_linux::{Errno, SysResult};
pub use ids::{Created, Key};
pub use perm::Actor;

/// What processes of one IPC namespace share.
#[derive(Default)]
pub struct IpcNamespace {
    pub shm: shm::Segments,
    pub sem: sem::SemSets,
    pub msg: msg::MessageQueues,
    pub mqueue: mqueue::PosixQueues,
    /// Where POSIX message queues have their names: a mount that no path reaches, made when it is first needed.
    pub mqueue_mount: OnceLock<Arc<Mount>>,
}
