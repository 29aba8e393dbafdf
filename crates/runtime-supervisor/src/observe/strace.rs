//! `--strace`: a line for each call that reached the supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use kernel_base::sync::Mutex;
use kernel_syscalls::{Observed, Observer, strace};

/// Where the lines go.
#[derive(Debug)]
pub enum TraceTo {
    Stderr,
    File(File),
}

struct Printer {
    to: Mutex<TraceTo>,
}

/// Makes the printer.
pub(crate) fn printer(to: TraceTo) -> Arc<dyn Observer> {
    Arc::new(Printer { to: Mutex::new(to) })
}

impl Observer for Printer {
    fn call(&self, observed: &Observed<'_>) {
        let Observed { task, call, ending, .. } = *observed;
        let mem = |addr: u64, buf: &mut [u8]| task.mem().read_partial(addr, buf).unwrap_or(0);
        let line = strace::line(call.nr, &call.args, ending, &mem);
        let line = format!("[pid {:>5}] {line}\n", task.guest_tid);
        // A trace that can't be written must not disturb the guest.
        let _ = match &mut *self.to.lock() {
            TraceTo::Stderr => io::stderr().write_all(line.as_bytes()),
            TraceTo::File(file) => file.write_all(line.as_bytes()),
        };
    }
}
