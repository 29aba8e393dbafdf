//! `cargo xtask gen`: what follows from `syscall-table/syscalls.tbl`.
//!
//! | output | what |
//! |---|---|
//! | `syscall-table/src/generated.rs` | the rows as data |
//! | `crates/kernel-syscalls/src/dispatch.rs` | decoding and calling of handlers |
//! | `COMPAT.md` | the compatibility page |
//! | `SECURITY.md` | its figures, from the filters as this tree compiles them, and the names of escape tests |
//!
//! A row that promises more than a stub needs a handler; [`handlers`] looks for it in the sources of
//! kernel-syscalls, so that the tree builds while handlers are being written.

mod conditions;
mod differences;
mod dispatch;
mod handlers;
mod parse;
mod rows;
mod security;
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
    let of_the_table = [
        ("syscall-table/src/generated.rs", rows::emit(&rows)),
        ("crates/kernel-syscalls/src/dispatch.rs", dispatch::emit(&rows, &handlers)),
        ("COMPAT.md", syscall_table::render::compat_page(&rows) + &differences::section()?),
    ];
    for (path, content) in of_the_table {
        stale.extend(renew(path, &content, check)?);
    }
    // Last: it is what the tree says with these files.
    if stale.is_empty() {
        let (path, content) = security::page()?;
        stale.extend(renew(path, &content, check)?);
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

/// Writes a file where it is not as it should be; when only checking, returns its name.
fn renew(path: &'static str, content: &str, check: bool) -> anyhow::Result<Option<&'static str>> {
    if repo::read(path).is_ok_and(|old| old == content) {
        return Ok(None);
    }
    if check {
        return Ok(Some(path));
    }
    write(&repo::root().join(path), content)?;
    eprintln!("wrote {path}");
    Ok(None)
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
