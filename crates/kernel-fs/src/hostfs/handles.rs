//! Descriptors that nodes keep: an O_PATH handle, and for regular files one for reading and one for
//! writing. Those of files that are not in use are closed when there are too many.

use std::collections::VecDeque;
use std::sync::Weak;

use std::sync::Arc;

use host_files::{DataFile, Node};
use kernel_base::sync::Mutex;

use super::inode::HostInode;

/// How many candidates one insertion into a full cache looks at.
const TRIES: usize = 8;

/// The descriptors of one node.
#[derive(Default)]
pub(super) struct Handles {
    pub(super) node: Option<Arc<Node>>,
    pub(super) read: Option<DataFile>,
    pub(super) write: Option<DataFile>,
    /// The file has lost its name while it was open: it cannot be opened again, so these stay.
    pub(super) pinned: bool,
    /// In the cache's queue.
    pub(super) queued: bool,
    /// Used since the cache last looked.
    pub(super) used: bool,
}

/// The nodes of an instance that keep descriptors, in the order in which they opened their first.
pub(super) struct HandleCache {
    limit: usize,
    queue: Mutex<VecDeque<Weak<HostInode>>>,
}

impl HandleCache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queue: Mutex::default() }
    }

    /// Notes that a node keeps descriptors now, and closes those of others when there are too many. The
    /// caller holds no node's handles.
    pub(super) fn add(&self, inode: Weak<HostInode>) {
        let mut queue = self.queue.lock();
        queue.push_back(inode);
        for _ in 0..TRIES {
            if queue.len() <= self.limit {
                return;
            }
            let Some(oldest) = queue.pop_front() else { return };
            drop(queue);
            let keep = oldest.upgrade().is_some_and(|inode| !inode.close_unused());
            queue = self.queue.lock();
            if keep {
                queue.push_back(oldest);
            }
        }
    }
}
