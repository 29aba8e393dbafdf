//! Files of the cgroup that never change (Documentation/admin-guide/cgroup-v2.rst, Linux v6.18).

use std::sync::Arc;

use kernel_task::Kernel;

use super::CgroupLimits;
use crate::pseudo::TreeBuilder;
use crate::sys::cpu::{Processors, range_list};

/// Files with fixed text, by name.
static TEXTS: &[(&str, &str)] = &[
    ("cgroup.controllers", "cpuset cpu io memory pids\n"),
    ("cgroup.subtree_control", "\n"),
    ("cgroup.type", "domain\n"),
    ("cgroup.events", "populated 1\nfrozen 0\n"),
    ("cgroup.freeze", "0\n"),
    ("cgroup.max.depth", "max\n"),
    ("cgroup.max.descendants", "max\n"),
    ("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n"),
    ("cgroup.pressure", "1\n"),
    ("cpu.weight", "100\n"),
    ("cpu.weight.nice", "0\n"),
    ("cpu.idle", "0\n"),
    ("cpu.max.burst", "0\n"),
    ("cpu.pressure", PRESSURE),
    ("cpuset.cpus", "\n"),
    ("cpuset.cpus.partition", "member\n"),
    ("cpuset.mems", "\n"),
    ("cpuset.mems.effective", "0\n"),
    ("io.max", ""),
    ("io.pressure", PRESSURE),
    ("io.stat", ""),
    ("memory.events", MEMORY_EVENTS),
    ("memory.events.local", MEMORY_EVENTS),
    ("memory.high", "max\n"),
    ("memory.low", "0\n"),
    ("memory.min", "0\n"),
    ("memory.oom.group", "0\n"),
    ("memory.pressure", PRESSURE),
    ("memory.swap.current", "0\n"),
    ("memory.swap.events", "high 0\nmax 0\nfail 0\n"),
    ("memory.swap.high", "max\n"),
    ("memory.swap.max", "max\n"),
    ("pids.events", "max 0\n"),
];

const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n\
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

const MEMORY_EVENTS: &str = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";

pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>, limits: CgroupLimits) {
    let limit = |value: Option<u64>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
    for (name, text) in TEXTS {
        tree.fixed(name, *text);
    }
    tree.fixed("memory.max", format!("{}\n", limit(limits.memory_bytes)));
    tree.fixed("cpu.max", format!("{} 100000\n", limit(limits.cpu_quota_us)));
    tree.fixed("pids.max", format!("{}\n", limit(limits.pids)));
    let processors = range_list(&Processors::of_host(kernel).all());
    tree.fixed("cpuset.cpus.effective", format!("{processors}\n"));
}
