//! Files of the cgroup that guests cannot change: the runtime's limits, and what never changes
//! (Documentation/admin-guide/cgroup-v2.rst, Linux v6.18).

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_task::Kernel;

use crate::pseudo::{Content, TreeBuilder};
use crate::sys::cpu::{Processors, range_list};

/// Their text in a new group, by name.
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
    ("cpu.max", "max 100000\n"),
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
    ("memory.max", "max\n"),
    ("memory.min", "0\n"),
    ("memory.oom.group", "0\n"),
    ("memory.pressure", PRESSURE),
    ("memory.swap.current", "0\n"),
    ("memory.swap.events", "high 0\nmax 0\nfail 0\n"),
    ("memory.swap.high", "max\n"),
    ("memory.swap.max", "max\n"),
    ("pids.events", "max 0\n"),
    ("pids.max", "max\n"),
];

const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n\
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

const MEMORY_EVENTS: &str = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";

/// A file as the runtime set it, or else as it is in a new group.
struct Limit {
    kernel: Arc<Kernel>,
    name: &'static str,
    initial: &'static str,
}

impl Content for Limit {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let set = self.kernel.cgroup_files.read();
        Ok(set.get(self.name).map_or_else(|| self.initial.into(), |value| format!("{value}\n").into()))
    }
}

pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>) {
    for &(name, initial) in TEXTS {
        tree.file(name, 0o444, Arc::new(Limit { kernel: Arc::clone(kernel), name, initial }));
    }
    let processors = range_list(&Processors::of_host(kernel).all());
    tree.fixed("cpuset.cpus.effective", format!("{processors}\n"));
}
