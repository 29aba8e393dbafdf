//! System V IPC (sysvipc(7); ipc/, Linux v6.18), and the place of POSIX message queues: all that an IPC
//! namespace holds.
//!
//! [`IpcNamespace`] has a table of [`shm::Segment`]s, one of [`sem::SemSet`]s and one of
//! [`msg::MessageQueue`]s, with their limits. What a process holds of them is in [`shm::Attachments`] and
//! [`sem::UndoList`], which kernel-task keeps and ends with the process. Nothing here knows guests or
//! processes: who acts is an [`Actor`].
//!
//! Lock order: a table's `Ids.entries` → the `state` of an object of that table; `UndoList.sets` and
//! `Attachments.at` stand alone. Wakers are called with none held.
#![forbid(unsafe_code)]

pub mod ids;
pub mod msg;
pub mod perm;
pub mod sem;
pub mod shm;

use std::sync::{Arc, OnceLock};

use kernel_base::tunable::Tunable;
use kernel_vfs::inode::SuperBlock;

pub use abi_linux::{Errno, SysResult};
pub use ids::{Created, Key};
pub use perm::Actor;

/// What processes of one IPC namespace share.
pub struct IpcNamespace {
    pub shm: shm::Segments,
    pub sem: sem::SemSets,
    pub msg: msg::MessageQueues,
    /// The filesystem of POSIX message queues, made when it is first needed.
    pub mqueue: OnceLock<Arc<dyn SuperBlock>>,
    /// Limits of POSIX message queues.
    pub mqueue_limits: MqueueLimits,
}

impl Default for IpcNamespace {
    fn default() -> Self {
        Self {
            shm: shm::Segments::default(),
            sem: sem::SemSets::default(),
            msg: msg::MessageQueues::default(),
            mqueue: OnceLock::new(),
            mqueue_limits: MqueueLimits::default(),
        }
    }
}

/// /proc/sys/fs/mqueue (mq_overview(7); include/linux/ipc_namespace.h).
#[derive(Debug)]
pub struct MqueueLimits {
    pub queues_max: Tunable,
    pub msg_max: Tunable,
    pub msgsize_max: Tunable,
    pub msg_default: Tunable,
    pub msgsize_default: Tunable,
}

impl Default for MqueueLimits {
    fn default() -> Self {
        Self {
            queues_max: Tunable::new(256, 0, i32::MAX as u64),
            msg_max: Tunable::new(10, 1, 65536),
            msgsize_max: Tunable::new(8192, 128, 16 << 20),
            msg_default: Tunable::new(10, 1, 65536),
            msgsize_default: Tunable::new(8192, 128, 16 << 20),
        }
    }
}
