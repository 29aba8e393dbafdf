//! `palisade syscalls`.

use anyhow::Result;
use syscall_table::{Disposition, Level, SYSCALLS, render};

use crate::args::{Format, SyscallsArgs};

/// Prints the table.
pub(crate) fn list(args: &SyscallsArgs) -> Result<u8> {
    let level = args.level.map(Level::from);
    let disposition = args.disposition.map(Disposition::from);
    let wanted = |row: &&syscall_table::Syscall| {
        level.is_none_or(|level| row.level == level)
            && disposition.is_none_or(|wanted| row.disposition == wanted)
    };
    let rows: Vec<_> = SYSCALLS.iter().filter(wanted).collect();
    let text = match args.format {
        Format::Table => render::table(&rows),
        Format::Json => render::json(&rows)?,
        Format::Markdown => render::markdown(&rows),
    };
    super::print(&text)?;
    Ok(0)
}
