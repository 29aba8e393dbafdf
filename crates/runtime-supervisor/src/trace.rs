//! `--strace`: a line for each call that reached the supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::sync::Mutex;
use kernel_syscalls::{Outcome, Trace, strace};
use kernel_task::Task;
use platform_api::Syscall;

/// Where the lines go.
#[derive(Debug)]
pub enum TraceTo {
    Stderr,
    File(File),
}

struct Printer {
    to: Mutex<TraceTo>,
}

/// Makes the tracer.
pub(crate) fn start(to: TraceTo) -> Arc<dyn Trace> {
    Arc::new(Printer { to: Mutex::new(to) })
}

impl Trace for Printer {
    fn call(&self, task: &Task, call: &Syscall, result: &SysResult<Outcome>) {
        let mem = |addr: u64, buf: &mut [u8]| task.mem().read_partial(addr, buf).unwrap_or(0);
        let line = strace::line(call.nr, &call.args, result, &mem);
        let line = format!("[pid {:>5}] {line}\n", task.guest_tid);
        // A trace that can't be written must not disturb the guest.
        let _ = match &mut *self.to.lock() {
            TraceTo::Stderr => io::stderr().write_all(line.as_bytes()),
            TraceTo::File(file) => file.write_all(line.as_bytes()),
        };
    }
}
