//! What the host takes of a thread's time: calls, and copies of guest memory. Counted while somebody wants to know;
//! otherwise it costs the load of a flag.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Counts of one thread, which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub calls: u64,
    pub call_ns: u64,
    pub copies: u64,
    pub copy_ns: u64,
}

/// How many want to know.
static WANTED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { calls: 0, call_ns: 0, copies: 0, copy_ns: 0 }) };
}

/// Begins to count; to be ended as often.
pub fn begin() {
    WANTED.fetch_add(1, Ordering::Relaxed);
}

/// Ends what [`begin`] began.
pub fn end() {
    WANTED.fetch_sub(1, Ordering::Relaxed);
}

/// What this thread has spent so far.
#[must_use]
pub fn spent() -> Spent {
    SPENT.get()
}

fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed) > 0
}

/// Makes a host call. Calls within it count as one.
#[inline]
pub fn host<T>(call: impl FnOnce() -> T) -> T {
    if is_wanted() {
        metered(call, |spent, ns| (spent.calls, spent.call_ns) = (spent.calls + 1, spent.call_ns + ns))
    } else {
        call()
    }
}

/// Copies guest memory.
#[inline]
pub fn copy<T>(copy: impl FnOnce() -> T) -> T {
    if is_wanted() {
        metered(copy, |spent, ns| (spent.copies, spent.copy_ns) = (spent.copies + 1, spent.copy_ns + ns))
    } else {
        copy()
    }
}

#[cold]
fn metered<T>(call: impl FnOnce() -> T, add: impl FnOnce(&mut Spent, u64)) -> T {
    let before = SPENT.get();
    let began = Instant::now();
    let done = call();
    let ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    // What was counted within is forgotten.
    let mut spent = before;
    add(&mut spent, ns);
    SPENT.set(spent);
    done
}

#[cfg(test)]
mod tests {
    use super::{Spent, begin, copy, end, host, spent};

    #[test]
    fn only_what_is_wanted_is_counted_and_inner_calls_count_once() {
        std::thread::spawn(|| {
            host(|| ());
            begin();
            let before = spent();
            host(|| host(|| ()));
            copy(|| ());
            let after = spent();
            end();
            // Another test of this process may have wanted it before.
            assert_eq!((after.calls - before.calls, after.copies - before.copies), (1, 1));
            assert!(before == Spent { calls: before.calls, call_ns: before.call_ns, ..Spent::default() });
        })
        .join()
        .expect("it does not panic");
    }
}
