//! POSIX message queues (mq_overview(7); ipc/mqueue.c, Linux v6.18): the queues and what they are charged to. The
//! filesystem that names them is kernel-fs's `mqueue`.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::tunable::Tunable;
use rustc_hash::FxHashMap;

pub use queue::{Attributes, Notification, NotifyKind, PosixQueue, Sender, Status, Waiting};

/// Priorities are below this (MQ_PRIO_MAX of include/uapi/linux/limits.h).
pub const PRIORITY_MAX: u32 = 32768;
/// What nobody may pass (HARD_MSGMAX, HARD_MSGSIZEMAX of include/linux/ipc_namespace.h).
const HARD_MAX_MESSAGES: u64 = 65536;
const HARD_MAX_SIZE: u64 = 16 << 20;
/// Sizes of struct msg_msg and struct posix_msg_tree_node, which count against RLIMIT_MSGQUEUE.
const MESSAGE_OVERHEAD: u64 = 48;
const NODE_OVERHEAD: u64 = 48;
/// Most bytes that the queues of a namespace take: beyond, ENOMEM.
const TOTAL_MAX: usize = 256 << 20;
/// What an empty queue is counted as in it.
const QUEUE_OVERHEAD: usize = 1024;

/// /proc/sys/fs/mqueue (include/linux/ipc_namespace.h).
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
            msg_max: Tunable::new(10, 1, HARD_MAX_MESSAGES),
            msgsize_max: Tunable::new(8192, 128, HARD_MAX_SIZE),
            msg_default: Tunable::new(10, 1, HARD_MAX_MESSAGES),
            msgsize_default: Tunable::new(8192, 128, HARD_MAX_SIZE),
        }
    }
}

/// Who makes a queue.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// Whom it is charged to.
    pub ruid: u32,
    /// RLIMIT_MSGQUEUE.
    pub limit: u64,
    /// CAP_SYS_RESOURCE.
    pub is_privileged: bool,
}

#[derive(Debug, Default)]
struct Charged {
    queues: u64,
    by_user: FxHashMap<u32, u64>,
}

/// What the queues of a namespace take.
#[derive(Debug, Default)]
struct Account {
    charged: Mutex<Charged>,
    bytes: AtomicUsize,
}

impl Account {
    /// Takes memory; ENOMEM.
    fn take(&self, bytes: usize) -> SysResult<()> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > TOTAL_MAX {
            self.give_back(bytes);
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one queue is charged, given back when it goes.
struct Charge {
    account: Arc<Account>,
    ruid: u32,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(QUEUE_OVERHEAD);
        let mut charged = self.account.charged.lock();
        charged.queues = charged.queues.saturating_sub(1);
        if let Some(all) = charged.by_user.get_mut(&self.ruid) {
            *all = all.saturating_sub(self.bytes);
            if *all == 0 {
                charged.by_user.remove(&self.ruid);
            }
        }
    }
}

/// The queues of a namespace, without their names.
#[derive(Debug, Default)]
pub struct PosixQueues {
    pub limits: MqueueLimits,
    account: Arc<Account>,
}

/// What a queue counts against RLIMIT_MSGQUEUE; EOVERFLOW.
fn cost(attributes: Attributes) -> SysResult<u64> {
    let nodes = attributes.max_messages.min(u64::from(PRIORITY_MAX)).saturating_mul(NODE_OVERHEAD);
    let tree = attributes.max_messages.checked_mul(MESSAGE_OVERHEAD).and_then(|all| all.checked_add(nodes));
    let bytes = attributes.max_messages.checked_mul(attributes.message_size);
    bytes.zip(tree).and_then(|(bytes, tree)| bytes.checked_add(tree)).ok_or(Errno::EOVERFLOW)
}

impl PosixQueues {
    /// A new queue (mqueue_create_attr): ENOSPC at queues_max, EINVAL for attributes beyond the limits, EMFILE at
    /// RLIMIT_MSGQUEUE.
    pub fn create(&self, wanted: Option<Attributes>, maker: Maker) -> SysResult<PosixQueue> {
        let limits = &self.limits;
        let attributes = wanted.unwrap_or_else(|| Attributes {
            max_messages: limits.msg_default.get().min(limits.msg_max.get()),
            message_size: limits.msgsize_default.get().min(limits.msgsize_max.get()),
        });
        let mut charged = self.account.charged.lock();
        if charged.queues >= limits.queues_max.get() && !maker.is_privileged {
            return Err(Errno::ENOSPC);
        }
        let (messages, size) = match maker.is_privileged {
            true => (HARD_MAX_MESSAGES, HARD_MAX_SIZE),
            false => (limits.msg_max.get(), limits.msgsize_max.get()),
        };
        let Attributes { max_messages, message_size } = attributes;
        if max_messages == 0 || message_size == 0 || max_messages > messages || message_size > size {
            return Err(Errno::EINVAL);
        }
        let bytes = cost(attributes)?;
        let all = charged.by_user.get(&maker.ruid).copied().unwrap_or(0).saturating_add(bytes);
        if all > maker.limit {
            return Err(Errno::EMFILE);
        }
        self.account.take(QUEUE_OVERHEAD)?;
        charged.by_user.insert(maker.ruid, all);
        charged.queues += 1;
        let charge = Charge { account: Arc::clone(&self.account), ruid: maker.ruid, bytes };
        Ok(PosixQueue::new(attributes, charge))
    }
}
