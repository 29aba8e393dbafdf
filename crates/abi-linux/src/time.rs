//! Time structures (include/uapi/linux/time.h, 64-bit).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// `struct timespec`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    pub tv_sec: i64,
    pub tv_nsec: i64,
}

/// `struct timeval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeval {
    pub tv_sec: i64,
    pub tv_usec: i64,
}

/// `struct itimerspec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerspec {
    pub it_interval: Timespec,
    pub it_value: Timespec,
}

/// `struct itimerval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Itimerval {
    pub it_interval: Timeval,
    pub it_value: Timeval,
}

impl Timespec {
    /// Nanoseconds, saturating; `None` when negative or not normalised (nsec outside 0..1e9), which
    /// Linux answers with EINVAL (timespec64_valid).
    #[must_use]
    pub fn to_ns(self) -> Option<u64> {
        let sec = u64::try_from(self.tv_sec).ok()?;
        let nsec = u64::try_from(self.tv_nsec).ok().filter(|&n| n < NSEC_PER_SEC)?;
        Some(sec.saturating_mul(NSEC_PER_SEC).saturating_add(nsec))
    }

    /// From nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { tv_sec: (ns / NSEC_PER_SEC) as i64, tv_nsec: (ns % NSEC_PER_SEC) as i64 }
    }
}

impl Timeval {
    /// Nanoseconds, saturating; `None` when negative or usec outside 0..1e6.
    #[must_use]
    pub fn to_ns(self) -> Option<u64> {
        let sec = u64::try_from(self.tv_sec).ok()?;
        let usec = u64::try_from(self.tv_usec).ok().filter(|&u| u < 1_000_000)?;
        Some(sec.saturating_mul(NSEC_PER_SEC).saturating_add(usec * 1000))
    }

    /// From nanoseconds, rounded down.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { tv_sec: (ns / NSEC_PER_SEC) as i64, tv_usec: (ns % NSEC_PER_SEC / 1000) as i64 }
    }
}
