//! Calls that the host performs once their registers have been checked: native rows under `--strict`,
//! native calls that did not pass the filter, and `checked` gates of the table.

use abi_linux::{Errno, SysResult};
use syscall_table::seccomp::{Verdict, judge};

use crate::cx::{Cx, Outcome};

/// Lets the host perform the call if its row admits these registers.
pub(crate) fn checked(cx: &Cx) -> SysResult<Outcome> {
    let row = syscall_table::by_nr(cx.call.nr).ok_or(Errno::ENOSYS)?;
    match judge(row, &cx.call.args) {
        Verdict::Admit => Ok(Outcome::Continue),
        Verdict::BadPointer => Err(Errno::EFAULT),
        Verdict::BadAddress => Err(Errno::ENOMEM),
        Verdict::Refuse => {
            let errno = row.errno.map_or(Errno::EINVAL, |errno| Errno::from_raw(i32::from(errno.value)));
            crate::stub::counted(cx, errno)
        }
    }
}
