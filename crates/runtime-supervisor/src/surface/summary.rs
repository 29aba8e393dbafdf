//! The figures of SECURITY.md, as `cargo xtask gen` puts them there.

use std::fmt::Write;

use syscall_table::reference;

use super::cves::Reach;
use super::{cve_table, surface};
use crate::error::Error;

/// The counts of both modes, of others, and of the CVEs, in markdown.
///
/// # Errors
/// As of [`surface`] and [`cve_table`].
pub fn summary() -> Result<String, Error> {
    let mut out = String::new();
    let modes = [surface(false)?, surface(true)?];
    let [usual, strict] = &modes;
    // Writing to a String does not fail.
    let _ = writeln!(out, "| host calls | default | `--strict` |\n|---|---:|---:|");
    for (by, what) in [
        ("native", "a guest's own, by the filter alone"),
        ("gate", "a guest's own, after the supervisor looked at the registers"),
        ("supervisor", "the supervisor's, by rule"),
        ("supervisor, mode host", "the supervisor's, further or wider with `--network host`"),
        ("capability", "capabilities of the supervisor"),
        ("capability, mode host", "capabilities of the supervisor, further with `--network host`"),
    ] {
        let _ = writeln!(out, "| {what} | {} | {} |", usual.count(by), strict.count(by));
    }
    let docker = reference::docker().count();
    let _ = writeln!(
        out,
        "\nFor comparison: Docker's default profile lets a container make {docker} calls natively."
    );
    for (what, count) in reference::gvisor() {
        let _ = writeln!(out, "gVisor says of itself: {count} {what}.");
    }
    let _ = writeln!(
        out,
        "\n| how far the triggers of {} CVEs get | default | `--strict` |\n|---|---:|---:|",
        reference::cves().count()
    );
    let tables = [cve_table(false)?, cve_table(true)?];
    for reach in Reach::ALL {
        let count = |at: usize| {
            tables.get(at).map_or(0, |table| table.lines.iter().filter(|line| line.reach == reach).count())
        };
        let _ = writeln!(out, "| {} | {} | {} |", reach.name(), count(0), count(1));
    }
    let [usual, strict] = &tables;
    let ([here, gvisor], [strict, _]) = (usual.exploitable(), strict.exploitable());
    let _ =
        writeln!(out, "| **exploitable** (gVisor's own list: {gvisor} under gVisor) | {here} | {strict} |");
    let exploitable = usual.lines.iter().filter(|line| line.is_exploitable());
    let named: Vec<_> = exploitable.map(|line| format!("{} ({})", line.cve.id, line.cve.what)).collect();
    let _ = writeln!(out, "\nCounted as exploitable: {}.", named.join("; "));
    Ok(out)
}
