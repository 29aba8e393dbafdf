//! Differences between two runs of a program: on the host and in a sandbox.

pub mod known;
mod masks;
mod normal;

use std::fmt;

use syscall_table::Returns;

use crate::exec::Exec;
use crate::program::{Call, Program};
use crate::wire::{CallOutcome, Outcome, Progress};

pub use masks::MASKS;

/// The first thing in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which call; none: the end state.
    pub call: Option<usize>,
    /// Call and kind, the same for the same fault: findings are told apart by it.
    pub key: String,
    /// What the host and the sandbox did.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.key, self.text)
    }
}

/// Compares two runs.
pub fn compare(program: &Program, exec: &Exec, host: &Outcome, sandbox: &Outcome) -> Option<Difference> {
    for (at, call) in program.calls.iter().enumerate() {
        let (Some(left), Some(right)) = (host.calls.get(at), sandbox.calls.get(at)) else { continue };
        if let Some((kind, text)) = call_difference(program, exec, at, left, right) {
            let key = format!("{} {kind}", call.row.name);
            if known::find(call, &key, program).is_none() {
                return Some(Difference { call: Some(at), key, text: format!("call {at}: {call}\n{text}") });
            }
            // What follows from a known difference says nothing.
            return None;
        }
    }
    if host.status != sandbox.status {
        let key = format!("end {} {}", status(host.status), status(sandbox.status));
        let text = format!("host {}, sandbox {}", status(host.status), status(sandbox.status));
        return Some(Difference { call: None, key, text });
    }
    let found = state_difference(host, sandbox)?;
    let call = program.calls.last()?;
    known::find(call, &found.key, program).is_none().then_some(found)
}

fn status(status: i32) -> String {
    match status {
        crate::guest::HUNG => "hung".to_owned(),
        _ if status & 0x7f == 0 => format!("exit {}", status >> 8 & 0xff),
        _ => format!("signal {}", status & 0x7f),
    }
}

fn call_difference(
    program: &Program,
    exec: &Exec,
    at: usize,
    host: &CallOutcome,
    sandbox: &CallOutcome,
) -> Option<(String, String)> {
    let call = program.calls.get(at)?;
    let text = || format!("  host:    {}\n  sandbox: {}", told(call, host), told(call, sandbox));
    if host.progress != sandbox.progress {
        let word = |outcome: &CallOutcome| match outcome.progress {
            Progress::Done => name_of(outcome.answer),
            Progress::Waiting => "waiting or dead".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        return Some((format!("{} but {}", word(host), word(sandbox)), text()));
    }
    if host.progress != Progress::Done {
        return None;
    }
    let (left, right) = (normal::answer(call, host.answer), normal::answer(call, sandbox.answer));
    if left != right {
        let both = is_error(host.answer) || is_error(sandbox.answer);
        let kind = if both {
            format!("{} but {}", name_of(host.answer), name_of(sandbox.answer))
        } else {
            "other value".to_owned()
        };
        return Some((kind, text()));
    }
    let regions = exec.calls.get(at).map_or(&[][..], |call| &call.regions);
    for (n, region) in regions.iter().enumerate() {
        let (Some(left), Some(right)) = (host.memory.get(n), sandbox.memory.get(n)) else { continue };
        let arg = call.row.args.get(usize::from(region.arg))?;
        if let Some(place) = normal::memory(program, call, region.arg, host.answer, left, right) {
            let shown = format!(
                "{}\n  {} at {place}:\n  host:    {}\n  sandbox: {}",
                text(),
                arg.name,
                hex(left),
                hex(right)
            );
            let success = if is_error(host.answer) { name_of(host.answer) } else { "ok".to_owned() };
            return Some((format!("{success} writes {} at {place}", arg.name), shown));
        }
    }
    None
}

fn state_difference(host: &Outcome, sandbox: &Outcome) -> Option<Difference> {
    let (left, right) = (normal::state(&host.state), normal::state(&sandbox.state));
    let only = |one: &[String], other: &[String]| one.iter().find(|line| !other.contains(line)).cloned();
    let (one, other) = (only(&left, &right), only(&right, &left));
    let line = one.as_ref().or(other.as_ref())?;
    let key = format!("state {}", line.split_whitespace().next().unwrap_or(""));
    let show = |line: Option<String>| line.unwrap_or_else(|| "nothing of it".to_owned());
    Some(Difference {
        call: None,
        key,
        text: format!("end state\n  host:    {}\n  sandbox: {}", show(one), show(other)),
    })
}

fn is_error(answer: i64) -> bool {
    (-4095..0).contains(&answer)
}

fn name_of(answer: i64) -> String {
    if !is_error(answer) {
        return "ok".to_owned();
    }
    let errno = abi_linux::Errno::from_raw(-answer as i32);
    errno.name().map_or_else(|| format!("errno {}", -answer), str::to_owned)
}

fn told(call: &Call, outcome: &CallOutcome) -> String {
    match outcome.progress {
        Progress::Done if is_error(outcome.answer) => name_of(outcome.answer),
        Progress::Done if call.row.returns == Returns::Addr => format!("{:#x}", outcome.answer),
        Progress::Done => outcome.answer.to_string(),
        Progress::Waiting => "waits".to_owned(),
        Progress::None => "did not begin".to_owned(),
        Progress::Skipped => "skipped".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(160).map(|byte| format!("{byte:02x}")).collect();
    shown.chunks(8).map(|chunk| chunk.join("")).collect::<Vec<_>>().join(" ")
}
