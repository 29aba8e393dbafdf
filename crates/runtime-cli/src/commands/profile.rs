//! `palisade profile`: where the time of a container's calls goes.

use std::ffi::OsString;
use std::fmt::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use runtime_control::observe::{CallStats, Depth, Stats};
use runtime_oci::Status;

use crate::args::Global;
use crate::commands::events::interval;
use crate::commands::{containers, guest, print, until_signal};

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// How long to look at a running container, such as 500ms, 10s or 1m; ^C ends it earlier
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = interval)]
    duration: Duration,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: ProfileFormat,
    /// Name of the container; or `do` with its options and a program, to profile that from beginning to end
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ID|do …")]
    target: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileFormat {
    Table,
    Json,
}

/// Paths in a table.
const PATHS: usize = 10;
/// Time that a profile goes on when nobody comes for it.
const SPARE: Duration = Duration::from_secs(30);

pub(crate) fn profile(args: &ProfileArgs, global: &Global) -> Result<u8> {
    let (first, rest) = args.target.split_first().context("name a container")?;
    if first == "do" {
        let program = guest::parse_do(rest)?;
        let mut seen = None;
        let looked =
            guest::Looked { profile: Some(Box::new(|stats| seen = Some(stats))), ..guest::Looked::default() };
        let status = guest::run_program(&program, looked)?;
        let text = rendered(&seen.unwrap_or_default(), args.format)?;
        // Standard output is the program's.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        return Ok(status);
    }
    let [id] = args.target.as_slice() else { bail!("name one container, or `do` and a program") };
    let id = id.to_str().context("name a container")?;
    let (_entry, record) = containers::find(global, id)?;
    if record.status == Status::Stopped {
        bail!("container {id:?} has stopped: there is nothing to profile");
    }
    let client = containers::connect(&record)?;
    let (end, ended) = channel();
    until_signal::then(move || {
        let _ = end.send(());
    })?;
    client.stats(id, Depth::Parts, args.duration.saturating_add(SPARE))?;
    match ended.recv_timeout(args.duration) {
        Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
    }
    let stats =
        client.stats(id, Depth::Parts, Duration::ZERO).context("the container ended before its profile")?;
    print(&rendered(&stats, args.format)?)?;
    Ok(0)
}

fn rendered(stats: &Stats, format: ProfileFormat) -> Result<String> {
    match format {
        ProfileFormat::Json => {
            let mut value = serde_json::to_value(stats)?;
            for call in value["calls"].as_array_mut().into_iter().flatten() {
                let nr = call["nr"].as_i64().and_then(|nr| i32::try_from(nr).ok()).unwrap_or(-1);
                call["name"] = name_of(nr).into();
            }
            Ok(format!("{value}\n"))
        }
        ProfileFormat::Table => Ok(table(stats)),
    }
}

fn name_of(nr: i32) -> String {
    syscall_table::by_nr(nr).map_or_else(|| "unknown".to_owned(), |row| row.name.to_owned())
}

/// Microseconds of each call.
fn each(ns: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { ns as f64 / count as f64 / 1000.0 }
}

/// The busiest first; times are microseconds for each call.
fn table(stats: &Stats) -> String {
    let mut calls: Vec<&CallStats> = stats.calls.iter().collect();
    let own = |call: &CallStats| call.parts.entry_ns + call.parts.run_ns + call.parts.answer_ns;
    calls.sort_by_key(|call| std::cmp::Reverse(own(call)));
    let all: u64 = calls.iter().map(|call| own(call)).sum();
    let mut out = String::from(
        "  time%      calls  failed  us/call   entry  kernel    host  copies  answer  waited  host/call  call\n",
    );
    for call in &calls {
        let (count, parts) = (call.count(), &call.parts);
        let failed: u64 = call.failed.iter().map(|(_, _, count)| count).sum();
        let kernel = parts.run_ns.saturating_sub(parts.host_ns + parts.copy_ns);
        let waited = call.total_ns.saturating_sub(parts.entry_ns + parts.run_ns);
        let percent = if all == 0 { 0.0 } else { 100.0 * own(call) as f64 / all as f64 };
        let host = if count == 0 { 0.0 } else { parts.host_calls as f64 / count as f64 };
        let _ = writeln!(
            out,
            "{percent:7.2} {count:10} {failed:7} {:8.2} {:7.2} {:7.2} {:7.2} {:7.2} {:7.2} {:7.2} {host:10.2}  {}",
            each(own(call), count),
            each(parts.entry_ns, count),
            each(kernel, count),
            each(parts.host_ns, count),
            each(parts.copy_ns, count),
            each(parts.answer_ns, count),
            each(waited, count),
            name_of(call.nr),
        );
    }
    let count: u64 = calls.iter().map(|call| call.count()).sum();
    let _ = writeln!(
        out,
        "{count} calls, {:.3} ms in the supervisor; delivery before it is not seen from here",
        all as f64 / 1e6
    );
    if !stats.paths.is_empty() {
        out.push_str("\n     calls       ms  path\n");
    }
    for path in stats.paths.iter().take(PATHS) {
        let name = if path.path.is_empty() { "(others)" } else { &path.path };
        let _ = writeln!(out, "{:10} {:8.3}  {name}", path.count, path.total_ns as f64 / 1e6);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::table;
    use runtime_control::observe::{CallStats, Parts, Stats};

    #[test]
    fn parts_of_a_call_add_up() {
        let parts = Parts {
            entry_ns: 1000,
            run_ns: 9000,
            host_calls: 2,
            host_ns: 4000,
            copies: 1,
            copy_ns: 2000,
            answer_ns: 2000,
        };
        let call = CallStats { nr: 0, succeeded: 2, total_ns: 14_000, parts, ..CallStats::default() };
        let text = table(&Stats { calls: vec![call], ..Stats::default() });
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        let wanted =
            ["100.00", "2", "0", "6.00", "0.50", "1.50", "2.00", "1.00", "1.00", "2.00", "1.00", "read"];
        assert_eq!(row, wanted);
    }
}
