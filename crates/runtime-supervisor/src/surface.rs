//! What of the host kernel a guest and its supervisor can reach, from the very data that the filters are made of.
//!
//! The guests' filter is read back from a live guest, so what is printed is what is installed.

use std::fmt::Write;

use abi_linux::Errno;
use platform_notify::doctor::installed_filter;
use serde_json::{Value, json};
use syscall_table::plan::{Action, Condition, Op, Rule};
use syscall_table::{Disposition, Syscall};

use crate::confinement::rules::{HostRule, RULES, SOCKETS};
use crate::confinement::{CAPABILITIES, NET_CAPABILITIES};
use crate::container::instruction;
use crate::error::Error;

/// A line of the surface.
struct Row {
    /// Who can make the call, and how.
    by: &'static str,
    call: &'static str,
    conditions: String,
    remark: String,
}

/// The surface, and whether the host has installed it so.
pub struct Surface {
    rows: Vec<Row>,
    instructions: usize,
    read_back: Result<bool, Errno>,
}

/// The arguments of a call, by name where the table has one.
fn name_of(row: Option<&Syscall>, arg: u8) -> String {
    let named = row.and_then(|row| row.args.get(usize::from(arg)));
    named.map_or_else(|| format!("arg{arg}"), |arg| arg.name.to_owned())
}

fn one(row: Option<&Syscall>, condition: &Condition) -> String {
    let name = name_of(row, condition.arg);
    match condition.op {
        Op::Eq(value) => format!("{name} == {value:#x}"),
        Op::MaskedEq { mask: 0xffff_ffff, value } => format!("{name} == {value:#x}"),
        Op::MaskedEq { mask, value } => format!("{name} & {mask:#x} == {value:#x}"),
        Op::Lt(limit) => format!("{name} < {limit:#x}"),
    }
}

fn conditions<'a>(call: &str, alternatives: impl Iterator<Item = &'a [Condition]>) -> String {
    let row = syscall_table::by_name(call);
    let all = alternatives.map(|all| all.iter().map(|it| one(row, it)).collect::<Vec<_>>().join(", "));
    all.collect::<Vec<_>>().join(" or ")
}

fn native(rule: &Rule) -> Option<Row> {
    let note = syscall_table::by_name(rule.name).map_or("", |row| row.note);
    (rule.action == Action::Allow).then(|| Row {
        by: "native",
        call: rule.name,
        conditions: conditions(rule.name, rule.conditions.iter().map(Vec::as_slice)),
        remark: note.to_owned(),
    })
}

fn gated(row: &'static Syscall, plan: &[Rule]) -> Option<Row> {
    let notified = plan.iter().any(|rule| rule.nr == row.nr && rule.action == Action::Notify);
    let is_gate = matches!(row.disposition, Disposition::Gate | Disposition::Native);
    (notified && is_gate).then(|| Row {
        by: "gate",
        call: row.name,
        conditions: conditions(row.name, row.when.iter().copied()),
        remark: row.note.to_owned(),
    })
}

fn supervisor(by: &'static str, rule: &HostRule) -> Row {
    let instead = rule.instead.map(|errno| format!("answers errno {errno}: ")).unwrap_or_default();
    Row {
        by,
        call: rule.call,
        conditions: conditions(rule.call, rule.when.iter().copied()),
        remark: format!("{instead}{}", rule.reason),
    }
}

/// Gathers the surface.
pub fn surface(strict: bool) -> Result<Surface, Error> {
    let plan = syscall_table::seccomp::plan(strict);
    let program = host_seccomp::compile(&plan).map_err(Error::Filter)?;
    let filter: Vec<_> = program.iter().map(instruction).collect();
    let fields = |it: &platform_notify::Instruction| (it.code, it.jt, it.jf, it.k);
    let read_back =
        installed_filter(&filter).map(|installed| installed.iter().map(fields).eq(filter.iter().map(fields)));
    let mut rows: Vec<Row> = plan.iter().filter_map(native).collect();
    rows.extend(syscall_table::SYSCALLS.iter().filter_map(|row| gated(row, &plan)));
    rows.extend(RULES.iter().map(|rule| supervisor("supervisor", rule)));
    rows.extend(SOCKETS.iter().map(|rule| supervisor("supervisor, mode host", rule)));
    let kept = [("capability", CAPABILITIES), ("capability, mode host", NET_CAPABILITIES)];
    for (by, list) in kept {
        let row = |kept: &crate::Kept| Row {
            by,
            call: kept.name,
            conditions: String::new(),
            remark: kept.reason.to_owned(),
        };
        rows.extend(list.iter().map(row));
    }
    Ok(Surface { rows, instructions: filter.len(), read_back })
}

impl Surface {
    fn count(&self, by: &str) -> usize {
        self.rows.iter().filter(|row| row.by == by).count()
    }

    /// How many rows there are of each kind, in words.
    fn summary(&self) -> String {
        let read_back = match &self.read_back {
            Ok(true) => "read back from a live guest: as compiled".to_owned(),
            Ok(false) => "read back from a live guest: NOT as compiled".to_owned(),
            Err(errno) => format!("not read back: {errno}"),
        };
        format!(
            "native {}, gated {}, supervisor {} (and {} in mode host); filter of {} instructions, {read_back}",
            self.count("native"),
            self.count("gate"),
            self.count("supervisor"),
            self.count("supervisor, mode host"),
            self.instructions,
        )
    }

    /// Columns for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.summary());
        for row in &self.rows {
            let line = format!("{:<22} {:<24} {}", row.by, row.call, row.remark);
            // Writing to a String does not fail.
            let _ = writeln!(out, "{}", line.trim_end());
            if !row.conditions.is_empty() {
                let _ = writeln!(out, "{:<48}if {}", "", row.conditions);
            }
        }
        out
    }

    /// A markdown table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n\n| by | call | if | remark |\n|---|---|---|---|\n", self.summary());
        for Row { by, call, conditions, remark } in &self.rows {
            let _ = writeln!(out, "| {by} | {call} | {conditions} | {remark} |");
        }
        out
    }

    /// All of it as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let row =
            |row: &Row| json!({"by": row.by, "call": row.call, "if": row.conditions, "remark": row.remark});
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let read_back = match &self.read_back {
            Ok(same) => json!(same),
            Err(errno) => json!(errno.to_string()),
        };
        let all = json!({"rows": rows, "instructions": self.instructions, "installedAsCompiled": read_back});
        format!("{all:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::surface;

    #[test]
    fn native_rows_stay_within_their_goals_and_are_what_is_installed() {
        for (strict, most) in [(false, 45), (true, 25)] {
            let surface = surface(strict).expect("it compiles");
            assert!(surface.count("native") <= most, "{}", surface.summary());
            assert_ne!(surface.read_back, Ok(false));
        }
    }
}
