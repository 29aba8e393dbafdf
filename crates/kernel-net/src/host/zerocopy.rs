//! MSG_ZEROCOPY: what is sent is copied, and its sender is told so (Documentation/networking/msg_zerocopy.rst, "copied"
//! notifications).

use std::sync::atomic::{AtomicBool, Ordering};

use kernel_base::sync::Mutex;

use crate::inet::address::Version;
use crate::socket::{MessageFlags, RawControl, Received};

/// SO_EE_ORIGIN_ZEROCOPY and SO_EE_CODE_ZEROCOPY_COPIED.
const ORIGIN: u8 = 5;
const COPIED: u8 = 1;

/// SO_ZEROCOPY of one socket, and the sends that were not told of yet.
#[derive(Default)]
pub(super) struct Zerocopy {
    pub(super) is_on: AtomicBool,
    /// The first not told, and the next.
    range: Mutex<(u32, u32)>,
}

impl Zerocopy {
    /// A message was sent with the flag: whether somebody is to be told.
    pub(super) fn add(&self) -> bool {
        let is_on = self.is_on.load(Ordering::Relaxed);
        if is_on {
            let mut range = self.range.lock();
            range.1 = range.1.wrapping_add(1);
        }
        is_on
    }

    pub(super) fn has_news(&self) -> bool {
        self.is_on.load(Ordering::Relaxed) && {
            let (first, next) = *self.range.lock();
            first != next
        }
    }

    pub(super) fn inherit(&self, from: &Self) {
        self.is_on.store(from.is_on.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The notification of all that was sent since the last (skb_zcopy, ip_recv_error).
    pub(super) fn take(&self, version: Version) -> Option<Received> {
        let mut range = self.range.lock();
        let (first, next) = *range;
        if first == next {
            return None;
        }
        range.0 = next;
        drop(range);
        // `struct sock_extended_err`, and the offender's address, which is none.
        let mut data = vec![0, 0, 0, 0, ORIGIN, 0, COPIED, 0];
        data.extend_from_slice(&first.to_ne_bytes());
        data.extend_from_slice(&next.wrapping_sub(1).to_ne_bytes());
        let (level, kind, size) = match version {
            Version::V4 => (0, 11, 32),
            Version::V6 => (41, 25, 44),
        };
        data.resize(size, 0);
        Some(Received {
            flags: MessageFlags::ERRQUEUE,
            others: vec![RawControl { level, kind, data }],
            is_last: true,
            ..Received::default()
        })
    }
}
