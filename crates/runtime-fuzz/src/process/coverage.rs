//! Counters of edges, where the program was built with them: `cargo xtask fuzz` does.
//!
//! The compiler's sancov pass gives each edge a byte and tells where they are. Without it there are no counters.

use std::sync::atomic::{AtomicUsize, Ordering};

static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Called by instrumented code before main, once for each object file with the same range.
///
/// # Safety
/// `start` and `stop` are the ends of the program's section of counters.
// SAFETY: the name is the sanitizers', and nobody else in this program defines it.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    START.store(start as usize, Ordering::Relaxed);
    END.store(stop as usize, Ordering::Relaxed);
}

/// Whether there are counters.
pub fn is_instrumented() -> bool {
    END.load(Ordering::Relaxed) > START.load(Ordering::Relaxed)
}

fn counters() -> &'static mut [u8] {
    let (start, end) = (START.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    if end <= start {
        return &mut [];
    }
    // SAFETY: the section that the compiler made, of bytes that only ever count; engines run on one thread of a process,
    // so that nobody else holds this slice.
    unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) }
}

/// Forgets what was counted.
pub(super) fn clear() {
    counters().fill(0);
}

/// Each edge that was passed, with about how often.
pub(super) fn features(out: &mut Vec<u32>) {
    for (chunk_at, chunk) in counters().chunks(8).enumerate() {
        // Nearly all are 0.
        if chunk.iter().all(|&count| count == 0) {
            continue;
        }
        for (at, &count) in chunk.iter().enumerate().filter(|(_, count)| **count > 0) {
            let bucket = 8 - u32::from(count.leading_zeros() as u8);
            out.push(((chunk_at * 8 + at) as u32) << 3 | (bucket - 1));
        }
    }
}
