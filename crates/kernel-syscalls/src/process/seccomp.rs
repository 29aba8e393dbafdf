//! seccomp(2) and prctl(PR_SET_SECCOMP): Linux v6.18 kernel/seccomp.c:do_seccomp.
//!
//! A filter is checked here and then installed by the thread itself on the host, translated, from memory that it is
//! made to map for that moment. Listeners are refused as in a process that has one already: EBUSY.

use std::sync::Arc;

use abi_linux::raw::general::{
    __NR_mmap, __NR_munmap, __NR_seccomp, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE,
};
use abi_linux::seccomp::{
    BPF_MAXINSNS, NotifSizes, SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
    SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SockFilter, SockFprog,
};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;
use kernel_task::seccomp::program::{CallData, Program};
use kernel_task::seccomp::{Filter, Judgement, Mode, strict_for_host};
use platform_api::{Performed, SignalTarget, Step};
use syscall_table::Disposition;
use zerocopy::IntoBytes;

use crate::cx::{Cx, Outcome};

const SECCOMP_SET_MODE_STRICT: u32 = 0;
const SECCOMP_SET_MODE_FILTER: u32 = 1;
const SECCOMP_GET_ACTION_AVAIL: u32 = 2;
const SECCOMP_GET_NOTIF_SIZES: u32 = 3;

const FLAG_TSYNC: u32 = 1;
const FLAG_NEW_LISTENER: u32 = 8;
const FLAG_TSYNC_ESRCH: u32 = 16;
const FLAG_WAIT_KILLABLE_RECV: u32 = 32;
/// These and LOG and SPEC_ALLOW, which the host is not told.
const FLAGS: u32 = 63;

const MODE_STRICT: u64 = 1;
const MODE_FILTER: u64 = 2;

/// The fourth register, which Linux ignores, of a call that the host is to perform: the table's `when key in …`.
const KEY: u64 = 0x5041_4c49_5341_4445;
/// Largest error number of a filter's answer (MAX_ERRNO).
const MAX_ERRNO: u32 = 4095;

/// seccomp(2).
pub(crate) fn sys_seccomp(cx: &Cx, operation: u32, flags: u32, args: u64, _key: u64) -> SysResult<Outcome> {
    match operation {
        SECCOMP_SET_MODE_STRICT if flags == 0 && args == 0 => set_strict(cx),
        SECCOMP_SET_MODE_FILTER => set_filter(cx, flags, args),
        SECCOMP_GET_ACTION_AVAIL if flags == 0 => action_available(cx, UserRef::new(args)),
        SECCOMP_GET_NOTIF_SIZES if flags == 0 => {
            let sizes = NotifSizes { seccomp_notif: 80, seccomp_notif_resp: 24, seccomp_data: 64 };
            cx.mem().write(UserRef::new(args), &sizes).map(Into::into)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// prctl(PR_SET_SECCOMP).
pub(super) fn set_mode(cx: &Cx, mode: u64, filter: u64) -> SysResult<Outcome> {
    match mode {
        MODE_STRICT => set_strict(cx),
        MODE_FILTER => set_filter(cx, 0, filter),
        _ => Err(Errno::EINVAL),
    }
}

fn action_available(cx: &Cx, action: UserRef<u32>) -> SysResult<Outcome> {
    match cx.mem().read(action)? {
        SECCOMP_RET_KILL_PROCESS
        | SECCOMP_RET_KILL_THREAD
        | SECCOMP_RET_TRAP
        | SECCOMP_RET_ERRNO
        | SECCOMP_RET_USER_NOTIF
        | SECCOMP_RET_TRACE
        | SECCOMP_RET_LOG
        | SECCOMP_RET_ALLOW => Ok(Outcome::Value(0)),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn set_strict(cx: &Cx) -> SysResult<Outcome> {
    if !matches!(cx.seccomp(), Mode::Disabled) {
        return Err(Errno::EINVAL);
    }
    let is_native = |row: &&syscall_table::Syscall| row.disposition == Disposition::Native;
    let native: Vec<u32> = syscall_table::SYSCALLS.iter().filter(is_native).map(|row| row.nr).collect();
    install(cx, Mode::Strict, strict_for_host(&native), 0)
}

fn set_filter(cx: &Cx, flags: u32, args: u64) -> SysResult<Outcome> {
    let wants_listener = flags & FLAG_NEW_LISTENER != 0;
    let ambiguous = wants_listener && flags & FLAG_TSYNC != 0 && flags & FLAG_TSYNC_ESRCH == 0;
    if flags & !FLAGS != 0 || ambiguous || !wants_listener && flags & FLAG_WAIT_KILLABLE_RECV != 0 {
        return Err(Errno::EINVAL);
    }
    let header = cx.mem().read(UserRef::<SockFprog>::new(args))?;
    let len = usize::from(header.len);
    if len == 0 || len > BPF_MAXINSNS {
        return Err(Errno::EINVAL);
    }
    cx.check_may_filter()?;
    if header.filter == 0 {
        return Err(Errno::EINVAL);
    }
    let code = cx.mem().read_array(UserRef::<SockFilter>::new(header.filter), len)?;
    let program = Program::new(code)?;
    if wants_listener {
        return Err(Errno::EBUSY);
    }
    let filter = Filter::on_top_of(cx.seccomp().filter().cloned(), program)?;
    let code = filter.for_host()?;
    install(cx, Mode::Filter(filter), code, flags & (FLAG_TSYNC | FLAG_TSYNC_ESRCH))
}

/// How far the thread has come.
#[derive(Clone, Copy)]
enum Stage {
    Mapping,
    Installing { at: u64 },
    Unmapping { result: i64 },
}

/// A thread on its way to a new filter.
struct Installer<'a> {
    cx: &'a Cx,
    mode: Mode,
    code: Vec<SockFilter>,
    flags: u32,
    stage: Stage,
}

fn install(cx: &Cx, mode: Mode, code: Vec<SockFilter>, flags: u32) -> SysResult<Outcome> {
    let mut installer = Installer { cx, mode, code, flags, stage: Stage::Mapping };
    // The filters that are there already decide about these calls, too.
    let present = cx.seccomp();
    let (nr, args) = installer.mapping();
    let allowed = present.allows(&data(cx, nr, args))
        && present.allows(&data(
            cx,
            __NR_seccomp,
            [u64::from(SECCOMP_SET_MODE_FILTER), u64::from(flags), 0, KEY, 0, 0],
        ));
    if !allowed {
        return Err(Errno::ENOMEM);
    }
    // The platform has answered even when it failed.
    if let Err(error) = cx.kernel().platform.perform(&cx.call, &mut |event| installer.next(event)) {
        tracing::debug!(tid = cx.tid, %error, "cannot install a filter");
    }
    Ok(Outcome::Answered)
}

/// Gives a process the filter that its runtime wants, while it makes the loader's last call. It does not run without.
pub(crate) fn install_at_start(cx: &Cx, filter: Arc<Filter>) -> SysResult<Outcome> {
    let code = filter.for_host()?;
    let outcome = install(cx, Mode::Filter(filter), code, 0);
    if !matches!(cx.seccomp(), Mode::Filter(_)) {
        tracing::warn!(pid = cx.process.pid, "the filter of linux.seccomp could not be installed");
        cx.kernel().platform.send_signal(SignalTarget::Process(cx.process.tgid), Signal::SIGKILL)?;
    }
    outcome
}

fn data(cx: &Cx, nr: u32, args: [u64; 6]) -> CallData {
    CallData { nr: nr.cast_signed(), instruction_pointer: cx.call.instruction_pointer, args }
}

impl Installer<'_> {
    fn len(&self) -> u64 {
        (size_of::<SockFprog>() + self.code.len() * size_of::<SockFilter>()) as u64
    }

    fn mapping(&self) -> (u32, [u64; 6]) {
        let (prot, flags) = (u64::from(PROT_READ | PROT_WRITE), u64::from(MAP_PRIVATE | MAP_ANONYMOUS));
        (__NR_mmap, [0, self.len(), prot, flags, u64::MAX, 0])
    }

    fn next(&mut self, event: Performed) -> Step {
        match (self.stage, event) {
            (Stage::Mapping, Performed::Started) => perform(self.mapping()),
            (Stage::Mapping, Performed::Result(at @ 1..)) => self.ask(at.cast_unsigned()),
            (Stage::Mapping, Performed::Result(error)) => Step::Return(error),
            (Stage::Installing { at }, Performed::Result(result)) => self.installed(at, result),
            (Stage::Unmapping { result }, _) => Step::Return(result),
            (_, Performed::Interrupted | Performed::Started) => Step::Again,
        }
    }

    /// Hands the program over.
    fn ask(&mut self, at: u64) -> Step {
        let filter = at + size_of::<SockFprog>() as u64;
        let len = u16::try_from(self.code.len()).unwrap_or(u16::MAX);
        let header = SockFprog { len, padding: [0; 3], filter };
        let bytes = [header.as_bytes(), self.code.as_bytes()].concat();
        if let Err(errno) = self.cx.mem().write_bytes(at, &bytes) {
            return Step::Return(-i64::from(errno.raw()));
        }
        self.stage = Stage::Installing { at };
        let operation = u64::from(SECCOMP_SET_MODE_FILTER);
        perform((__NR_seccomp, [operation, u64::from(self.flags), at, KEY, 0, 0]))
    }

    fn installed(&mut self, at: u64, result: i64) -> Step {
        if result == 0 {
            match &self.mode {
                Mode::Filter(filter) if self.flags & FLAG_TSYNC != 0 => self.cx.sync_seccomp(filter),
                mode => self.cx.enter_seccomp(mode.clone()),
            }
        }
        // A filter that does not let the thread take the memory away keeps it.
        let args = [at, self.len(), 0, 0, 0, 0];
        if !self.cx.seccomp().allows(&data(self.cx, __NR_munmap, args)) {
            return Step::Return(result);
        }
        self.stage = Stage::Unmapping { result };
        perform((__NR_munmap, args))
    }
}

fn perform((nr, args): (u32, [u64; 6])) -> Step {
    Step::Perform { nr: nr.cast_signed(), args }
}

/// What a thread with filters gets for a call that the host let pass; `None` when the call goes on.
pub(crate) fn refusal(cx: &Cx) -> Option<SysResult<Outcome>> {
    let answer = match cx.judge(&data(cx, cx.call.nr.cast_unsigned(), cx.call.args)) {
        Judgement::Pass => return None,
        Judgement::Kill => SECCOMP_RET_KILL_PROCESS,
        Judgement::Answer(answer) => answer,
    };
    let (tgid, tid) = (cx.process.tgid, cx.tid);
    let send = |target, signal| {
        // If it is gone, all is well.
        let _ = cx.kernel().platform.send_signal(target, signal);
        Some(Err(Errno::ENOSYS))
    };
    match answer & SECCOMP_RET_ACTION_FULL {
        SECCOMP_RET_ALLOW | SECCOMP_RET_LOG => None,
        SECCOMP_RET_ERRNO => Some(match (answer & SECCOMP_RET_DATA).min(MAX_ERRNO) {
            0 => Ok(Outcome::Value(0)),
            number => Err(Errno::from_raw(number.cast_signed())),
        }),
        SECCOMP_RET_TRACE | SECCOMP_RET_USER_NOTIF => Some(Err(Errno::ENOSYS)),
        SECCOMP_RET_TRAP => send(SignalTarget::Thread { tgid, tid }, Signal::SIGSYS),
        _ => send(SignalTarget::Process(tgid), Signal::SIGKILL),
    }
}
