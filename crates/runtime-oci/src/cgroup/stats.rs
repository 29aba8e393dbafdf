//! What a group uses, in the shape of `runc events --stats`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::hierarchy::Version;
use super::{Cgroup, CgroupError};

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    pub cpuset: CpuSet,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: BlkIo,
    pub hugetlb: BTreeMap<String, Counter>,
    pub intel_rdt: BTreeMap<String, String>,
    /// The host's view has none: the container's network is inside.
    pub network_interfaces: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
}

/// In nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// One thing with a limit, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counter {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: Counter,
    pub swap: Counter,
    pub kernel: Counter,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Counter,
    /// memory.stat.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlkIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkIoEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlkIoEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// USER_HZ is 100 on x86_64 (times(2)); cpuacct.stat counts in it.
const NS_PER_TICK: u64 = 10_000_000;

impl Stats {
    pub(super) fn of(cgroup: &Cgroup) -> Result<Self, CgroupError> {
        let any = cgroup.directories.values().next().ok_or(CgroupError::NotMounted)?;
        fs::metadata(any).map_err(super::io_at(any))?;
        let at = |controller: &str| Files(cgroup.directory(controller));
        Ok(match cgroup.version {
            Version::V1 => v1(&at),
            Version::V2 => v2(&at("")),
        })
    }
}

/// Files of a group; what is missing counts as 0.
struct Files<'a>(Option<&'a Path>);

impl Files<'_> {
    fn text(&self, file: &str) -> String {
        self.0.and_then(|directory| fs::read_to_string(directory.join(file)).ok()).unwrap_or_default()
    }

    /// "max" is the largest number.
    fn number(&self, file: &str) -> u64 {
        match self.text(file).trim() {
            "max" => u64::MAX,
            text => text.parse().unwrap_or(0),
        }
    }

    fn numbers(&self, file: &str) -> Vec<u64> {
        self.text(file).split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    /// Lines of a name and a number.
    fn table(&self, file: &str) -> BTreeMap<String, u64> {
        let text = self.text(file);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
    }

    fn counter(&self, prefix: &str) -> Counter {
        Counter {
            limit: self.number(&format!("{prefix}.limit_in_bytes")),
            usage: self.number(&format!("{prefix}.usage_in_bytes")),
            max: self.number(&format!("{prefix}.max_usage_in_bytes")),
            failcnt: self.number(&format!("{prefix}.failcnt")),
        }
    }
}

fn get(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

fn v1<'a>(at: &dyn Fn(&str) -> Files<'a>) -> Stats {
    let (acct, memory) = (at("cpuacct"), at("memory"));
    let ticks = acct.table("cpuacct.stat");
    let all = acct.text("cpuacct.usage_all");
    let column = |index: usize| -> Vec<u64> {
        all.lines().skip(1).filter_map(|line| line.split(' ').nth(index)?.parse().ok()).collect()
    };
    let throttled = at("cpu").table("cpu.stat");
    let raw = memory.table("memory.stat");
    let limit = at("pids").number("pids.max");
    Stats {
        cpu: Cpu {
            usage: CpuUsage {
                total: acct.number("cpuacct.usage"),
                percpu: acct.numbers("cpuacct.usage_percpu"),
                percpu_kernel: column(2),
                percpu_user: column(1),
                kernel: get(&ticks, "system") * NS_PER_TICK,
                user: get(&ticks, "user") * NS_PER_TICK,
            },
            throttling: Throttling {
                periods: get(&throttled, "nr_periods"),
                throttled_periods: get(&throttled, "nr_throttled"),
                throttled_time: get(&throttled, "throttled_time"),
            },
        },
        cpuset: cpuset_v1(&at("cpuset")),
        memory: Memory {
            cache: get(&raw, "cache"),
            usage: memory.counter("memory"),
            swap: memory.counter("memory.memsw"),
            kernel: memory.counter("memory.kmem"),
            kernel_tcp: memory.counter("memory.kmem.tcp"),
            raw,
        },
        pids: Pids {
            current: at("pids").number("pids.current"),
            limit: if limit == u64::MAX { 0 } else { limit },
        },
        blkio: BlkIo {
            io_service_bytes_recursive: blkio_v1(
                &at("blkio").text("blkio.throttle.io_service_bytes_recursive"),
            ),
            io_serviced_recursive: blkio_v1(&at("blkio").text("blkio.throttle.io_serviced_recursive")),
        },
        hugetlb: hugetlb(&at("hugetlb"), |files, size| files.counter(&format!("hugetlb.{size}"))),
        ..Stats::default()
    }
}

fn cpuset_v1(files: &Files<'_>) -> CpuSet {
    CpuSet {
        cpus: list(&files.text("cpuset.cpus")),
        cpu_exclusive: files.number("cpuset.cpu_exclusive"),
        mems: list(&files.text("cpuset.mems")),
        mem_hardwall: files.number("cpuset.mem_hardwall"),
        mem_exclusive: files.number("cpuset.mem_exclusive"),
        memory_migrate: files.number("cpuset.memory_migrate"),
        memory_spread_page: files.number("cpuset.memory_spread_page"),
        memory_spread_slab: files.number("cpuset.memory_spread_slab"),
        memory_pressure: files.number("cpuset.memory_pressure"),
        sched_load_balance: files.number("cpuset.sched_load_balance"),
        sched_relax_domain_level: files.text("cpuset.sched_relax_domain_level").trim().parse().unwrap_or(0),
    }
}

/// `0-3,7` in full (cpuset(7), "List Format").
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// `8:0 Read 4096` and, at the end, `Total 4096`.
fn blkio_v1(text: &str) -> Vec<BlkIoEntry> {
    let entry = |line: &str| {
        let [device, op, value] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let (major, minor) = device.split_once(':')?;
        let number = |text: &str| text.parse().ok();
        Some(BlkIoEntry {
            major: number(major)?,
            minor: number(minor)?,
            op: op.to_owned(),
            value: number(value)?,
        })
    };
    text.lines().filter_map(entry).collect()
}

fn hugetlb(files: &Files<'_>, counter: impl Fn(&Files<'_>, &str) -> Counter) -> BTreeMap<String, Counter> {
    if files.0.is_none() {
        return BTreeMap::new();
    }
    super::common::page_sizes().into_iter().map(|size| (size.clone(), counter(files, &size))).collect()
}

fn v2(files: &Files<'_>) -> Stats {
    let cpu = files.table("cpu.stat");
    let us = |name: &str| get(&cpu, name) * 1000;
    let raw = files.table("memory.stat");
    let events = files.table("memory.events");
    let limit = files.number("pids.max");
    let (used, swapped) = (files.number("memory.current"), files.number("memory.swap.current"));
    let (max, swap_max) = (files.number("memory.max"), files.number("memory.swap.max"));
    let (io_bytes, io_counts) = io_v2(&files.text("io.stat"));
    Stats {
        cpu: Cpu {
            usage: CpuUsage {
                total: us("usage_usec"),
                kernel: us("system_usec"),
                user: us("user_usec"),
                ..CpuUsage::default()
            },
            throttling: Throttling {
                periods: get(&cpu, "nr_periods"),
                throttled_periods: get(&cpu, "nr_throttled"),
                throttled_time: us("throttled_usec"),
            },
        },
        cpuset: CpuSet {
            cpus: list(&files.text("cpuset.cpus.effective")),
            mems: list(&files.text("cpuset.mems.effective")),
            ..CpuSet::default()
        },
        memory: Memory {
            cache: get(&raw, "file"),
            usage: Counter {
                limit: max,
                usage: used,
                max: files.number("memory.peak"),
                failcnt: get(&events, "max"),
            },
            // Version 1's sum of both, as runc reports it.
            swap: Counter {
                limit: max.saturating_add(swap_max),
                usage: used.saturating_add(swapped),
                ..Counter::default()
            },
            raw,
            ..Memory::default()
        },
        pids: Pids {
            current: files.number("pids.current"),
            limit: if limit == u64::MAX { 0 } else { limit },
        },
        blkio: BlkIo { io_service_bytes_recursive: io_bytes, io_serviced_recursive: io_counts },
        hugetlb: hugetlb(files, |files, size| Counter {
            limit: files.number(&format!("hugetlb.{size}.max")),
            usage: files.number(&format!("hugetlb.{size}.current")),
            failcnt: get(&files.table(&format!("hugetlb.{size}.events")), "max"),
            ..Counter::default()
        }),
        ..Stats::default()
    }
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …` as version 1's bytes and operations.
fn io_v2(text: &str) -> (Vec<BlkIoEntry>, Vec<BlkIoEntry>) {
    let (mut bytes, mut counts) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (all, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "rios" => (&mut counts, "Read"),
                "wios" => (&mut counts, "Write"),
                _ => continue,
            };
            all.push(BlkIoEntry { major, minor, op: op.to_owned(), value: value.parse().unwrap_or(0) });
        }
    }
    (bytes, counts)
}

#[cfg(test)]
mod tests {
    use super::{blkio_v1, io_v2, list};

    #[test]
    fn lists_are_ranges() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), [0; 0]);
    }

    #[test]
    fn devices_are_told_apart() {
        let entries = blkio_v1("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
        assert_eq!(
            entries.iter().map(|entry| (entry.major, entry.value)).collect::<Vec<_>>(),
            [(8, 4096); 2]
        );
        let (bytes, counts) = io_v2("259:1 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
        assert_eq!((bytes[1].value, counts[0].value, counts[1].minor), (2, 3, 1));
    }
}
