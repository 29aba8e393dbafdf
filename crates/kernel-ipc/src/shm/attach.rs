//! What address spaces have attached.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use kernel_base::sync::Mutex;

use super::{SHM_DEST, Segment, Segments};
use crate::IpcNamespace;

/// A segment in an address space.
#[derive(Clone)]
pub struct Attachment {
    namespace: Weak<IpcNamespace>,
    segment: Arc<Segment>,
}

impl Attachment {
    /// shmat(2) by process `pid` at `now_s`.
    #[must_use]
    pub fn new(namespace: &Arc<IpcNamespace>, segment: &Arc<Segment>, pid: i32, now_s: i64) -> Self {
        let attachment = Self { namespace: Arc::downgrade(namespace), segment: Arc::clone(segment) };
        attachment.opened(pid, now_s);
        attachment
    }

    /// Bytes of the mapping.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.segment.mapped_size()
    }

    /// Never: a segment has a page at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    fn opened(&self, pid: i32, now_s: i64) {
        let mut state = self.segment.state.lock();
        state.attached += 1;
        state.atime = now_s;
        state.lpid = pid;
    }

    /// shm_close.
    fn closed(&self, by: Option<(i32, i64)>) {
        let mut state = self.segment.state.lock();
        state.attached = state.attached.saturating_sub(1);
        if let Some((pid, now_s)) = by {
            state.dtime = now_s;
            state.lpid = pid;
        }
        let is_over = state.attached == 0 && state.perm.mode & SHM_DEST != 0;
        drop(state);
        if let Some(namespace) = self.namespace.upgrade().filter(|_| is_over) {
            Segments::destroy(&namespace.shm, &self.segment);
        }
    }
}

/// The attachments of one address space, by address; shared by processes that share memory (vfork).
#[derive(Default)]
pub struct Attachments {
    at: Mutex<BTreeMap<u64, Attachment>>,
}

impl Attachments {
    /// Notes an attachment, in place of those that its mapping covers (SHM_REMAP).
    pub fn add(&self, addr: u64, attachment: Attachment, pid: i32, now_s: i64) {
        let end = addr.saturating_add(attachment.len());
        let mut at = self.at.lock();
        let covered: Vec<u64> = at
            .range(..end)
            .filter(|(start, old)| start.saturating_add(old.len()) > addr)
            .map(|(&start, _)| start)
            .collect();
        let gone: Vec<Attachment> = covered.iter().filter_map(|start| at.remove(start)).collect();
        at.insert(addr, attachment);
        drop(at);
        gone.iter().for_each(|old| old.closed(Some((pid, now_s))));
    }

    /// Bytes of the attachment that begins at an address.
    #[must_use]
    pub fn len_at(&self, addr: u64) -> Option<u64> {
        self.at.lock().get(&addr).map(Attachment::len)
    }

    /// Forgets the attachment that begins at an address.
    pub fn remove(&self, addr: u64, pid: i32, now_s: i64) {
        let removed = self.at.lock().remove(&addr);
        if let Some(attachment) = removed {
            attachment.closed(Some((pid, now_s)));
        }
    }

    /// Whether nothing is attached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.lock().is_empty()
    }

    /// A copy for a forked child, counted.
    #[must_use]
    pub fn duplicate(&self, pid: i32, now_s: i64) -> Self {
        let copy = self.at.lock().clone();
        copy.values().for_each(|attachment| attachment.opened(pid, now_s));
        Self { at: Mutex::new(copy) }
    }

    /// The address space is gone.
    pub fn clear(&self, pid: i32, now_s: i64) {
        let all = std::mem::take(&mut *self.at.lock());
        all.values().for_each(|attachment| attachment.closed(Some((pid, now_s))));
    }
}

impl Drop for Attachments {
    /// For a child that never came to be.
    fn drop(&mut self) {
        self.at.get_mut().values().for_each(|attachment| attachment.closed(None));
    }
}
