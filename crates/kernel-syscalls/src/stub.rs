//! Calls that are not implemented: counted, and answered with the errno of their table row.

use std::sync::atomic::{AtomicU32, Ordering};

use abi_linux::{Errno, SysResult};

use crate::cx::{Cx, Outcome};

const NUMBERS: usize = 512;
static COUNTS: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];

/// Answers with `errno` and counts the call; the first of each number is logged.
pub(crate) fn counted(cx: &Cx, errno: Errno) -> SysResult<Outcome> {
    let count = usize::try_from(cx.call.nr).ok().and_then(|nr| COUNTS.get(nr));
    if count.is_some_and(|count| count.fetch_add(1, Ordering::Relaxed) == 0) {
        tracing::debug!(nr = cx.call.nr, %errno, "stub");
    }
    Err(errno)
}

/// How often each stub was called: number and count.
#[must_use]
pub fn stub_counts() -> Vec<(i32, u32)> {
    let counts = COUNTS.iter().enumerate();
    counts.map(|(nr, n)| (nr as i32, n.load(Ordering::Relaxed))).filter(|&(_, n)| n > 0).collect()
}
