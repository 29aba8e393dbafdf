//! `palisade events`: what a container uses, and when it runs out of memory.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime_oci::Status;
use runtime_oci::cgroup::{Cgroup, OomWatch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::args::Global;
use crate::commands::{containers, print};

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// How often to print: seconds, or with a unit as 500ms, 5s, 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Print once, and end
    #[arg(long)]
    stats: bool,
    /// Name of the container
    id: String,
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000)];
    let number = |suffix: &str| text.strip_suffix(suffix)?.parse::<u64>().ok();
    let found = units.iter().find_map(|(unit, ms)| number(unit)?.checked_mul(*ms));
    let found = found.filter(|&ms| ms > 0).map(Duration::from_millis);
    found.ok_or_else(|| "write a time greater than 0, such as 500ms or 5s".to_owned())
}

/// How often the end of a container is looked for.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn events(args: &EventsArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    if record.status == Status::Stopped {
        bail!("container with id {} is not running", args.id);
    }
    let Some(cgroup) = &record.cgroup else {
        bail!("container {:?} has no cgroup that could count; create it as root", args.id);
    };
    if args.stats {
        print_event("stats", &args.id, serde_json::to_value(cgroup.stats()?)?)?;
        return Ok(0);
    }
    let mut watch = cgroup.oom_watch().context("cannot watch for a lack of memory")?;
    let mut next = Instant::now() + args.interval;
    loop {
        wait(&watch, next)?;
        if watch.happened() {
            print_event("oom", &args.id, Value::Null)?;
        }
        if has_ended(global, &args.id, cgroup) {
            return Ok(0);
        }
        if Instant::now() >= next {
            next += args.interval;
            // It may end between the two looks.
            if let Ok(stats) = cgroup.stats() {
                print_event("stats", &args.id, serde_json::to_value(stats)?)?;
            }
        }
    }
}

fn has_ended(global: &Global, id: &str, cgroup: &Cgroup) -> bool {
    let is_same = |status| status != Status::Stopped;
    !cgroup.directories().values().all(|directory| directory.exists())
        || !containers::find(global, id).is_ok_and(|(_, record)| is_same(record.status))
}

fn wait(watch: &OomWatch, next: Instant) -> Result<()> {
    let left = next.saturating_duration_since(Instant::now()).min(LOOK);
    let left = Timespec::try_from(left)?;
    match poll(&mut [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)], Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context("cannot wait for events"),
    }
}

fn print_event(kind: &str, id: &str, data: Value) -> Result<()> {
    let mut event = json!({ "type": kind, "id": id });
    if !data.is_null() {
        event["data"] = data;
    }
    print(&format!("{event}\n"))
}

#[cfg(test)]
mod tests {
    use super::interval;
    use std::time::Duration;

    #[test]
    fn intervals_have_units() {
        for (text, ms) in [("5s", 5000), ("500ms", 500), ("2m", 120_000), ("3", 3000)] {
            assert_eq!(interval(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert!(interval("0s").is_err() && interval("x").is_err() && interval("-1s").is_err());
    }
}
