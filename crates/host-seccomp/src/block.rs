//! The conditions of one rule as a piece of program that ends in returns.
//!
//! seccompiler makes a filter for a single call out of them, with Allow on a match and Trap on a mismatch.
//! We cut the prologue and the epilogue off, put the rule's own actions in, and drop what cannot be reached
//! (jumps past the chain, which seccompiler needs for its list of calls).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use syscall_table::plan::{Condition, Op, Rule};

use crate::compile::{Error, return_value};
use crate::insn::{Flow, JA, JEQ_K, RET_K, SockFilter};

/// seccompiler's own head: load and test arch (3), load nr, compare nr.
const HEAD: usize = 5;

/// Compiles the conditions. The rule has some, and no alternative is empty.
pub(crate) fn compile(rule: &Rule) -> Result<Vec<SockFilter>, Error> {
    let refused = |error: &dyn ToString| Error::Conditions(rule.name, error.to_string());
    let mut alternatives = Vec::with_capacity(rule.conditions.len());
    for all in &rule.conditions {
        let all: Result<Vec<_>, _> = all.iter().map(condition).collect();
        let alternative = SeccompRule::new(all.map_err(|error| refused(&error))?);
        alternatives.push(alternative.map_err(|error| refused(&error))?);
    }
    let rules = BTreeMap::from([(i64::from(rule.nr), alternatives)]);
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, TargetArch::x86_64)
        .map_err(|error| refused(&error))?;
    let program = BpfProgram::try_from(filter).map_err(|error| refused(&error))?;
    let program: Vec<_> =
        program.iter().map(|i| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();

    let head_is_known = program.get(HEAD - 1).is_some_and(|i| (i.code, i.k, i.jt) == (JEQ_K, rule.nr, 0));
    let conditions = program.get(HEAD..).filter(|_| head_is_known);
    let conditions = conditions.ok_or_else(|| refused(&"unknown program head"))?;
    let mut block = reachable(conditions).ok_or_else(|| refused(&"jump out of the program"))?;
    for insn in block.iter_mut().filter(|insn| insn.code == RET_K) {
        insn.k = match insn.k {
            libc::SECCOMP_RET_ALLOW => return_value(rule.action),
            libc::SECCOMP_RET_TRAP => return_value(rule.otherwise),
            _ => return Err(refused(&"unknown return value")),
        };
    }
    Ok(block)
}

fn condition(condition: &Condition) -> Result<SeccompCondition, seccompiler::BackendError> {
    let low_word = u64::from(u32::MAX);
    let (len, op, value) = match condition.op {
        Op::Eq(value) => (SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value),
        Op::Lt(limit) => (SeccompCmpArgLen::Qword, SeccompCmpOp::Lt, limit),
        // The whole low word: no mask needed. A mask within it: the high word needs no look.
        Op::MaskedEq { mask, value } if mask == low_word => {
            (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        }
        Op::MaskedEq { mask, value } if mask < low_word => {
            (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
        }
        Op::MaskedEq { mask, value } => (SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value),
    };
    SeccompCondition::new(condition.arg, len, op, value)
}

/// The program without unreachable instructions and without jumps that these made pointless. None if a
/// jump leaves the program.
fn reachable(program: &[SockFilter]) -> Option<Vec<SockFilter>> {
    let mut reached = vec![false; program.len()];
    // Jumps go forward only, so one pass in order visits every instruction after all its predecessors.
    *reached.first_mut()? = true;
    for (at, insn) in program.iter().enumerate() {
        if reached.get(at) == Some(&true) {
            for target in targets(at, *insn).into_iter().flatten() {
                *reached.get_mut(target)? = true;
            }
        }
    }
    let pointless = |at: usize, insn: SockFilter| {
        insn.code == JA && reached.iter().skip(at + 1).take(insn.k as usize).all(|reached| !reached)
    };
    // New index of each instruction; a dropped one has that of the next that stays.
    let mut moved_to = Vec::with_capacity(program.len());
    let mut kept = Vec::new();
    for (at, insn) in program.iter().enumerate() {
        moved_to.push(kept.len());
        if reached.get(at) == Some(&true) && !pointless(at, *insn) {
            kept.push((at, *insn));
        }
    }
    let skip = |from: usize, to: usize| Some(moved_to.get(to)? - moved_to.get(from)? - 1);
    kept.iter()
        .map(|(at, insn)| {
            Some(match insn.flow() {
                Flow::Always(over) => SockFilter { k: skip(*at, at + 1 + over)? as u32, ..*insn },
                Flow::Branch(yes, no) => SockFilter {
                    jt: skip(*at, at + 1 + yes)? as u8,
                    jf: skip(*at, at + 1 + no)? as u8,
                    ..*insn
                },
                Flow::Next | Flow::Return => *insn,
            })
        })
        .collect()
}

fn targets(at: usize, insn: SockFilter) -> [Option<usize>; 2] {
    match insn.flow() {
        Flow::Return => [None, None],
        Flow::Next => [Some(at + 1), None],
        Flow::Always(skip) => [Some(at + 1 + skip), None],
        Flow::Branch(yes, no) => [Some(at + 1 + yes), Some(at + 1 + no)],
    }
}
