//! What of the host kernel a guest and its supervisor can reach, from the very data that the filters are made of.
//!
//! The guests' filter is read back from a live guest and followed through all its ways ([`native`]), so what is printed
//! is what is installed. [`cves`] asks the same filters whether a CVE's trigger gets through.

mod cves;
mod native;
mod render;
mod summary;

use abi_linux::Errno;
use host_seccomp::SockFilter;
use platform_notify::doctor::installed_filter;
use syscall_table::plan::Condition;
use syscall_table::{Disposition, Syscall};

pub use cves::{CveTable, cve_table};
pub use summary::summary;

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
    filter: Filter,
}

/// The guests' filter.
struct Filter {
    /// What the host has installed; what was compiled where that cannot be read.
    program: Vec<SockFilter>,
    /// Whether the host has installed what was compiled.
    read_back: Result<bool, Errno>,
}

impl Filter {
    /// Compiles it, has a live guest install it, and reads it back.
    fn installed(strict: bool) -> Result<Self, Error> {
        let compiled = host_seccomp::compile(&syscall_table::seccomp::plan(strict)).map_err(Error::Filter)?;
        let filter: Vec<_> = compiled.iter().map(instruction).collect();
        let found = installed_filter(&filter).map(|installed| {
            let back = |it: &platform_notify::Instruction| SockFilter {
                code: it.code,
                jt: it.jt,
                jf: it.jf,
                k: it.k,
            };
            installed.iter().map(back).collect::<Vec<_>>()
        });
        Ok(match found {
            Ok(program) => Self { read_back: Ok(program == compiled), program },
            Err(errno) => Self { read_back: Err(errno), program: compiled },
        })
    }
}

/// One condition of a rule, in words.
fn one(row: Option<&Syscall>, condition: &Condition) -> String {
    native::condition(row, condition)
}

fn conditions<'a>(call: &str, alternatives: impl Iterator<Item = &'a [Condition]>) -> String {
    let row = syscall_table::by_name(call);
    let all = alternatives.map(|all| all.iter().map(|it| one(row, it)).collect::<Vec<_>>().join(", "));
    all.collect::<Vec<_>>().join(" or ")
}

/// A call that the supervisor is asked about, and may have the host perform.
fn gated(row: &'static Syscall, filter: &[SockFilter]) -> Option<Row> {
    let is_gate = matches!(row.disposition, Disposition::Gate | Disposition::Native);
    (is_gate && !native::is_allowed(filter, row.nr)).then(|| Row {
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
    let filter = Filter::installed(strict)?;
    let mut rows = native::rows(&filter.program);
    rows.extend(syscall_table::SYSCALLS.iter().filter_map(|row| gated(row, &filter.program)));
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
    Ok(Surface { rows, filter })
}

#[cfg(test)]
mod tests;
