//! `linux.resources` for version 2 (Documentation/admin-guide/cgroup-v2.rst), converted from version 1's units as
//! runc and crun do.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::common::{self, page_sizes};
use super::error::{CgroupError, field};
use super::setting::Setting;

pub(super) fn settings(resources: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    let mut all = Vec::new();
    resources.memory().iter().try_for_each(|memory| self::memory(memory, &mut all))?;
    resources.cpu().iter().try_for_each(|cpu| self::cpu(cpu, &mut all))?;
    all.extend(common::pids(resources));
    resources.block_io().iter().for_each(|io| block_io(io, &mut all));
    all.extend(common::hugepages(resources, &page_sizes(), "max")?);
    all.extend(common::rdma(resources));
    let network = resources.network().as_ref();
    if network.is_some_and(|network| network.class_id().is_some_and(|class| class != 0)) {
        return Err(absent("network.classID"));
    }
    if network.is_some_and(|network| network.priorities().as_ref().is_some_and(|list| !list.is_empty())) {
        return Err(absent("network.priorities"));
    }
    // Last: what says the same in version 2's own words wins.
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (file, value) in unified {
        if file.contains('/') || !file.contains('.') || file.starts_with("cgroup.") {
            let name = format!("linux.resources.unified.{file}");
            return Err(field(name, "is not a controller's file; write it as \"memory.max\""));
        }
        all.push(Setting::new("", file, value, &format!("unified.{file}")));
    }
    Ok(all)
}

fn absent(name: &str) -> CgroupError {
    field(format!("linux.resources.{name}"), "cgroup version 2 has no such thing; leave it out")
}

/// −1 is "max".
fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn memory(memory: &LinuxMemory, all: &mut Vec<Setting>) -> Result<(), CgroupError> {
    if memory.disable_oom_killer() == Some(true) {
        return Err(absent("memory.disableOOMKiller"));
    }
    if memory.swappiness().is_some() {
        return Err(absent("memory.swappiness"));
    }
    if [memory.kernel(), memory.kernel_tcp()].iter().flatten().any(|&kernel| kernel != 0) {
        common::warn_kernel_memory();
    }
    let limit = memory.limit().filter(|&limit| limit != 0);
    if let Some(swap) = swap_alone(limit, memory.swap().filter(|&swap| swap != 0))? {
        all.push(Setting::new("memory", "memory.swap.max", bytes(swap), "memory.swap"));
    }
    if let Some(limit) = limit {
        all.push(Setting::new("memory", "memory.max", bytes(limit), "memory.limit"));
    }
    if let Some(reservation) = memory.reservation().filter(|&reservation| reservation != 0) {
        all.push(Setting::new("memory", "memory.low", bytes(reservation), "memory.reservation"));
    }
    Ok(())
}

/// Version 1's limit counts memory and swap together, version 2's swap alone.
fn swap_alone(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>, CgroupError> {
    let wrong = |problem: &str| Err(field("linux.resources.memory.swap", problem));
    match (limit, both) {
        (Some(-1), None) | (_, Some(-1)) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (None | Some(..0), Some(_)) => {
            wrong("a limit of memory and swap needs a limit of memory; set memory.limit")
        }
        (Some(limit), Some(both)) if both < limit => {
            wrong("is less than memory.limit; it counts memory and swap together")
        }
        (Some(limit), Some(both)) => Ok(Some(both - limit)),
    }
}

fn cpu(cpu: &LinuxCpu, all: &mut Vec<Setting>) -> Result<(), CgroupError> {
    if cpu.realtime_period().is_some_and(|period| period != 0) {
        return Err(absent("cpu.realtimePeriod"));
    }
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0) {
        return Err(absent("cpu.realtimeRuntime"));
    }
    let mut set = |controller, file: &str, value: Option<String>, name: &str| {
        all.extend(value.map(|value| Setting::new(controller, file, value, &format!("cpu.{name}"))));
    };
    let shares = cpu.shares().filter(|&shares| shares != 0);
    set("cpu", "cpu.weight", shares.map(|shares| weight_of_shares(shares).to_string()), "shares");
    set("cpu", "cpu.idle", cpu.idle().map(|idle| idle.to_string()), "idle");
    let (quota, period) =
        (cpu.quota().filter(|&quota| quota != 0), cpu.period().filter(|&period| period != 0));
    let max = match (quota, period) {
        (None, None) => None,
        (Some(quota), None) => Some(bytes(quota)),
        (quota, Some(period)) => Some(format!("{} {period}", bytes(quota.unwrap_or(-1)))),
    };
    set("cpu", "cpu.max", max, if quota.is_some() { "quota" } else { "period" });
    set("cpu", "cpu.max.burst", cpu.burst().map(|burst| burst.to_string()), "burst");
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    set("cpuset", "cpuset.cpus", text(cpu.cpus()), "cpus");
    set("cpuset", "cpuset.mems", text(cpu.mems()), "mems");
    Ok(())
}

/// From [2, 262144] to [1, 10000] (runc's ConvertCPUSharesToCgroupV2Value of 1.1, which Kubernetes computes with).
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// From [10, 1000] to [1, 10000].
fn weight_of_block_io(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

fn block_io(io: &LinuxBlockIo, all: &mut Vec<Setting>) {
    if let Some(weight) = io.weight().filter(|&weight| weight != 0) {
        let setting = Setting::new("io", "io.bfq.weight", weight, "blockIO.weight");
        all.push(setting.or("io.weight", weight_of_block_io(weight)));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let line = format!("{}:{} {weight}", device.major(), device.minor());
            all.push(Setting::new("io", "io.bfq.weight", line, "blockIO.weightDevice"));
        }
    }
    const KEYS: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];
    for ((devices, _, name), key) in common::throttles(io).into_iter().zip(KEYS) {
        for device in devices {
            let line = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            all.push(Setting::new("io", "io.max", line, &format!("blockIO.{name}")));
        }
    }
}
