//! The guest thread whose call a supervisor thread handles at the moment (Linux's `current`), for the few
//! files whose readiness depends on who asks: [`kernel_vfs::file::FileOps::poll`] is not told.

use std::cell::Cell;

use platform_api::HostTid;

thread_local! {
    static CURRENT: Cell<HostTid> = const { Cell::new(0) };
}

/// This thread works for guest thread `tid` from now on.
pub fn set(tid: HostTid) {
    CURRENT.set(tid);
}

/// For whom this thread works; outside a call, for whom it did last.
#[must_use]
pub fn tid() -> HostTid {
    CURRENT.get()
}
