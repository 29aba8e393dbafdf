//! devices/system/node: the one memory node (Documentation/ABI/stable/sysfs-devices-node).

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_task::Kernel;
use platform_api::HostFile;

use super::cpu::{Processors, range_list};
use crate::proc::host;
use crate::pseudo::{Content, TreeBuilder, text};

/// Lines of meminfo that a node has, too.
const SHARED: [&[u8]; 16] = [
    b"MemTotal:",
    b"MemFree:",
    b"SwapCached:",
    b"Active:",
    b"Inactive:",
    b"Unevictable:",
    b"Mlocked:",
    b"Dirty:",
    b"Writeback:",
    b"Mapped:",
    b"AnonPages:",
    b"Shmem:",
    b"KernelStack:",
    b"PageTables:",
    b"Slab:",
    b"SReclaimable:",
];

struct Meminfo(Arc<Kernel>);

impl Content for Meminfo {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let text = host::machine_file(&self.0, HostFile::Meminfo)?;
        let mut out = Vec::new();
        let (mut total, mut free) = (0, 0);
        for line in host::lines(&text) {
            let mut words = host::words(line);
            let (key, value) = (words.next().unwrap_or_default(), words.next().and_then(host::number));
            let value = value.unwrap_or(0);
            match key {
                b"MemTotal:" => total = value,
                b"MemFree:" => free = value,
                _ => {}
            }
            if SHARED.contains(&key) {
                show(&mut out, key, value);
                if key == b"MemFree:" {
                    show(&mut out, b"MemUsed:", total.saturating_sub(free));
                }
            }
        }
        Ok(out)
    }
}

fn show(out: &mut Vec<u8>, key: &[u8], value: u64) {
    text!(out, "Node 0 {:<16}{value:>8} kB\n", String::from_utf8_lossy(key));
}

pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>, processors: &Processors) {
    let base = "devices/system/node";
    for name in ["online", "possible", "has_cpu", "has_memory", "has_normal_memory"] {
        tree.fixed(&format!("{base}/{name}"), "0\n");
    }
    let all = processors.all();
    tree.fixed(&format!("{base}/node0/cpulist"), format!("{}\n", range_list(&all)));
    tree.fixed(&format!("{base}/node0/cpumap"), format!("{}\n", processors.mask(&all)));
    tree.fixed(&format!("{base}/node0/distance"), "10\n");
    let counters = ["numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node"];
    let zeroes: String = counters.iter().map(|name| format!("{name} 0\n")).collect();
    tree.fixed(&format!("{base}/node0/numastat"), zeroes);
    tree.file(&format!("{base}/node0/meminfo"), 0o444, Arc::new(Meminfo(Arc::clone(kernel))));
    for number in all {
        tree.link(&format!("{base}/node0/cpu{number}"), &format!("../../cpu/cpu{number}"));
    }
}
