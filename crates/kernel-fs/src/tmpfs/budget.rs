//! What all instances together may hold, whatever each allows by itself: their pages are memory of the supervisor, which no
//! limit of a container's cgroup covers.

use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};

use super::PAGE_SIZE;

/// Pages, and how many there may be.
pub(super) struct Budget {
    held: AtomicU64,
    most: AtomicU64,
}

/// That of this process, whose containers share it.
pub(super) static ALL: Budget = Budget::new();

/// A container has come that may hold so many bytes. As long as none has, there is no limit.
pub fn allow(bytes: u64) {
    ALL.allow(bytes);
}

impl Budget {
    const fn new() -> Self {
        Self { held: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) }
    }

    fn allow(&self, bytes: u64) {
        let pages = bytes / PAGE_SIZE;
        let more = |most| Some(if most == u64::MAX { pages } else { pages.saturating_add(most) });
        // The closure always returns a value.
        let _ = self.most.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes pages; ENOSPC.
    pub(super) fn take(&self, pages: u64) -> SysResult<()> {
        let before = self.held.fetch_add(pages, Ordering::Relaxed);
        if before.saturating_add(pages) > self.most.load(Ordering::Relaxed) {
            self.give_back(pages);
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    pub(super) fn give_back(&self, pages: u64) {
        self.held.fetch_sub(pages, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Errno, PAGE_SIZE};

    #[test]
    fn containers_together_hold_what_each_may() {
        let budget = Budget::new();
        assert_eq!(budget.take(100), Ok(()), "nobody has said anything yet");
        budget.allow(150 * PAGE_SIZE);
        assert_eq!(budget.take(51), Err(Errno::ENOSPC));
        assert_eq!(budget.take(50), Ok(()));
        budget.allow(10 * PAGE_SIZE);
        assert_eq!(budget.take(11), Err(Errno::ENOSPC));
        budget.give_back(1);
        assert_eq!(budget.take(11), Ok(()));
    }
}
