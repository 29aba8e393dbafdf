//! Reads a filter back from a guest that has it.

use std::os::fd::AsFd;

use abi_linux::{Errno, SysResult};
use host_sys::ptrace;
use host_sys::seccomp::{self, Answer, Instruction};

use super::probe::{bare, next_call};
use crate::spawn;

/// Makes a guest with `filter` and asks the host what filter it has (PTRACE_SECCOMP_GET_FILTER of ptrace(2)): wants
/// CAP_SYS_ADMIN and a kernel with CONFIG_CHECKPOINT_RESTORE. The guest executes nothing.
pub fn installed_filter(filter: &[Instruction]) -> SysResult<Vec<Instruction>> {
    let container = spawn(bare(filter, c"surface")).map_err(|error| error.errno)?;
    let call = next_call(container.listener())?;
    let seized = ptrace::seize(container.init())?;
    seized.interrupt()?;
    // ERESTARTSYS: it stops on its way out of the call.
    seccomp::send(container.listener().as_fd(), call.id, Answer::Error(512))?;
    match seized.wait(true)? {
        ptrace::Next::Stopped(stopped) => {
            let program = stopped.seccomp_filter(0);
            stopped.detach()?;
            program
        }
        ptrace::Next::Gone => Err(Errno::ESRCH),
    }
}
