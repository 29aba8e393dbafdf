//! Numbers below /proc/sys that a guest's root may set.

use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};

/// A number with bounds.
#[derive(Debug)]
pub struct Tunable {
    value: AtomicU64,
    min: u64,
    max: u64,
}

impl Tunable {
    /// A number that stands at `value` and may be set to `min..=max`.
    #[must_use]
    pub const fn new(value: u64, min: u64, max: u64) -> Self {
        Self { value: AtomicU64::new(value), min, max }
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// [`Tunable::get`] as a count of things in memory.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.get()).unwrap_or(usize::MAX)
    }

    /// Sets it; EINVAL outside its bounds.
    pub fn set(&self, value: u64) -> SysResult<()> {
        if !(self.min..=self.max).contains(&value) {
            return Err(Errno::EINVAL);
        }
        self.value.store(value, Ordering::Relaxed);
        Ok(())
    }
}
