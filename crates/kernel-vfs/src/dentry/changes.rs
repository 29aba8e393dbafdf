//! What removals and renames do to the tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Child, Dentry, Links};
use crate::inode::RenameMode;

impl Dentry {
    /// Notes that `child` was unlinked from here.
    pub(crate) fn removed(self: &Arc<Self>, child: &Self, name: &[u8]) {
        child.deleted.store(true, Ordering::Relaxed);
        self.forget(name);
    }

    /// What the table has under a name.
    fn present(&self, name: &[u8]) -> Option<Arc<Self>> {
        match self.children.lock().get(name) {
            Some(Child::Present(child)) => Some(Arc::clone(child)),
            _ => None,
        }
    }

    /// Notes that a name, looked up or not, was unlinked from here.
    pub(crate) fn removed_name(self: &Arc<Self>, name: &[u8]) {
        match self.present(name) {
            Some(child) => self.removed(&child, name),
            None => self.forget(name),
        }
    }

    /// Notes that what is under a name here, looked up or not, was renamed.
    pub(crate) fn renamed_name(
        self: &Arc<Self>,
        name: &[u8],
        to: &Arc<Self>,
        new_name: &[u8],
        mode: RenameMode,
    ) {
        match (self.present(name), to.present(new_name), mode) {
            (Some(source), Some(target), RenameMode::Exchange) => self.exchanged(&source, to, &target),
            (Some(source), target, RenameMode::Replace | RenameMode::NoReplace) => {
                self.moved(&source, to, new_name, target.as_deref());
            }
            (source, target, _) => {
                let old = (self.take(name), to.take(new_name));
                drop((old, source, target));
            }
        }
    }

    /// Notes that `child` has moved from here to `name` in `to`, in place of `victim`.
    pub(crate) fn moved(
        self: &Arc<Self>,
        child: &Arc<Self>,
        to: &Arc<Self>,
        name: &[u8],
        victim: Option<&Self>,
    ) {
        let old_name = child.name();
        if let Some(victim) = victim {
            victim.deleted.store(true, Ordering::Relaxed);
        }
        self.forget(&old_name);
        to.adopt(child, name);
    }

    /// Notes that `a` in `self` and `b` in `to` changed places.
    pub(crate) fn exchanged(self: &Arc<Self>, a: &Arc<Self>, to: &Arc<Self>, b: &Arc<Self>) {
        let (a_name, b_name) = (a.name(), b.name());
        to.adopt(a, &b_name);
        self.adopt(b, &a_name);
    }

    fn adopt(self: &Arc<Self>, child: &Arc<Self>, name: &[u8]) {
        let name: Arc<[u8]> = Arc::from(name);
        let links = Links { parent: Some(Arc::clone(self)), name: Arc::clone(&name) };
        let old_links = std::mem::replace(&mut *child.links.write(), links);
        let old = self.children.lock().insert(Arc::clone(&name), Child::Present(Arc::clone(child)));
        drop((old_links, old));
        self.remember(name);
    }
}
