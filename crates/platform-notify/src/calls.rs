//! The book of calls in flight: which call stands for a thread, so that memory is never taken for the thread's when
//! it has died and its id belongs to another.
//!
//! A call that is handled inline costs no lock: its worker keeps it in a thread-local ([`Calls::begin`]) until it
//! is answered on the same thread. Only what is left unanswered when the handler returns ([`Calls::end`]) goes
//! into a map.
//!
//! An id can only be reused after all pids were handed out once, which takes longer than [`FRESH_NS`] on any
//! machine; so a fresh inline call needs no look at the listener, and an older or a parked one costs one
//! SECCOMP_IOCTL_NOTIF_ID_VALID (about 0.15 µs) for each copy. The gap between that and the copy is far shorter.

use std::cell::Cell;

use parking_lot::Mutex;
use platform_api::HostTid;
use rustc_hash::{FxHashMap, FxHashSet};

/// For how long after its arrival a call's thread id is its own without asking: 10 ms. Linux hands out ids in
/// turn, at most some hundred thousand a second, of at least 32768.
const FRESH_NS: u64 = 10_000_000;

/// More answers than this that came before their handler returned are a bug, not a race.
const EARLY_LIMIT: usize = 4096;

/// The call that this thread handles.
#[derive(Clone, Copy)]
struct Current {
    book: *const Calls,
    id: u64,
    tid: HostTid,
    since_ns: u64,
    answered: bool,
}

const NOTHING: Current = Current { book: std::ptr::null(), id: 0, tid: 0, since_ns: 0, answered: true };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOTHING) };
}

/// How sure it is that a thread id still means the thread that called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Known,
    /// No call of it is in this book, and nothing can be said.
    Silent,
    /// Ask the listener about this call.
    Ask(u64),
}

#[derive(Default)]
struct Parked {
    by_tid: FxHashMap<HostTid, u64>,
    by_id: FxHashMap<u64, HostTid>,
    /// Answered by another thread before the handler returned.
    early: FxHashSet<u64>,
}

/// The book of one listener.
#[derive(Default)]
pub(crate) struct Calls {
    parked: Mutex<Parked>,
}

impl Calls {
    /// A call arrived on this thread.
    pub(crate) fn begin(&self, id: u64, tid: HostTid, now_ns: u64) {
        CURRENT.set(Current { book: self, id, tid, since_ns: now_ns, answered: false });
    }

    /// Its handler returned; unless it was answered, it is parked.
    pub(crate) fn end(&self) {
        let current = CURRENT.replace(NOTHING);
        if current.answered || !std::ptr::eq(current.book, self) {
            return;
        }
        let mut parked = self.parked.lock();
        if parked.early.remove(&current.id) {
            return;
        }
        // A thread has one call at a time: an older one of the same id died unanswered.
        if let Some(dead) = parked.by_tid.insert(current.tid, current.id) {
            parked.by_id.remove(&dead);
        }
        parked.by_id.insert(current.id, current.tid);
    }

    /// A call is answered, or gone.
    pub(crate) fn answered(&self, id: u64) {
        let current = CURRENT.get();
        if current.id == id && std::ptr::eq(current.book, self) {
            CURRENT.set(Current { answered: true, ..current });
            return;
        }
        let mut parked = self.parked.lock();
        match parked.by_id.remove(&id) {
            Some(tid) => {
                if parked.by_tid.get(&tid) == Some(&id) {
                    parked.by_tid.remove(&tid);
                }
            }
            None => {
                if parked.early.len() >= EARLY_LIMIT {
                    tracing::warn!("calls were answered that nobody made");
                    parked.early.clear();
                }
                parked.early.insert(id);
            }
        }
    }

    /// Whether this call is in the book.
    pub(crate) fn has(&self, id: u64) -> bool {
        let current = CURRENT.get();
        (current.id == id && !current.answered && std::ptr::eq(current.book, self))
            || self.parked.lock().by_id.contains_key(&id)
    }

    /// What is known about a thread id. `now_ns` is called only where it is needed.
    pub(crate) fn standing(&self, tid: HostTid, now_ns: impl FnOnce() -> u64) -> Standing {
        let current = CURRENT.get();
        if current.tid == tid && !current.answered && std::ptr::eq(current.book, self) {
            let fresh = now_ns().wrapping_sub(current.since_ns) < FRESH_NS;
            return if fresh { Standing::Known } else { Standing::Ask(current.id) };
        }
        self.parked.lock().by_tid.get(&tid).map_or(Standing::Silent, |id| Standing::Ask(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::{Calls, FRESH_NS, Standing};

    #[test]
    fn inline_call_is_known_while_fresh() {
        let calls = Calls::default();
        calls.begin(7, 100, 0);
        assert_eq!(calls.standing(100, || FRESH_NS - 1), Standing::Known);
        assert_eq!(calls.standing(100, || FRESH_NS), Standing::Ask(7));
        calls.answered(7);
        calls.end();
        assert!(calls.parked.lock().by_tid.is_empty());
    }

    #[test]
    fn parked_call_is_asked_about_until_answered() {
        let calls = Calls::default();
        calls.begin(7, 100, 0);
        calls.end();
        assert_eq!(calls.standing(100, || 0), Standing::Ask(7));
        assert!(calls.has(7) && !calls.has(8));
        calls.answered(7);
        assert!(!calls.has(7));
        assert_eq!(calls.standing(100, || 0), Standing::Silent);
        assert!(calls.parked.lock().by_id.is_empty());
    }

    #[test]
    fn answer_before_the_handler_returns_is_not_parked() {
        let calls = Calls::default();
        calls.begin(7, 100, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| calls.answered(7));
        });
        calls.end();
        let parked = calls.parked.lock();
        assert!(parked.by_tid.is_empty() && parked.by_id.is_empty() && parked.early.is_empty());
    }

    #[test]
    fn next_call_of_a_thread_replaces_a_dead_one() {
        let calls = Calls::default();
        for id in [7, 8] {
            calls.begin(id, 100, 0);
            calls.end();
        }
        assert_eq!(calls.standing(100, || 0), Standing::Ask(8));
        assert_eq!(calls.parked.lock().by_id.len(), 1);
    }
}
