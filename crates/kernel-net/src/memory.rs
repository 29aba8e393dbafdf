//! What all sockets of the sandbox together may hold: a bound on supervisor memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use abi_linux::{Errno, SysResult};

const TOTAL_LIMIT: usize = 256 << 20;
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// Counts `size` bytes: ENOBUFS when they are too many.
pub(crate) fn reserve(size: usize) -> SysResult<()> {
    if TOTAL.load(Ordering::Relaxed).saturating_add(size) > TOTAL_LIMIT {
        return Err(Errno::ENOBUFS);
    }
    TOTAL.fetch_add(size, Ordering::Relaxed);
    Ok(())
}

/// Gives back what was reserved.
pub(crate) fn release(size: usize) {
    TOTAL.fetch_sub(size, Ordering::Relaxed);
}
