//! What a container uses, in containerd's messages for cgroups of version 1 and 2.

use std::collections::BTreeMap;

use containerd_shim_protos::cgroups::metrics as v1;
use containerd_shim_protos::cgroups_v2::metrics as v2;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use runtime_oci::cgroup::{Cgroup, Stats, Version};

use crate::error::Error;
use crate::events::any;

/// Reads a group's files.
pub(crate) fn of(cgroup: &Cgroup) -> Result<Any, Error> {
    let stats = cgroup.stats()?;
    Ok(match cgroup.version() {
        Version::V1 => any(&version_1(&stats, cgroup.oom_kills())),
        Version::V2 => any(&version_2(&stats, cgroup.oom_kills())),
    })
}

fn get(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

fn version_1(stats: &Stats, oom_kills: u64) -> v1::Metrics {
    let mut all = v1::Metrics::new();
    let mut pids = v1::PidsStat::new();
    (pids.current, pids.limit) = (stats.pids.current, stats.pids.limit);
    all.pids = Some(pids).into();
    let mut usage = v1::CPUUsage::new();
    usage.total = stats.cpu.usage.total;
    usage.kernel = stats.cpu.usage.kernel;
    usage.user = stats.cpu.usage.user;
    usage.per_cpu.clone_from(&stats.cpu.usage.percpu);
    let mut throttling = v1::Throttle::new();
    throttling.periods = stats.cpu.throttling.periods;
    throttling.throttled_periods = stats.cpu.throttling.throttled_periods;
    throttling.throttled_time = stats.cpu.throttling.throttled_time;
    let mut cpu = v1::CPUStat::new();
    cpu.usage = Some(usage).into();
    cpu.throttling = Some(throttling).into();
    all.cpu = Some(cpu).into();
    all.memory = Some(memory_1(stats)).into();
    let mut oom = v1::MemoryOomControl::new();
    oom.oom_kill = oom_kills;
    all.memory_oom_control = Some(oom).into();
    let mut blkio = v1::BlkIOStat::new();
    blkio.io_service_bytes_recursive = entries(&stats.blkio.io_service_bytes_recursive);
    blkio.io_serviced_recursive = entries(&stats.blkio.io_serviced_recursive);
    all.blkio = Some(blkio).into();
    for (size, counter) in &stats.hugetlb {
        let mut one = v1::HugetlbStat::new();
        (one.usage, one.max, one.failcnt) = (counter.usage, counter.max, counter.failcnt);
        one.pagesize.clone_from(size);
        all.hugetlb.push(one);
    }
    all
}

fn entries(list: &[runtime_oci::cgroup::BlkIoEntry]) -> Vec<v1::BlkIOEntry> {
    let entry = |from: &runtime_oci::cgroup::BlkIoEntry| {
        let mut entry = v1::BlkIOEntry::new();
        (entry.major, entry.minor, entry.value) = (from.major, from.minor, from.value);
        entry.op.clone_from(&from.op);
        entry
    };
    list.iter().map(entry).collect()
}

fn memory_1(stats: &Stats) -> v1::MemoryStat {
    let memory = &stats.memory;
    let raw = |name: &str| get(&memory.raw, name);
    let counter = |from: &runtime_oci::cgroup::Counter| {
        let mut entry = v1::MemoryEntry::new();
        (entry.limit, entry.usage, entry.max, entry.failcnt) =
            (from.limit, from.usage, from.max, from.failcnt);
        Some(entry).into()
    };
    let mut out = v1::MemoryStat::new();
    out.cache = raw("cache");
    out.rss = raw("rss");
    out.rss_huge = raw("rss_huge");
    out.mapped_file = raw("mapped_file");
    out.dirty = raw("dirty");
    out.writeback = raw("writeback");
    out.pg_pg_in = raw("pgpgin");
    out.pg_pg_out = raw("pgpgout");
    out.pg_fault = raw("pgfault");
    out.pg_maj_fault = raw("pgmajfault");
    out.inactive_anon = raw("inactive_anon");
    out.active_anon = raw("active_anon");
    out.inactive_file = raw("inactive_file");
    out.active_file = raw("active_file");
    out.unevictable = raw("unevictable");
    out.hierarchical_memory_limit = raw("hierarchical_memory_limit");
    out.hierarchical_swap_limit = raw("hierarchical_memsw_limit");
    out.total_cache = raw("total_cache");
    out.total_rss = raw("total_rss");
    out.total_rss_huge = raw("total_rss_huge");
    out.total_mapped_file = raw("total_mapped_file");
    out.total_dirty = raw("total_dirty");
    out.total_writeback = raw("total_writeback");
    out.total_pg_pg_in = raw("total_pgpgin");
    out.total_pg_pg_out = raw("total_pgpgout");
    out.total_pg_fault = raw("total_pgfault");
    out.total_pg_maj_fault = raw("total_pgmajfault");
    out.total_inactive_anon = raw("total_inactive_anon");
    out.total_active_anon = raw("total_active_anon");
    out.total_inactive_file = raw("total_inactive_file");
    out.total_active_file = raw("total_active_file");
    out.total_unevictable = raw("total_unevictable");
    out.usage = counter(&memory.usage);
    out.swap = counter(&memory.swap);
    out.kernel = counter(&memory.kernel);
    out.kernel_tcp = counter(&memory.kernel_tcp);
    out
}

fn version_2(stats: &Stats, oom_kills: u64) -> v2::Metrics {
    const NS_PER_US: u64 = 1000;
    let mut all = v2::Metrics::new();
    let mut pids = v2::PidsStat::new();
    (pids.current, pids.limit) = (stats.pids.current, stats.pids.limit);
    all.pids = Some(pids).into();
    let mut cpu = v2::CPUStat::new();
    cpu.usage_usec = stats.cpu.usage.total / NS_PER_US;
    cpu.user_usec = stats.cpu.usage.user / NS_PER_US;
    cpu.system_usec = stats.cpu.usage.kernel / NS_PER_US;
    cpu.nr_periods = stats.cpu.throttling.periods;
    cpu.nr_throttled = stats.cpu.throttling.throttled_periods;
    cpu.throttled_usec = stats.cpu.throttling.throttled_time / NS_PER_US;
    all.cpu = Some(cpu).into();
    all.memory = Some(memory_2(stats)).into();
    let mut events = v2::MemoryEvents::new();
    (events.oom_kill, events.max) = (oom_kills, stats.memory.usage.failcnt);
    all.memory_events = Some(events).into();
    all.io = Some(io_2(stats)).into();
    for (size, counter) in &stats.hugetlb {
        let mut one = v2::HugeTlbStat::new();
        (one.current, one.max, one.failcnt) = (counter.usage, counter.limit, counter.failcnt);
        one.pagesize.clone_from(size);
        all.hugetlb.push(one);
    }
    all
}

fn memory_2(stats: &Stats) -> v2::MemoryStat {
    let memory = &stats.memory;
    let raw = |name: &str| get(&memory.raw, name);
    let mut out = v2::MemoryStat::new();
    out.anon = raw("anon");
    out.file = raw("file");
    out.kernel_stack = raw("kernel_stack");
    out.slab = raw("slab");
    out.sock = raw("sock");
    out.shmem = raw("shmem");
    out.file_mapped = raw("file_mapped");
    out.file_dirty = raw("file_dirty");
    out.file_writeback = raw("file_writeback");
    out.anon_thp = raw("anon_thp");
    out.inactive_anon = raw("inactive_anon");
    out.active_anon = raw("active_anon");
    out.inactive_file = raw("inactive_file");
    out.active_file = raw("active_file");
    out.unevictable = raw("unevictable");
    out.slab_reclaimable = raw("slab_reclaimable");
    out.slab_unreclaimable = raw("slab_unreclaimable");
    out.pgfault = raw("pgfault");
    out.pgmajfault = raw("pgmajfault");
    out.usage = memory.usage.usage;
    out.usage_limit = memory.usage.limit;
    out.max_usage = memory.usage.max;
    // Stats has version 1's sums.
    out.swap_usage = memory.swap.usage.saturating_sub(memory.usage.usage);
    out.swap_limit = memory.swap.limit.saturating_sub(memory.usage.limit);
    out
}

fn io_2(stats: &Stats) -> v2::IOStat {
    let mut devices: BTreeMap<(u64, u64), v2::IOEntry> = BTreeMap::new();
    let lists =
        [(&stats.blkio.io_service_bytes_recursive, true), (&stats.blkio.io_serviced_recursive, false)];
    for (list, bytes) in lists {
        for from in list {
            let entry = devices.entry((from.major, from.minor)).or_default();
            (entry.major, entry.minor) = (from.major, from.minor);
            match (from.op.as_str(), bytes) {
                ("Read", true) => entry.rbytes = from.value,
                ("Write", true) => entry.wbytes = from.value,
                ("Read", false) => entry.rios = from.value,
                ("Write", false) => entry.wios = from.value,
                _ => {}
            }
        }
    }
    let mut out = v2::IOStat::new();
    out.usage = devices.into_values().collect();
    out
}
