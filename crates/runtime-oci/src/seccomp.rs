//! `linux.seccomp` as a program of classic BPF, with what libseccomp and runc make of a profile.
//!
//! A guest's first process gets the program as if it had installed it itself (seccomp(2)), right before its own code
//! runs. So it decides about calls that the host performs and about those that the supervisor does, before any
//! handler sees them. The program is a search tree over the call's number; only x86_64 calls exist in a sandbox, so
//! other architectures of a profile have nothing to decide.

use std::collections::BTreeMap;

use abi_linux::seccomp::{
    BPF_MAXINSNS, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, SockFilter,
};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use crate::bundle::{BundleError, invalid};

/// Opcodes (include/uapi/linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the arguments; the lower half comes first.
const ARGS_OFFSET: u32 = 16;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const MAX_ERRNO: u32 = 4095;

const fn insn(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

/// One way to match a call, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    conditions: Vec<LinuxSeccompArg>,
    answer: u32,
}

/// Makes the program.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<SockFilter>, BundleError> {
    if profile.listener_path().is_some() {
        return Err(invalid(
            "linux.seccomp.listenerPath",
            "not supported; leave it out: nobody can answer for Palisade's calls",
        ));
    }
    if profile.flags().iter().flatten().any(|flag| *flag == LinuxSeccompFilterFlag::SeccompFilterFlagLog) {
        let problem = "SECCOMP_FILTER_FLAG_LOG is not supported: guests do not write to the host's log";
        return Err(invalid("linux.seccomp.flags", format!("{problem}; leave it out")));
    }
    let default =
        answer(profile.default_action(), profile.default_errno_ret(), "linux.seccomp.defaultAction")?;
    let rules = rules(profile, default)?;
    // What the profile's author cannot have known: programs try newer calls and fall back on ENOSYS only
    // (libcontainer/seccomp/patchbpf in runc).
    let newest = rules.keys().next_back().copied();
    let is_refusal = default != SECCOMP_RET_ALLOW;
    let mut ranges = vec![(0, vec![insn(RETURN, default)])];
    for (nr, rules) in &rules {
        ranges.push((*nr, leaf(rules, default)));
        ranges.push((*nr + 1, vec![insn(RETURN, default)]));
    }
    if let Some(newest) = newest.filter(|_| is_refusal) {
        ranges.push((newest + 1, vec![insn(RETURN, SECCOMP_RET_ERRNO | ENOSYS)]));
    }
    let mut program = vec![insn(LOAD, 0)];
    program.extend(tree(&merged(ranges)));
    if program.len() > BPF_MAXINSNS {
        let problem = format!("needs {} instructions, more than {BPF_MAXINSNS}; shorten it", program.len());
        return Err(invalid("linux.seccomp.syscalls", problem));
    }
    Ok(program)
}

/// The last of several ranges from one number counts; neighbours that say the same are one.
fn merged(ranges: Vec<(u32, Vec<SockFilter>)>) -> Vec<(u32, Vec<SockFilter>)> {
    let mut all: Vec<(u32, Vec<SockFilter>)> = Vec::new();
    for (from, code) in ranges {
        if all.last().is_some_and(|last| last.0 == from) {
            all.pop();
        }
        if all.last().is_none_or(|last| last.1 != code) {
            all.push((from, code));
        }
    }
    all
}

fn answer(action: LinuxSeccompAction, errno: Option<u32>, field: &'static str) -> Result<u32, BundleError> {
    let number = || match errno.unwrap_or(EPERM) {
        number if number <= MAX_ERRNO => Ok(number),
        number => Err(invalid(field, format!("{number} is no errno; choose one up to {MAX_ERRNO}"))),
    };
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => SECCOMP_RET_KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => SECCOMP_RET_ERRNO | number()?,
        LinuxSeccompAction::ScmpActTrace => SECCOMP_RET_TRACE | number()?,
        LinuxSeccompAction::ScmpActAllow => SECCOMP_RET_ALLOW,
        LinuxSeccompAction::ScmpActLog => {
            let problem =
                "SCMP_ACT_LOG is not supported: guests do not write to the host's log; choose another";
            return Err(invalid(field, problem));
        }
        LinuxSeccompAction::ScmpActNotify => {
            return Err(invalid(field, "SCMP_ACT_NOTIFY is not supported; choose another action"));
        }
    })
}

/// The rules of each call, by number. Calls that x86_64 has not are left out, as runc does.
fn rules(profile: &LinuxSeccomp, default: u32) -> Result<BTreeMap<u32, Vec<Rule>>, BundleError> {
    let mut all: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for entry in profile.syscalls().iter().flatten() {
        let answer = answer(entry.action(), entry.errno_ret(), "linux.seccomp.syscalls")?;
        for number in entry.names().iter().filter_map(|name| number_of(name)) {
            let rules = all.entry(number).or_default();
            // As runc: what is the default anyway needs no rule, but its number is known.
            if answer != default {
                add(rules, entry, answer)?;
            }
        }
    }
    Ok(all)
}

fn number_of(name: &str) -> Option<u32> {
    syscall_table::SYSCALLS.iter().find(|row| row.name == name).map(|row| row.nr)
}

fn add(rules: &mut Vec<Rule>, entry: &LinuxSyscall, answer: u32) -> Result<(), BundleError> {
    let conditions = entry.args().clone().unwrap_or_default();
    if let Some(wrong) = conditions.iter().find(|condition| condition.index() > 5) {
        let problem = format!("{} is no index of an argument; choose 0 to 5", wrong.index());
        return Err(invalid("linux.seccomp.syscalls.args.index", problem));
    }
    // libseccomp keeps the more general of two rules.
    if rules.iter().any(|rule| rule.conditions.is_empty()) {
        return Ok(());
    }
    let repeats = conditions
        .iter()
        .enumerate()
        .any(|(at, condition)| conditions.iter().take(at).any(|before| before.index() == condition.index()));
    match conditions {
        conditions if conditions.is_empty() => *rules = vec![Rule { conditions, answer }],
        // libseccomp takes one condition for each argument; runc makes rules of their own of them.
        conditions if repeats => {
            rules
                .extend(conditions.into_iter().map(|condition| Rule { conditions: vec![condition], answer }));
        }
        conditions => rules.push(Rule { conditions, answer }),
    }
    Ok(())
}

/// What is done for one call: the first rule that matches counts.
fn leaf(rules: &[Rule], default: u32) -> Vec<SockFilter> {
    let mut code = Vec::new();
    for rule in rules {
        let mut one = vec![insn(RETURN, rule.answer)];
        // From the end, because failure jumps over what follows.
        for condition in rule.conditions.iter().rev() {
            let over = one.len() as u8;
            one.splice(0..0, check(condition, over));
        }
        code.extend(one);
    }
    if rules.last().is_none_or(|rule| !rule.conditions.is_empty()) {
        code.push(insn(RETURN, default));
    }
    code
}

/// Falls through if the condition holds, else skips `over` instructions more. At most six stand in one rule, so all
/// distances are small.
fn check(condition: &LinuxSeccompArg, over: u8) -> Vec<SockFilter> {
    let low = ARGS_OFFSET + 8 * condition.index() as u32;
    let (load_low, load_high) = (insn(LOAD, low), insn(LOAD, low + 4));
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let (high_value, low_value) = halves(condition.value());
    // `greater` decides on the lower half what holds where the upper halves are equal.
    let compare = |greater: u16, holds: bool| {
        let (above, below) = if holds { (2, over + 2) } else { (over + 2, 2) };
        let last =
            if holds { branch(greater, low_value, 0, over) } else { branch(greater, low_value, over, 0) };
        vec![
            load_high,
            branch(IF_GREATER, high_value, above + 1, 0),
            branch(IF_EQUAL, high_value, 0, below),
            load_low,
            last,
        ]
    };
    match condition.op() {
        LinuxSeccompOperator::ScmpCmpEq => vec![
            load_high,
            branch(IF_EQUAL, high_value, 0, over + 2),
            load_low,
            branch(IF_EQUAL, low_value, 0, over),
        ],
        LinuxSeccompOperator::ScmpCmpNe => vec![
            load_high,
            branch(IF_EQUAL, high_value, 0, 2),
            load_low,
            branch(IF_EQUAL, low_value, over, 0),
        ],
        LinuxSeccompOperator::ScmpCmpGe => compare(IF_AT_LEAST, true),
        LinuxSeccompOperator::ScmpCmpGt => compare(IF_GREATER, true),
        LinuxSeccompOperator::ScmpCmpLt => compare(IF_AT_LEAST, false),
        LinuxSeccompOperator::ScmpCmpLe => compare(IF_GREATER, false),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let (high_wanted, low_wanted) = halves(condition.value_two().unwrap_or(0));
            vec![
                load_high,
                insn(AND, high_value),
                branch(IF_EQUAL, high_wanted & high_value, 0, over + 3),
                load_low,
                insn(AND, low_value),
                branch(IF_EQUAL, low_wanted & low_value, 0, over),
            ]
        }
    }
}

/// A balanced tree over ranges of numbers, each from its own to the next one's.
fn tree(ranges: &[(u32, Vec<SockFilter>)]) -> Vec<SockFilter> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (Some((from, _)), false) = (above.first(), below.is_empty()) else {
        return above.first().map(|(_, code)| code.clone()).unwrap_or_default();
    };
    let left = tree(below);
    let mut code = match u8::try_from(left.len()) {
        Ok(skip) => vec![branch(IF_AT_LEAST, *from, skip, 0)],
        // A conditional jump reaches 255 instructions.
        Err(_) => vec![branch(IF_AT_LEAST, *from, 0, 1), insn(JUMP, left.len() as u32)],
    };
    code.extend(left);
    code.extend(tree(above));
    code
}

#[cfg(test)]
#[path = "seccomp_test.rs"]
mod tests;
