//! A guest's filter as the host runs it, behind the sandbox's own.
//!
//! The host composes filters by the most restrictive answer, so a guest's can take calls away and give none. It is
//! installed by the guest's own thread from the guest's own memory, where another thread may change it meanwhile:
//! whatever comes of that, the process has only spoilt its own filter.
//!
//! Two calls pass before the guest's program: the loader's (`execveat` of its descriptor, and private numbers),
//! which no guest's filter knows. The supervisor judges them where they are not the loader's.

use abi_linux::raw::general::{__NR_execveat, AT_EMPTY_PATH};
use abi_linux::seccomp::{
    BPF_MAXINSNS, SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SockFilter,
};
use abi_linux::{Errno, SysResult};

use super::program::{CallData, Program, op};

/// The private calls between loader and supervisor.
const PRIVATE: u32 = 1024;
const PRIVATE_END: u32 = 1028;
/// Where the loader is during an exec.
const LOADER_FD: u32 = 63;

const OFFSET_NR: u32 = 0;
const OFFSET_ARG0: u32 = 16;
const OFFSET_ARG4: u32 = 48;

const fn stmt(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

/// Lets the loader's calls pass; falls through with an empty accumulator otherwise.
const PROLOGUE: [SockFilter; 11] = [
    stmt(op::LD_W_ABS, OFFSET_NR),
    branch(op::JEQ, __NR_execveat, 3, 0),
    branch(op::JGE, PRIVATE, 0, 7),
    branch(op::JGE, PRIVATE_END, 6, 0),
    stmt(op::RET_K, SECCOMP_RET_ALLOW),
    stmt(op::LD_W_ABS, OFFSET_ARG0),
    branch(op::JEQ, LOADER_FD, 0, 3),
    stmt(op::LD_W_ABS, OFFSET_ARG4),
    branch(op::JEQ, AT_EMPTY_PATH, 0, 1),
    stmt(op::RET_K, SECCOMP_RET_ALLOW),
    stmt(op::LD_IMM, 0),
];

/// A tracer that is not there (Linux answers so), where the sandbox's own filter would ask the supervisor otherwise:
/// SECCOMP_RET_USER_NOTIF is more restrictive than SECCOMP_RET_TRACE.
const NO_TRACER: u32 = SECCOMP_RET_ERRNO | 38;

/// Returns A, as [`answer_for_host`] does a constant.
const RETURN_A: [SockFilter; 8] = [
    stmt(op::TAX, 0),
    stmt(op::ALU | op::AND, SECCOMP_RET_ACTION_FULL),
    branch(op::JEQ, SECCOMP_RET_LOG, 0, 1),
    stmt(op::RET_K, SECCOMP_RET_ALLOW),
    branch(op::JEQ, SECCOMP_RET_TRACE, 0, 1),
    stmt(op::RET_K, NO_TRACER),
    stmt(op::TXA, 0),
    stmt(op::RET_A, 0),
];

/// Whether the host lets a call pass that only the loader may make.
pub(super) fn is_exempt(call: &CallData) -> bool {
    let nr = call.nr.cast_unsigned();
    let [arg0, _, _, _, arg4, _] = call.args.map(|arg| arg as u32);
    (PRIVATE..PRIVATE_END).contains(&nr) || nr == __NR_execveat && arg0 == LOADER_FD && arg4 == AT_EMPTY_PATH
}

/// Nothing goes to the host's log, and nobody traces.
pub(super) const fn answer_for_host(answer: u32) -> u32 {
    match answer & SECCOMP_RET_ACTION_FULL {
        SECCOMP_RET_LOG => SECCOMP_RET_ALLOW,
        SECCOMP_RET_TRACE => NO_TRACER,
        _ => answer,
    }
}

/// What the host is to run for a guest's program. ENOMEM when it gets too long.
pub(super) fn translate(program: &Program) -> SysResult<Vec<SockFilter>> {
    let code = program.code();
    let mut out = PROLOGUE.to_vec();
    for (at, insn) in code.iter().enumerate() {
        out.push(match insn.code {
            op::RET_K => stmt(op::RET_K, answer_for_host(insn.k)),
            op::RET_A => stmt(op::JA, u32::try_from(code.len() - at - 1).map_err(|_| Errno::ENOMEM)?),
            _ => *insn,
        });
    }
    if code.iter().any(|insn| insn.code == op::RET_A) {
        out.extend(RETURN_A);
    }
    if out.len() > BPF_MAXINSNS { Err(Errno::ENOMEM) } else { Ok(out) }
}

/// What the host is to run in strict mode: it ends a thread that makes one of the `native` calls other than
/// rt_sigreturn(2); the supervisor judges those that reach it.
pub(super) fn strict(native: &[u32]) -> Vec<SockFilter> {
    let mut out = PROLOGUE.to_vec();
    out.push(stmt(op::LD_W_ABS, OFFSET_NR));
    for &nr in native.iter().filter(|&&nr| !super::is_strict_call(nr.cast_signed())) {
        out.push(branch(op::JEQ, nr, 0, 1));
        out.push(stmt(op::RET_K, SECCOMP_RET_KILL_THREAD));
    }
    out.push(stmt(op::RET_K, SECCOMP_RET_ALLOW));
    out
}
