//! What the processes of the cgroup use: sums over what the host says of each. Processes that have died count
//! for processor time, as children of those that waited for them.

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_task::Kernel;
use platform_api::ProcFile;

use crate::proc::host;
use crate::pseudo::{Content, TreeBuilder, text};

const PAGE: u64 = 4096;
/// Microseconds of a clock tick (USER_HZ is 100).
const TICK_US: u64 = 10_000;

/// Makes the text of a file.
type Show = fn(&Arc<Kernel>, &mut Vec<u8>);

static FILES: &[(&str, Show)] = &[
    ("cgroup.procs", processes),
    ("cgroup.threads", threads),
    ("cpu.stat", cpu_stat),
    ("memory.current", memory_current),
    ("memory.peak", memory_current),
    ("memory.stat", memory_stat),
    ("pids.current", pids_current),
    ("pids.peak", pids_current),
];

struct Usage {
    kernel: Arc<Kernel>,
    show: Show,
}

impl Content for Usage {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = Vec::new();
        (self.show)(&self.kernel, &mut out);
        Ok(out)
    }
}

pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>) {
    for &(name, show) in FILES {
        tree.file(name, 0o444, Arc::new(Usage { kernel: Arc::clone(kernel), show }));
    }
}

fn processes(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    for process in kernel.processes() {
        text!(out, "{}\n", process.pid);
    }
}

fn thread_ids(kernel: &Arc<Kernel>) -> Vec<i32> {
    let mut ids = Vec::new();
    for process in kernel.processes() {
        kernel.find_new_threads(&process);
        ids.extend(process.tasks().iter().map(|task| task.guest_tid));
    }
    ids.sort_unstable();
    ids
}

fn threads(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    for id in thread_ids(kernel) {
        text!(out, "{id}\n");
    }
}

fn pids_current(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    text!(out, "{}\n", thread_ids(kernel).len());
}

/// A file of the host's about each process that still lives.
fn of_each(kernel: &Arc<Kernel>, file: ProcFile) -> impl Iterator<Item = Vec<u8>> {
    kernel
        .processes()
        .into_iter()
        .filter_map(move |process| host::thread_file(kernel, process.tgid, file).ok())
}

/// Bytes of memory: anonymous, and of files.
fn memory(kernel: &Arc<Kernel>) -> (u64, u64) {
    let (mut anon, mut file) = (0_u64, 0_u64);
    for text in of_each(kernel, ProcFile::Statm) {
        let line = host::lines(&text).next().unwrap_or_default();
        let mut pages = host::words(line).skip(1).map(|word| host::number(word).unwrap_or(0));
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        anon = anon.saturating_add(resident.saturating_sub(shared).saturating_mul(PAGE));
        file = file.saturating_add(shared.saturating_mul(PAGE));
    }
    (anon, file)
}

/// Bytes of memory that the processes use.
pub(crate) fn memory_in_use(kernel: &Arc<Kernel>) -> u64 {
    let (anon, file) = memory(kernel);
    anon.saturating_add(file)
}

fn memory_current(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    text!(out, "{}\n", memory_in_use(kernel));
}

fn memory_stat(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    let (anon, file) = memory(kernel);
    text!(
        out,
        "anon {anon}\nfile {file}\nkernel 0\nshmem 0\nfile_mapped {file}\nfile_dirty 0\nfile_writeback 0\n"
    );
    text!(out, "inactive_anon 0\nactive_anon {anon}\ninactive_file 0\nactive_file {file}\nunevictable 0\n");
    text!(out, "slab_reclaimable 0\nslab_unreclaimable 0\nslab 0\npgfault 0\npgmajfault 0\n");
}

fn cpu_stat(kernel: &Arc<Kernel>, out: &mut Vec<u8>) {
    let (mut user, mut system) = (0_u64, 0_u64);
    for text in of_each(kernel, ProcFile::Stat) {
        // utime, stime, cutime and cstime are fields 14 to 17; the name, which may hold anything, is the second.
        let end = text.iter().rposition(|&b| b == b')').map_or(0, |at| at + 1);
        let rest = text.get(end..).unwrap_or_default();
        let mut ticks = host::words(rest).skip(14 - 3).map(|word| host::number(word).unwrap_or(0));
        let mut next = || ticks.next().unwrap_or(0).saturating_mul(TICK_US);
        let (own_user, own_system, childrens_user, childrens_system) = (next(), next(), next(), next());
        user = user.saturating_add(own_user).saturating_add(childrens_user);
        system = system.saturating_add(own_system).saturating_add(childrens_system);
    }
    text!(out, "usage_usec {}\nuser_usec {user}\nsystem_usec {system}\n", user.saturating_add(system));
    text!(out, "nice_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n");
}
