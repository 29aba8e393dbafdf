//! `palisade debug`: what a container is doing at this moment.

use std::fmt::Write;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use runtime_control::observe::Inspection;
use runtime_oci::Status;

use crate::args::Global;
use crate::commands::{containers, print};

#[derive(Debug, Args)]
pub(crate) struct DebugArgs {
    /// Only the calls that wait, and locks
    #[arg(long)]
    stacks: bool,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    format: DebugFormat,
    /// Name of the container
    id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DebugFormat {
    Text,
    Json,
}

pub(crate) fn debug(args: &DebugArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    if record.status == Status::Stopped {
        bail!("container {:?} has stopped: there is nothing to see", args.id);
    }
    let mut seen = containers::connect(&record)?.inspect(&args.id)?;
    if args.stacks {
        seen.mounts.clear();
        seen.processes.iter_mut().for_each(|process| process.files.clear());
    }
    match args.format {
        DebugFormat::Json => print(&format!("{}\n", serde_json::to_string(&seen)?))?,
        DebugFormat::Text => print(&text(&seen))?,
    }
    Ok(0)
}

fn text(seen: &Inspection) -> String {
    let mut out = String::new();
    for process in &seen.processes {
        let _ = writeln!(
            out,
            "process {} ({}), child of {}, host {}: {}",
            process.pid, process.comm, process.ppid, process.host_pid, process.exe
        );
        for thread in &process.threads {
            let waiting = seen.parked.iter().find(|call| call.tid == *thread);
            let _ = match waiting {
                Some(call) => writeln!(
                    out,
                    "  thread {thread}: waits {:.3} s in {} for {}",
                    call.for_ns as f64 / 1e9,
                    call.call,
                    call.waits_for
                ),
                None => writeln!(out, "  thread {thread}: waits for nothing of the supervisor's"),
            };
        }
        for file in &process.files {
            let _ = writeln!(out, "  fd {:3}  flags {:#o}  {}", file.fd, file.flags, file.path);
        }
        if process.more_files > 0 {
            let _ = writeln!(out, "  and {} more", process.more_files);
        }
    }
    for lock in &seen.locks {
        let _ = writeln!(out, "lock: {lock}");
    }
    for panic in &seen.panics {
        let _ = writeln!(out, "panic: {panic}");
    }
    for mount in &seen.mounts {
        let _ = writeln!(out, "mount: {} on {} {}", mount.source, mount.point, mount.flags);
    }
    out
}
