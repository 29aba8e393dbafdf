//! The whole program: prologue, tree, blocks; and the kernel's own check of the result.

use syscall_table::plan::{Action, Condition, Op, Rule, UNKNOWN_NUMBER};

use crate::evaluate::AUDIT_ARCH_X86_64;
use crate::insn::{Flow, JEQ_K, LD_ABS, OFFSET_ARCH, OFFSET_NR, RET_K, SockFilter};
use crate::tree::{Leaf, Range};
use crate::{block, tree};

/// BPF_MAXINSNS of include/uapi/linux/bpf_common.h.
const MAX_INSTRUCTIONS: usize = 4096;
/// __X32_SYSCALL_BIT: numbers with it, and any above, are no calls of x86_64.
const X32_BIT: u32 = 0x4000_0000;

/// Why a plan can't be compiled. All but `TooLong` are mistakes in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two rules for one number.
    #[error("two seccomp rules for system call {0}")]
    DuplicateNumber(u32),
    /// A number in the x32 range.
    #[error("{0}: number {1} is not one of x86_64")]
    NumberOutOfRange(&'static str, u32),
    /// An argument index above 5.
    #[error("{0}: a system call has no argument {1}")]
    NoSuchArgument(&'static str, u8),
    /// An alternative without a comparison; write a rule without conditions instead.
    #[error("{0}: empty alternative")]
    EmptyAlternative(&'static str),
    /// A comparison that no register passes.
    #[error("{0}: condition on argument {1} can never hold")]
    NeverHolds(&'static str, u8),
    /// seccompiler refused the conditions, or answered with something unknown.
    #[error("{0}: conditions do not compile: {1}")]
    Conditions(&'static str, String),
    /// Longer than the kernel allows.
    #[error("seccomp program of {0} instructions; the kernel allows 4096")]
    TooLong(usize),
    /// The program would be refused by the kernel; a bug here.
    #[error("malformed instruction {0} in the seccomp program")]
    Malformed(usize),
}

/// Compiles a plan. Numbers without a rule get [`UNKNOWN_NUMBER`]; the order of the rules is free.
///
/// # Errors
/// See [`Error`].
pub fn compile(rules: &[Rule]) -> Result<Vec<SockFilter>, Error> {
    compile_with(rules, UNKNOWN_NUMBER, Action::Errno(libc::ENOSYS as u16))
}

/// Compiles a plan whose answer to numbers without a rule is `unknown`, and to those of x32 `x32`.
///
/// # Errors
/// See [`Error`].
pub fn compile_with(rules: &[Rule], unknown: Action, x32: Action) -> Result<Vec<SockFilter>, Error> {
    let mut sorted: Vec<&Rule> = rules.iter().collect();
    sorted.sort_by_key(|rule| rule.nr);
    let mut blocks: Vec<Vec<SockFilter>> = Vec::new();
    let mut ranges = vec![Range { first: 0, leaf: Leaf::Return(return_value(unknown)) }];
    let mut next_nr = 0;
    for rule in sorted {
        check(rule)?;
        if rule.nr < next_nr {
            return Err(Error::DuplicateNumber(rule.nr));
        }
        let leaf = leaf(rule, &mut blocks)?;
        tree::push(&mut ranges, next_nr, Leaf::Return(return_value(unknown)));
        tree::push(&mut ranges, rule.nr, leaf);
        next_nr = rule.nr + 1;
    }
    tree::push(&mut ranges, next_nr, Leaf::Return(return_value(unknown)));
    tree::push(&mut ranges, X32_BIT, Leaf::Return(return_value(x32)));

    let mut program = vec![
        SockFilter::stmt(LD_ABS, OFFSET_ARCH),
        SockFilter::jump(JEQ_K, AUDIT_ARCH_X86_64, 1, 0),
        SockFilter::stmt(RET_K, libc::SECCOMP_RET_KILL_PROCESS),
        SockFilter::stmt(LD_ABS, OFFSET_NR),
    ];
    tree::append(&mut program, &ranges, &blocks);
    verify(&program)?;
    Ok(program)
}

/// The value that a filter returns for an action.
pub(crate) fn return_value(action: Action) -> u32 {
    match action {
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Log => libc::SECCOMP_RET_LOG,
    }
}

/// A constant answer where the arguments don't matter; else the number of the block, which rules with the
/// same conditions share.
fn leaf(rule: &Rule, blocks: &mut Vec<Vec<SockFilter>>) -> Result<Leaf, Error> {
    if rule.conditions.is_empty() || rule.action == rule.otherwise {
        return Ok(Leaf::Return(return_value(rule.action)));
    }
    let code = block::compile(rule)?;
    let known = blocks.iter().position(|other| *other == code);
    Ok(Leaf::Block(known.unwrap_or_else(|| {
        blocks.push(code);
        blocks.len() - 1
    })))
}

fn check(rule: &Rule) -> Result<(), Error> {
    if rule.nr >= X32_BIT {
        return Err(Error::NumberOutOfRange(rule.name, rule.nr));
    }
    if rule.conditions.iter().any(Vec::is_empty) {
        return Err(Error::EmptyAlternative(rule.name));
    }
    for Condition { arg, op } in rule.conditions.iter().flatten() {
        if *arg > 5 {
            return Err(Error::NoSuchArgument(rule.name, *arg));
        }
        let impossible = match op {
            // seccompiler would drop the value's bits outside of the mask.
            Op::MaskedEq { mask, value } => value & !mask != 0,
            Op::Lt(limit) => *limit == 0,
            Op::Eq(_) => false,
        };
        if impossible {
            return Err(Error::NeverHolds(rule.name, *arg));
        }
    }
    Ok(())
}

/// What bpf_check_classic (net/core/filter.c) demands: a length, jumps inside the program, a return last.
fn verify(program: &[SockFilter]) -> Result<(), Error> {
    let len = program.len();
    if len > MAX_INSTRUCTIONS {
        return Err(Error::TooLong(len));
    }
    for (at, insn) in program.iter().enumerate() {
        let last = match insn.flow() {
            Flow::Return => at,
            Flow::Next => at + 1,
            Flow::Always(skip) => at + 1 + skip,
            Flow::Branch(yes, no) => at + 1 + yes.max(no),
        };
        if last >= len {
            return Err(Error::Malformed(at));
        }
    }
    Ok(())
}
