//! The surface as people and programs read it.

use std::fmt::Write;

use abi_linux::Errno;
use serde_json::{Value, json};
use syscall_table::reference;

use super::{Row, Surface};

/// Why a filter could not be read back, and what helps.
fn not_read(errno: Errno) -> String {
    format!("not read back ({errno}): that wants root with CAP_SYS_ADMIN, and CONFIG_CHECKPOINT_RESTORE")
}

impl Surface {
    /// How many rows there are of a kind.
    #[must_use]
    pub fn count(&self, by: &str) -> usize {
        self.rows.iter().filter(|row| row.by == by).count()
    }

    /// How many rows there are of each kind, in words; and what others have.
    fn summary(&self) -> String {
        let read_back = match self.filter.read_back {
            Ok(true) => "read back from a live guest: as compiled".to_owned(),
            Ok(false) => "read back from a live guest: NOT as compiled".to_owned(),
            Err(errno) => not_read(errno),
        };
        let [docker, by_arguments] = docker();
        let gvisor: Vec<_> = reference::gvisor().map(|(what, count)| format!("{count} {what}")).collect();
        format!(
            "native {}, gated {}, supervisor {} (and {} in mode host); filter of {} instructions, {read_back}\n\
             for comparison: Docker's default profile lets a container make {docker} calls natively, \
             {by_arguments} of them by their arguments; gVisor, as it says: {}",
            self.count("native"),
            self.count("gate"),
            self.count("supervisor"),
            self.count("supervisor, mode host"),
            self.filter.program.len(),
            gvisor.join(", "),
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
            let conditions = conditions.replace('|', "\\|");
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
        let read_back = match self.filter.read_back {
            Ok(same) => json!(same),
            Err(errno) => json!(not_read(errno)),
        };
        let [docker, by_arguments] = docker();
        let gvisor: serde_json::Map<_, _> =
            reference::gvisor().map(|(what, count)| (what.to_owned(), json!(count))).collect();
        let all = json!({
            "counts": {
                "native": self.count("native"),
                "gate": self.count("gate"),
                "supervisor": self.count("supervisor"),
                "supervisorInModeHost": self.count("supervisor, mode host"),
            },
            "rows": rows,
            "instructions": self.filter.program.len(),
            "installedAsCompiled": read_back,
            "docker": {"native": docker, "byArguments": by_arguments},
            "gvisor": gvisor,
        });
        format!("{all:#}\n")
    }
}

/// Calls of Docker's default profile, and how many of them it allows for some arguments only.
fn docker() -> [usize; 2] {
    [reference::docker().count(), reference::docker().filter(|call| call.looks_at_arguments).count()]
}
