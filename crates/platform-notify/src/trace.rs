//! Substitution and interruption: replies that need ptrace.
//!
//! A received call waits killably, so PTRACE_INTERRUPT only marks its thread (TIF_SIGPENDING, JOBCTL_TRAP_STOP); the
//! reply then takes it out of the wait, and it stops on its way to user mode, in get_signal(), before any signal
//! is taken and before a restart code is looked at (Linux v6.18 kernel/signal.c:get_signal,
//! arch/x86/kernel/signal.c:arch_do_signal_or_restart). That first stop is PTRACE_EVENT_STOP, also in a
//! group stop. A signal-delivery stop could come first only on a kernel that took signals before the trap;
//! it would carry its signal, which detaching then delivers, on top of the new registers: the handler runs
//! first, and returns to the substituted call.
//!
//! A tracee belongs to the thread that seized it; `host_sys::ptrace` makes that a matter of types.

use std::os::fd::BorrowedFd;

use abi_linux::{Errno, SysResult};
use host_sys::ptrace::{self, Next, Registers, Stopped};
use host_sys::seccomp::{self, Answer};
use platform_api::{Performed, Range, Restart, Step, Syscall};

use crate::memory;

/// The `syscall` instruction, which is what gets executed again.
const SYSCALL_INSTRUCTION: [u8; 2] = [0x0f, 0x05];

const EXECVEAT: i32 = 322;
const CLONE: i32 = 56;
const FORK: i32 = 57;
const VFORK: i32 = 58;
const RT_SIGSUSPEND: i32 = 130;

/// How many stops of its group a redirected thread passes through before it is left where it is: enough for
/// any that is not a storm, in which a hostile group would keep a worker.
const MAX_GROUP_STOPS: usize = 64;

/// Kernel-internal codes (include/linux/errno.h).
const ERESTARTSYS: i32 = 512;
const ERESTARTNOHAND: i32 = 514;

/// Seizes the call's thread, answers, and waits until it stops. `None`: it died; the call is forgotten.
fn stop_with(
    listener: BorrowedFd<'_>,
    call: &Syscall,
    own_child: bool,
    answer: Answer,
) -> SysResult<Option<Stopped>> {
    let seized = match ptrace::seize(call.tid) {
        Ok(seized) => seized,
        Err(Errno::ESRCH) => return Ok(None),
        // EPERM is also the answer about a thread that is dying (Linux v6.18 kernel/ptrace.c:ptrace_attach).
        Err(Errno::EPERM) if !seccomp::id_valid(listener, call.id.0) => return Ok(None),
        Err(error) => return Err(error),
    };
    // It may die at any point; then the wait below says so.
    let _ = seized.interrupt();
    let _ = seccomp::send(listener, call.id.0, answer);
    match seized.wait(own_child)? {
        Next::Stopped(stopped) => Ok(Some(stopped)),
        Next::Gone => Ok(None),
    }
}

/// Whether the call came from a `syscall` instruction that can be executed again: ENOSYS if not; false when the
/// thread is gone.
fn check_instruction(call: &Syscall) -> SysResult<bool> {
    let at = call.instruction_pointer.wrapping_sub(2);
    let mut code = [0; 2];
    // Another thread may change the code afterwards; then the guest runs what it wrote, as it may anyway, and
    // every call in it passes the filter.
    match memory::read(call.tid, &[Range { addr: at, len: 2 }], &mut code) {
        Ok(2) if code == SYSCALL_INSTRUCTION => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        _ => Err(Errno::ENOSYS),
    }
}

/// Has the call's thread perform `nr(args)` instead.
pub(crate) fn substitute(
    listener: BorrowedFd<'_>,
    own_child: bool,
    call: &Syscall,
    nr: i32,
    args: [u64; 6],
) -> SysResult<()> {
    if !check_instruction(call)? {
        return Ok(());
    }
    let Some(stopped) = stop_with(listener, call, own_child, Answer::Value(0))? else { return Ok(()) };
    match redirect(&stopped, call, nr, args) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(tid = call.tid, %error, "cannot redirect a stopped thread"),
    }
    if matches!(nr, EXECVEAT | CLONE | FORK | VFORK) {
        // It arrives as a notification, so it can't be waited for here. Nothing of the registers survives execveat; a clone
        // leaves the caller with those that it was made with.
        // ESRCH: killed while stopped.
        let _ = stopped.detach();
        return Ok(());
    }
    restore_after(stopped, call, own_child, nr)
}

/// Waits until the redirected call is done and gives the argument registers back: a compiler relies on a system
/// call to preserve them. The call must be one that the filter allows and that does not wait.
fn restore_after(stopped: Stopped, call: &Syscall, own_child: bool, nr: i32) -> SysResult<()> {
    // A signal's handler would run before the redirected call, which would then keep its registers. (sigsuspend has
    // a mask of its own, and is there to be interrupted.)
    let mask = if nr == RT_SIGSUSPEND { None } else { stopped.replace_signal_mask(u64::MAX).ok() };
    let unblock = |stopped: &Stopped| mask.map(|mask| stopped.replace_signal_mask(mask));
    let entry = match go_to_entry(stopped, call, nr, own_child)? {
        Arrival::Entry(entry) => entry,
        Arrival::Elsewhere(elsewhere) => {
            unblock(&elsewhere);
            let _ = elsewhere.detach();
            return Ok(());
        }
        Arrival::Gone => return Ok(()),
    };
    let Next::Stopped(exit) = entry.go_to_syscall(own_child)? else { return Ok(()) };
    if let Ok(mut registers) = exit.registers() {
        [registers.rdi, registers.rsi, registers.rdx] = [call.args[0], call.args[1], call.args[2]];
        [registers.r10, registers.r8, registers.r9] = [call.args[3], call.args[4], call.args[5]];
        let _ = exit.set_registers(&registers);
    }
    unblock(&exit);
    let _ = exit.detach();
    Ok(())
}

/// Where a redirected thread went.
enum Arrival {
    Entry(Stopped),
    /// A handler comes first.
    Elsewhere(Stopped),
    Gone,
}

/// Lets a redirected thread go on to the entry of its call.
///
/// A stop of its group (SIGSTOP can't be blocked) is passed through: first as the signal's delivery, then as the
/// group's stop. Detaching puts the thread back into that stop (Linux v6.18 kernel/ptrace.c:__ptrace_unlink).
fn go_to_entry(mut stopped: Stopped, call: &Syscall, nr: i32, own_child: bool) -> SysResult<Arrival> {
    for _ in 0..MAX_GROUP_STOPS {
        let Next::Stopped(next) = stopped.go_to_syscall(own_child)? else { return Ok(Arrival::Gone) };
        if is_entry(&next, call, nr) {
            return Ok(Arrival::Entry(next));
        }
        stopped = next;
        if stopped.signal().is_some_and(|signal| signal != libc::SIGSTOP) {
            break;
        }
    }
    Ok(Arrival::Elsewhere(stopped))
}

/// Whether a stop is the entry of the redirected call, not a signal that came first.
fn is_entry(stop: &Stopped, call: &Syscall, nr: i32) -> bool {
    let at_call =
        |now: Registers| now.rip == call.instruction_pointer && now.orig_rax == i64::from(nr) as u64;
    stop.registers().is_ok_and(at_call)
}

/// Has the call's thread perform calls one after the other, as `next` says.
pub(crate) fn perform(
    listener: BorrowedFd<'_>,
    own_child: bool,
    call: &Syscall,
    next: &mut dyn FnMut(Performed) -> Step,
) -> SysResult<()> {
    if !check_instruction(call)? {
        return Ok(());
    }
    let Some(mut stopped) = stop_with(listener, call, own_child, Answer::Value(0))? else { return Ok(()) };
    // No handler runs in between.
    let mask = stopped.replace_signal_mask(u64::MAX).ok();
    let mut step = next(Performed::Started);
    while let Step::Perform { nr, args } = step {
        redirect(&stopped, call, nr, args)?;
        let entry = match go_to_entry(stopped, call, nr, own_child)? {
            Arrival::Entry(entry) => entry,
            Arrival::Elsewhere(elsewhere) => {
                stopped = elsewhere;
                step = next(Performed::Interrupted);
                break;
            }
            Arrival::Gone => return Ok(()),
        };
        let Next::Stopped(exit) = entry.go_to_syscall(own_child)? else { return Ok(()) };
        let result = exit.registers()?.rax.cast_signed();
        stopped = exit;
        step = next(Performed::Result(result));
    }
    let result = conclude(&stopped, call, step);
    if let Some(mask) = mask {
        let _ = stopped.replace_signal_mask(mask);
    }
    let _ = stopped.detach();
    // ESRCH: killed while stopped.
    if result == Err(Errno::ESRCH) { Ok(()) } else { result }
}

/// Leaves a thread as if its call had returned, or right before it.
fn conclude(stopped: &Stopped, call: &Syscall, step: Step) -> SysResult<()> {
    let mut registers = stopped.registers()?;
    registers.orig_rax = u64::MAX;
    [registers.rdi, registers.rsi, registers.rdx] = [call.args[0], call.args[1], call.args[2]];
    [registers.r10, registers.r8, registers.r9] = [call.args[3], call.args[4], call.args[5]];
    (registers.rip, registers.rax) = match step {
        Step::Return(value) => (call.instruction_pointer, value.cast_unsigned()),
        Step::Perform { .. } | Step::Again => {
            (call.instruction_pointer.wrapping_sub(2), i64::from(call.nr).cast_unsigned())
        }
    };
    stopped.set_registers(&registers)
}

/// Points a thread that is leaving `call` at the instruction again, with other registers.
fn redirect(stopped: &Stopped, call: &Syscall, nr: i32, args: [u64; 6]) -> SysResult<()> {
    let mut registers = stopped.registers()?;
    if registers.rip != call.instruction_pointer {
        return Err(Errno::EINVAL);
    }
    let [rdi, rsi, rdx, r10, r8, r9] = args;
    registers.rip = call.instruction_pointer.wrapping_sub(2);
    registers.rax = i64::from(nr) as u64;
    // "Not in a system call": no restart logic looks at rax.
    registers.orig_rax = u64::MAX;
    registers.rdi = rdi;
    registers.rsi = rsi;
    registers.rdx = rdx;
    registers.r10 = r10;
    registers.r8 = r8;
    registers.r9 = r9;
    stopped.set_registers(&registers)
}

/// Answers a call so that its thread takes its signal.
pub(crate) fn interrupt(
    listener: BorrowedFd<'_>,
    own_child: bool,
    call: &Syscall,
    restart: Restart,
    certain: bool,
) -> SysResult<()> {
    let code = match restart {
        // Needs no look at pending signals on the way out: a plain error number.
        Restart::Never => return send(listener, call, libc::EINTR),
        Restart::Interrupted => libc::EINTR,
        Restart::Sys => ERESTARTSYS,
        Restart::NoHandler => ERESTARTNOHAND,
    };
    if certain {
        return send(listener, call, code);
    }
    // Without TIF_SIGPENDING nobody would turn the code into a restart, and the guest would see it. The stop sets
    // it, so get_signal() runs, takes whatever signal there is, and the code is dealt with in any case.
    if let Some(stopped) = stop_with(listener, call, own_child, Answer::Error(code))? {
        let _ = stopped.detach();
    }
    Ok(())
}

fn send(listener: BorrowedFd<'_>, call: &Syscall, code: i32) -> SysResult<()> {
    match seccomp::send(listener, call.id.0, Answer::Error(code)) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}
