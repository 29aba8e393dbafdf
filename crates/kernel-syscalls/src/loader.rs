//! The private calls of the loader program (guest-loader's `protocol.rs`). Anybody else who tries one gets
//! what Linux answers for an unknown number.

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use guest_loader::protocol::{
    EVENT_ATTACH, EVENT_CONTINUED, EVENT_EXITED, EVENT_STOPPED, MAX_PLAN_LEN, OUTCOME_OK, ROLE_INIT_CHILD,
};
use kernel_task::exec::ImageLayout;
use kernel_task::kernel::{ContainerEvents, ExitStatus};
use kernel_task::signal_actions::SignalPage;
use platform_api::SignalTarget;

use crate::cx::{Cx, Outcome};

fn unknown(_: Errno) -> Errno {
    Errno::ENOSYS
}

/// LOADER_INFO: the plan of the image that this process is about to run.
pub(crate) fn sys_loader_info(
    cx: &Cx,
    buf: u64,
    len: usize,
    role: u32,
    signal_page: u64,
) -> SysResult<usize> {
    // Before anything changes: no plan is longer.
    if len < MAX_PLAN_LEN {
        return Err(if cx.process.is_loading() { Errno::EINVAL } else { Errno::ENOSYS });
    }
    let plan = cx.begin_image(u64::from(role) == ROLE_INIT_CHILD).map_err(unknown)?;
    // Without one, the host calls handlers as they are.
    if let Ok(page) = SignalPage::new(signal_page) {
        cx.set_signal_page(page);
    }
    cx.mem().write_bytes(buf, &plan)?;
    Ok(plan.len())
}

/// LOADER_DONE: the image is complete, or cannot be.
pub(crate) fn sys_loader_done(
    cx: &Cx,
    outcome: i32,
    arg1: u64,
    arg2: u64,
    arg3: u64,
    arg4: u64,
    arg5: u64,
) -> SysResult<Outcome> {
    if u64::from(outcome.cast_unsigned()) == OUTCOME_OK {
        let _vdso = arg2;
        let layout = ImageLayout { stack_pointer: arg1, exe_bias: arg3, arg_start: arg4, arg_end: arg5 };
        cx.finish_image(layout).map_err(unknown)?;
        return match cx.process.take_start_filter() {
            Some(filter) => crate::process::seccomp::install_at_start(cx, filter),
            None => Ok(Outcome::Value(0)),
        };
    }
    if !cx.process.is_loading() {
        return Err(Errno::ENOSYS);
    }
    tracing::info!(pid = cx.process.pid, step = outcome, errno = arg1, index = arg2, "image failed to load");
    // Past the point of no return: Linux v6.12 fs/exec.c:bprm_execve kills as well.
    cx.kernel().platform.send_signal(SignalTarget::Process(cx.process.tgid), Signal::SIGKILL).map(Into::into)
}

/// INIT_EVENT: what happened to the main child of an init.
pub(crate) fn sys_init_event(cx: &Cx, event: i32, pid: i32, status: u32) -> SysResult<()> {
    let event = u64::from(event.cast_unsigned());
    let is_init = cx.process.pid == 1;
    if !cx.process.is_loading() || is_init == (event == EVENT_ATTACH) {
        return Err(Errno::ENOSYS);
    }
    match (event, cx.kernel().events.get()) {
        (EVENT_EXITED, _) => cx.kernel().finished(exit_status(status)),
        (_, Some(owner)) => tell(&**owner, event, pid, cx.process.pid, status)?,
        _ => {}
    }
    Ok(())
}

fn tell(owner: &dyn ContainerEvents, event: u64, child: i32, me: i32, status: u32) -> SysResult<()> {
    match event {
        EVENT_ATTACH => owner.attached(me),
        EVENT_STOPPED => owner.stopped(child, (status >> 8 & 0xff) as i32),
        EVENT_CONTINUED => owner.continued(child),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// From the status of wait(2).
fn exit_status(raw: u32) -> ExitStatus {
    match raw & 0x7f {
        0 => ExitStatus::Code((raw >> 8 & 0xff) as i32),
        signal => ExitStatus::Signal(signal as i32),
    }
}
