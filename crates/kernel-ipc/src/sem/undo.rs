//! SEM_UNDO: what a process's end takes back (ipc/sem.c exit_sem).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use kernel_base::sync::Mutex;

use super::{SemSet, VALUE_MAX};

/// The sets in which a process has adjustments.
#[derive(Debug)]
pub struct UndoList {
    key: u64,
    sets: Mutex<Vec<Weak<SemSet>>>,
}

impl Default for UndoList {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { key: NEXT.fetch_add(1, Ordering::Relaxed), sets: Mutex::default() }
    }
}

impl UndoList {
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// The process has adjustments in `set`. Called with the set's state locked.
    pub(super) fn note(&self, set: &Arc<SemSet>) {
        let mut sets = self.sets.lock();
        if !sets.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(set))) {
            sets.retain(|known| known.strong_count() > 0);
            sets.push(Arc::downgrade(set));
        }
    }

    /// The process `pid` has ended: makes its adjustments.
    pub fn apply(&self, pid: i32, now_s: impl FnOnce() -> i64) {
        let sets = std::mem::take(&mut *self.sets.lock());
        if sets.is_empty() {
            return;
        }
        let now_s = now_s();
        for set in sets.iter().filter_map(Weak::upgrade) {
            let mut state = set.state.lock();
            let Some(adjustments) = state.undo.remove(&self.key) else { continue };
            let touched = adjustments.iter().any(|&adjustment| adjustment != 0);
            for (sem, &adjustment) in state.sems.iter_mut().zip(&adjustments).filter(|(_, a)| **a != 0) {
                sem.value = (sem.value + i32::from(adjustment)).clamp(0, VALUE_MAX);
                sem.pid = pid;
            }
            if touched {
                state.otime = now_s;
            }
            let wakes = state.settle(now_s);
            drop(state);
            wakes.wake();
        }
    }
}
