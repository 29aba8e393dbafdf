//! Two looks compared: what happens in a second.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;

use crate::sample::Sample;

/// What containers are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Key {
    Cpu,
    Memory,
    Calls,
    Name,
}

impl Key {
    /// Another one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Calls,
            Self::Calls => Self::Name,
            Self::Name => Self::Cpu,
        }
    }
}

/// A container in a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its id, behind containerd's namespace if it has one.
    pub name: String,
    pub status: &'static str,
    /// Of one CPU, in per cent; `None` without a cgroup.
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub processes: u64,
    pub descriptors: u64,
    pub calls_per_second: f64,
    pub waiting: u64,
    /// Names of calls, and how many of them in a second.
    pub hottest: Vec<(String, f64)>,
}

/// Calls that are named of each container.
const HOTTEST: usize = 3;

/// Compares two looks that lie `between` apart.
#[must_use]
pub fn rows(before: &[Sample], after: &[Sample], between: Duration, sort: Key) -> Vec<Row> {
    let seconds = between.as_secs_f64().max(1e-3);
    let mut rows: Vec<Row> = after
        .iter()
        .map(|sample| {
            let same = |old: &&Sample| old.id == sample.id && old.namespace == sample.namespace;
            row(before.iter().find(same), sample, seconds)
        })
        .collect();
    let by = |value: f64| std::cmp::Reverse((value * 1000.0) as u64);
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    match sort {
        Key::Cpu => rows.sort_by_key(|row| by(row.cpu_percent.unwrap_or(0.0))),
        Key::Memory => rows.sort_by_key(|row| std::cmp::Reverse(row.memory_bytes)),
        Key::Calls => rows.sort_by_key(|row| by(row.calls_per_second)),
        Key::Name => {}
    }
    rows
}

fn counts(sample: Option<&Sample>) -> BTreeMap<i32, u64> {
    let calls = sample.and_then(|sample| sample.stats.as_ref()).map(|stats| &stats.calls);
    calls.into_iter().flatten().map(|call| (call.nr, call.count())).collect()
}

fn row(before: Option<&Sample>, after: &Sample, seconds: f64) -> Row {
    let old = counts(before);
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    let mut calls: Vec<(i32, f64)> = counts(Some(after))
        .into_iter()
        .map(|(nr, count)| (nr, rate(count, old.get(&nr).copied().unwrap_or(0))))
        .filter(|&(_, rate)| rate > 0.0)
        .collect();
    calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    let name =
        |nr: i32| syscall_table::by_nr(nr).map_or_else(|| "unknown".to_owned(), |row| row.name.to_owned());
    let cpu = |sample: &Sample| sample.cgroup.as_ref().map(|stats| stats.cpu.usage.total);
    let used = cpu(after).map(|now| now.saturating_sub(before.and_then(cpu).unwrap_or(now)));
    let now = after.stats.as_ref().map(|stats| stats.now.clone()).unwrap_or_default();
    let place = if after.namespace.is_empty() { String::new() } else { format!("{}/", after.namespace) };
    Row {
        name: format!("{place}{}", after.id),
        status: after.status.name(),
        cpu_percent: used.map(|ns| ns as f64 / 1e7 / seconds),
        memory_bytes: after.cgroup.as_ref().map(|stats| stats.memory.usage.usage),
        processes: now.processes,
        descriptors: now.descriptors,
        // The sum of nothing is -0.
        calls_per_second: calls.iter().map(|(_, rate)| rate).sum::<f64>() + 0.0,
        waiting: now.parked,
        hottest: calls.iter().take(HOTTEST).map(|&(nr, rate)| (name(nr), rate)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, rows};
    use crate::sample::Sample;
    use runtime_control::observe::{CallStats, Stats};
    use runtime_oci::Status;
    use std::time::Duration;

    fn sample(id: &str, opens: u64) -> Sample {
        let call = CallStats { nr: 2, succeeded: opens, ..CallStats::default() };
        Sample {
            id: id.to_owned(),
            namespace: String::new(),
            status: Status::Running,
            stats: Some(Stats { calls: vec![call], ..Stats::default() }),
            supervisor_bytes: None,
            cgroup: None,
            oom_kills: 0,
        }
    }

    #[test]
    fn rates_are_differences_and_newcomers_count_from_zero() {
        let (before, after) = (vec![sample("a", 10)], vec![sample("a", 30), sample("b", 100)]);
        let rows = rows(&before, &after, Duration::from_secs(2), Key::Calls);
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.calls_per_second)).collect();
        assert_eq!(seen, [("b", 50.0), ("a", 10.0)]);
        assert_eq!(rows[1].hottest, [("open".to_owned(), 10.0)]);
        assert_eq!(rows[0].cpu_percent, None);
    }
}
