//! Calls that the host performs once their registers have been checked: native rows under `--strict`,
//! native calls that did not pass the filter, and `checked` gates of the table.

use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};
use platform_api::Restart;
use syscall_table::Mode;
use syscall_table::seccomp::{Verdict, judge};

use crate::cx::{Cx, Outcome};

/// Lets the host perform the call if its row admits these registers.
pub(crate) fn checked(cx: &Cx) -> SysResult<Outcome> {
    let row = syscall_table::by_nr(cx.call.nr).ok_or(Errno::ENOSYS)?;
    let verdict = judge(row, &cx.call.args);
    if !matches!(verdict, Verdict::Admit) {
        cx.kernel().counts.gate_refusals.fetch_add(1, Ordering::Relaxed);
    }
    match verdict {
        Verdict::Admit => Ok(Outcome::Continue),
        Verdict::BadPointer => Err(Errno::EFAULT),
        Verdict::BadAddress => Err(Errno::ENOMEM),
        Verdict::Refuse => {
            let errno = row.errno.map_or(Errno::EINVAL, |errno| Errno::from_raw(i32::from(errno.value)));
            crate::stub::counted(cx, errno)
        }
    }
}

/// How an interrupted call restarts, by its row.
pub(crate) fn restart_of(nr: i32) -> Restart {
    match syscall_table::by_nr(nr).map(|row| row.mode) {
        Some(Mode::Blocking(syscall_table::Restart::Sys)) => Restart::Sys,
        Some(Mode::Blocking(syscall_table::Restart::NoHand)) => Restart::NoHandler,
        Some(Mode::Blocking(syscall_table::Restart::Eintr) | Mode::Inline) | None => Restart::Never,
    }
}
