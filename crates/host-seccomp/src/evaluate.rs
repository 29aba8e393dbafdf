//! Runs a program as the kernel does: for tests, and to count what a call costs.

use syscall_table::plan::Action;

use crate::insn::{
    AND_K, JA, JEQ_K, JGE_K, JGT_K, LD_ABS, OFFSET_ARCH, OFFSET_ARGS, OFFSET_NR, RET_K, SockFilter,
};

/// The audit architecture of 64-bit calls; x32 shares it. (int 0x80 has AUDIT_ARCH_I386.)
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// `struct seccomp_data`: what a filter sees of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number.
    pub nr: u32,
    /// The audit architecture.
    pub arch: u32,
    /// Where the syscall instruction is.
    pub instruction_pointer: u64,
    /// The argument registers.
    pub args: [u64; 6],
}

/// What a filter decides about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of the plan's answers.
    Action(Action),
    /// SECCOMP_RET_KILL_PROCESS.
    KillProcess,
    /// A value that no program of ours returns.
    Other(u32),
}

/// The result of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The answer.
    pub verdict: Verdict,
    /// Instructions executed, the return included.
    pub steps: usize,
}

/// A program that the kernel would have refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The program counter left the program.
    #[error("no instruction {0}")]
    OutOfProgram(usize),
    /// An instruction that our programs don't use.
    #[error("instruction {0} is unknown")]
    UnknownInstruction(usize),
    /// A load that is not a word of seccomp_data.
    #[error("instruction {0} loads from outside of seccomp_data")]
    BadLoad(usize),
}

/// Runs the program on one call. Ends, since jumps only go forward.
///
/// # Errors
/// See [`Fault`].
pub fn evaluate(program: &[SockFilter], call: &Call) -> Result<Evaluation, Fault> {
    let (mut at, mut accumulator, mut steps) = (0usize, 0u32, 0usize);
    loop {
        let insn = program.get(at).ok_or(Fault::OutOfProgram(at))?;
        let branch = |holds: bool| usize::from(if holds { insn.jt } else { insn.jf });
        steps += 1;
        let skip = match insn.code {
            LD_ABS => {
                accumulator = call.word(insn.k).ok_or(Fault::BadLoad(at))?;
                0
            }
            AND_K => {
                accumulator &= insn.k;
                0
            }
            JA => insn.k as usize,
            JEQ_K => branch(accumulator == insn.k),
            JGT_K => branch(accumulator > insn.k),
            JGE_K => branch(accumulator >= insn.k),
            RET_K => return Ok(Evaluation { verdict: Verdict::from_value(insn.k), steps }),
            _ => return Err(Fault::UnknownInstruction(at)),
        };
        at = at.saturating_add(1).saturating_add(skip);
    }
}

impl Call {
    /// The 32-bit word at an offset of `struct seccomp_data`.
    pub(crate) fn word(&self, offset: u32) -> Option<u32> {
        let half = |value: u64, offset: u32| {
            if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
        };
        match offset {
            _ if !offset.is_multiple_of(4) => None,
            OFFSET_NR => Some(self.nr),
            OFFSET_ARCH => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer, offset)),
            _ => {
                let index = usize::try_from(offset.checked_sub(OFFSET_ARGS)? / 8).ok()?;
                Some(half(*self.args.get(index)?, offset))
            }
        }
    }
}

impl Verdict {
    pub(crate) fn from_value(value: u32) -> Self {
        let data = (value & libc::SECCOMP_RET_DATA) as u16;
        match value & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_USER_NOTIF if data == 0 => Self::Action(Action::Notify),
            libc::SECCOMP_RET_ALLOW if data == 0 => Self::Action(Action::Allow),
            libc::SECCOMP_RET_ERRNO => Self::Action(Action::Errno(data)),
            libc::SECCOMP_RET_KILL_PROCESS => Self::KillProcess,
            libc::SECCOMP_RET_TRAP if data == 0 => Self::Action(Action::Trap),
            libc::SECCOMP_RET_LOG if data == 0 => Self::Action(Action::Log),
            _ => Self::Other(value),
        }
    }
}
