//! `cargo xtask gen`: what follows from `syscall-table/syscalls.tbl`.
//!
//! | output | what |
//! |---|---|
//! | `syscall-table/src/generated.rs` | the rows as data |
//! | `crates/kernel-syscalls/src/dispatch.rs` | decoding and calling of handlers |
//! | `COMPAT.md` | the compatibility page |
//!
//! A row that promises more than a stub needs a handler; [`handlers`] looks for it in the sources of
//! kernel-syscalls, so that the tree builds while handlers are being written.

mod conditions;
mod dispatch;
mod handlers;
mod parse;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, bail};
use syscall_table::{Answer, ErrnoName, Level, Syscall};

use crate::repo;
use handlers::Handlers;

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let text = repo::read("syscall-table/syscalls.tbl")?;
    let mut rows = parse::table(&text).context("syscall-table/syscalls.tbl")?;
    let handlers = Handlers::scan(&repo::root().join("crates/kernel-syscalls/src"))?;
    let mut complaints = handlers.mismatches(&rows);
    let unwritten = downgrade(&mut rows, &handlers);
    if !unwritten.is_empty() {
        eprintln!(
            "{} rows promise a handler that is not written yet: {}",
            unwritten.len(),
            unwritten.join(" ")
        );
        complaints.push("write these handlers, or say `stub` in the table".to_owned());
    }
    let mut stale = Vec::new();
    for (path, content) in [
        ("syscall-table/src/generated.rs", rows::emit(&rows)),
        ("crates/kernel-syscalls/src/dispatch.rs", dispatch::emit(&rows, &handlers)),
        ("COMPAT.md", syscall_table::render::compat_page(&rows)),
    ] {
        if repo::read(path).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            write(&repo::root().join(path), &content)?;
            eprintln!("wrote {path}");
        }
    }
    if check && !stale.is_empty() {
        complaints.push(format!("stale: {}; run `cargo xtask gen`", stale.join(", ")));
    }
    for complaint in &complaints {
        eprintln!("gen: {complaint}");
    }
    if check && !complaints.is_empty() {
        bail!("the generated files do not match the table");
    }
    Ok(())
}

/// Turns rows without their handler into stubs, and names them.
fn downgrade(rows: &mut [Syscall], handlers: &Handlers) -> Vec<&'static str> {
    let mut unwritten = Vec::new();
    for row in rows.iter_mut().filter(|row| row.answer == Answer::Handler && !handlers.has(row)) {
        row.answer = Answer::Fixed;
        row.level = row.level.min(Level::Stub);
        row.errno = Some(ErrnoName { name: "ENOSYS", value: 38 });
        unwritten.push(row.name);
    }
    unwritten
}

/// Replaces a file in one step, so that a build that runs meanwhile sees the old or the new one.
fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    let scratch = path.with_extension("new");
    std::fs::write(&scratch, content).with_context(|| format!("cannot write {}", scratch.display()))?;
    std::fs::rename(&scratch, path).with_context(|| format!("cannot replace {}", path.display()))
}
