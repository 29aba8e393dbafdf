//! The wait itself.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use abi_linux::fs::Events;
use abi_linux::time::{NSEC_PER_SEC, Timespec};
use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;
use kernel_base::wait::WaitKey;
use kernel_vfs::file::File;
use zerocopy::{Immutable, IntoBytes};

use crate::cx::Cx;

/// Of personality(2).
const STICKY_TIMEOUTS: u32 = 0x0400_0000;

/// Until when a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// It only looks.
    Now,
    /// Monotonic time in nanoseconds.
    At(u64),
    Never,
}

impl Deadline {
    /// From a count of nanoseconds.
    pub(super) fn after_ns(cx: &Cx, ns: u64) -> Self {
        match ns {
            0 => Self::Now,
            ns => Self::At(cx.kernel().timers.now_ns().saturating_add(ns)),
        }
    }

    /// From the timeout of poll(2): milliseconds, for ever when negative.
    pub(super) fn after_ms(cx: &Cx, ms: i32) -> Self {
        u64::try_from(ms).map_or(Self::Never, |ms| Self::after_ns(cx, ms * (NSEC_PER_SEC / 1000)))
    }

    /// From an optional timespec; EINVAL when it is negative or not normalised.
    pub(super) fn after(cx: &Cx, timeout: Option<Timespec>) -> SysResult<Self> {
        match timeout {
            None => Ok(Self::Never),
            Some(time) => Ok(Self::after_ns(cx, time.to_ns().ok_or(Errno::EINVAL)?)),
        }
    }

    /// Writes back to `timeout` what is left of it: ppoll(2), select(2); fs/select.c:poll_select_finish.
    pub(super) fn write_left<T: IntoBytes + Immutable>(
        self,
        cx: &Cx,
        timeout: UserRef<T>,
        from_ns: impl FnOnce(u64) -> T,
    ) {
        if cx.process.personality.load(Ordering::Relaxed) & STICKY_TIMEOUTS != 0 {
            return;
        }
        let Some(at) = timeout.non_null() else { return };
        let left = match self {
            Self::At(at) => at.saturating_sub(cx.kernel().timers.now_ns()),
            Self::Now | Self::Never => 0,
        };
        // A timeout in read-only memory is no error.
        let _ = cx.mem().write(at, &from_ns(left));
    }
}

/// A file and what is waited for.
pub(super) type Interest = (Arc<File>, Events);

/// Entries in the wait queues of files, taken out when dropped.
struct Registrations<'a> {
    files: &'a [Interest],
    keys: Vec<Option<WaitKey>>,
}

impl Registrations<'_> {
    fn add_all(&mut self, waker: &Waker) {
        if self.keys.len() != self.files.len() {
            let add = |(file, events): &Interest| Some(file.ops.wait_queue()?.add_waker(*events, waker));
            self.keys = self.files.iter().map(add).collect();
        }
    }
}

impl Drop for Registrations<'_> {
    fn drop(&mut self) {
        for ((file, _), key) in self.files.iter().zip(&self.keys) {
            if let (Some(queue), Some(key)) = (file.ops.wait_queue(), key) {
                queue.remove(*key);
            }
        }
    }
}

/// Waits until `look` gives something; `None` at the deadline. Registers first and looks then, so that no
/// change in between is lost.
pub(super) async fn wait_for<T>(
    cx: &Cx,
    files: &[Interest],
    deadline: Deadline,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    // What has come for files of the host so far counts as if it had been told.
    cx.kernel().platform.look_at_shared();
    let found = look();
    if found.is_some() || deadline == Deadline::Now {
        return found;
    }
    wait_more(cx, files, deadline, look).await
}

/// The wait of who has looked.
pub(super) async fn wait_more<T>(
    cx: &Cx,
    files: &[Interest],
    deadline: Deadline,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let timers = &cx.kernel().timers;
    let mut timeout = pin!(async {
        match deadline {
            Deadline::At(at) => timers.sleep_until(at).await,
            _ => pending().await,
        }
    });
    let mut registrations = Registrations { files, keys: Vec::new() };
    poll_fn(|context| {
        registrations.add_all(context.waker());
        match look() {
            Some(found) => Poll::Ready(Some(found)),
            None => timeout.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}
