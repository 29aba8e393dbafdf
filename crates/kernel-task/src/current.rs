//! The guest thread whose call a supervisor thread handles at the moment (Linux's `current`), for the few
//! files whose readiness depends on who asks: [`kernel_vfs::file::FileOps::poll`] is not told.

use std::cell::{Cell, RefCell};

use platform_api::HostTid;

thread_local! {
    static CURRENT: Cell<HostTid> = const { Cell::new(0) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
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

/// This thread panics, here: called by the process's panic hook.
pub fn note_panic(place: String) {
    PANIC.with(|panic| panic.replace(Some(place)));
}

/// Where this thread panicked last, once.
#[must_use]
pub fn take_panic() -> Option<String> {
    PANIC.with(|panic| panic.take())
}
