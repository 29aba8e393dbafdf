//! Programs that are not to be written because a process runs them or is about to (ETXTBSY), and no longer are: the host
//! tells of neither a death nor a refused exec at once.

use std::sync::Arc;

use platform_api::ProcFile;

use super::image::{ExecState, PendingExec};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::Task;

const EXECVEAT: &[u8] = b"322";

impl Kernel {
    /// Processes that the host has ended, or has not let execute, let go of their programs: `writer` wants to write one.
    pub fn release_programs(self: &Arc<Self>, writer: &Task) {
        for process in self.processes() {
            let holds = process.image.read().execution.is_some() || process.is_changing_image();
            if holds && self.has_ended(&process) {
                process.end_image();
            }
            self.forget_refused_exec(&process, writer);
        }
    }

    fn has_ended(&self, process: &Process) -> bool {
        matches!(self.host_state(process.tgid), None | Some(b'Z' | b'X'))
    }

    fn forget_refused_exec(&self, process: &Process, writer: &Task) {
        let started = match &*process.exec.lock() {
            ExecState::Started(exec) => Arc::clone(exec),
            _ => return,
        };
        if started.tid != writer.tid && !self.was_refused(process, &started) {
            return;
        }
        let mut state = process.exec.lock();
        if matches!(&*state, ExecState::Started(exec) if Arc::ptr_eq(exec, &started)) {
            *state = ExecState::None;
        }
        // The last reference to a file goes with `started`, outside the lock.
        drop(state);
    }

    /// Whether a thread waits in another call in its old image.
    fn was_refused(&self, process: &Process, exec: &PendingExec) -> bool {
        const LINE_LEN: usize = 256;
        let mut line = Vec::new();
        let read = self.platform.read_proc(exec.tid, ProcFile::Syscall, LINE_LEN, &mut line);
        let call = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let waits_elsewhere = call.first().is_some_and(u8::is_ascii_digit) && call != EXECVEAT;
        let image = Arc::clone(&process.image.read());
        let is_old = || {
            process.any_task().is_some_and(|task| task.host_auxv().ok().as_ref() == Some(&image.host_auxv))
        };
        read.is_ok() && waits_elsewhere && is_old()
    }
}
