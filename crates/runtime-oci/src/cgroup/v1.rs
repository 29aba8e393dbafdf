//! `linux.resources` for version 1 (Documentation/admin-guide/cgroup-v1), with runc's reading of special values:
//! 0 leaves a limit alone, −1 takes it away.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

use super::common::{self, page_sizes};
use super::error::{CgroupError, field};
use super::setting::Setting;

pub(super) fn settings(resources: &LinuxResources) -> Result<Vec<Setting>, CgroupError> {
    if resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        return Err(field(
            "linux.resources.unified",
            "the host's controllers are cgroup version 1's; leave it out, or boot with systemd.unified_cgroup_hierarchy=1",
        ));
    }
    let mut all = Vec::new();
    resources.memory().iter().try_for_each(|memory| self::memory(memory, &mut all))?;
    resources.cpu().iter().for_each(|cpu| self::cpu(cpu, &mut all));
    all.extend(common::pids(resources));
    resources.block_io().iter().for_each(|io| block_io(io, &mut all));
    all.extend(common::hugepages(resources, &page_sizes(), "limit_in_bytes")?);
    resources.network().iter().for_each(|network| self::network(network, &mut all));
    all.extend(common::rdma(resources));
    Ok(all)
}

fn memory(memory: &LinuxMemory, all: &mut Vec<Setting>) -> Result<(), CgroupError> {
    let mut set = |file: &str, value: Option<i64>, name: &str| {
        let value = value.filter(|&value| value != 0);
        all.extend(value.map(|value| Setting::new("memory", file, value, &format!("memory.{name}"))));
    };
    let limit = memory.limit().filter(|&limit| limit != 0);
    let swap = memory.swap().filter(|&swap| swap != 0);
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap != -1
        && swap < limit
    {
        let problem =
            format!("{swap} is less than memory.limit, {limit}; it counts memory and swap together");
        return Err(field("linux.resources.memory.swap", problem));
    }
    set("memory.limit_in_bytes", limit, "limit");
    // Without a limit of memory there is none of both, unless somebody asks for it.
    set("memory.memsw.limit_in_bytes", swap.or(limit.filter(|&limit| limit == -1)), "swap");
    set("memory.soft_limit_in_bytes", memory.reservation(), "reservation");
    set("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp(), "kernelTCP");
    if memory.kernel().is_some_and(|kernel| kernel != 0) {
        common::warn_kernel_memory();
    }
    if memory.disable_oom_killer() == Some(true) {
        all.push(Setting::new("memory", "memory.oom_control", 1, "memory.disableOOMKiller"));
    }
    if let Some(swappiness) = memory.swappiness() {
        all.push(Setting::new("memory", "memory.swappiness", swappiness, "memory.swappiness"));
    }
    Ok(())
}

fn cpu(cpu: &LinuxCpu, all: &mut Vec<Setting>) {
    let mut set = |controller, file: &str, value: Option<String>, name: &str| {
        all.extend(value.map(|value| Setting::new(controller, file, value, &format!("cpu.{name}"))));
    };
    let number = |value: Option<u64>| value.filter(|&value| value != 0).map(|value| value.to_string());
    let signed = |value: Option<i64>| value.filter(|&value| value != 0).map(|value| value.to_string());
    set("cpu", "cpu.shares", number(cpu.shares()), "shares");
    set("cpu", "cpu.cfs_period_us", number(cpu.period()), "period");
    set("cpu", "cpu.cfs_quota_us", signed(cpu.quota()), "quota");
    set("cpu", "cpu.cfs_burst_us", cpu.burst().map(|burst| burst.to_string()), "burst");
    set("cpu", "cpu.rt_period_us", number(cpu.realtime_period()), "realtimePeriod");
    set("cpu", "cpu.rt_runtime_us", signed(cpu.realtime_runtime()), "realtimeRuntime");
    set("cpu", "cpu.idle", cpu.idle().map(|idle| idle.to_string()), "idle");
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    set("cpuset", "cpuset.cpus", text(cpu.cpus()), "cpus");
    set("cpuset", "cpuset.mems", text(cpu.mems()), "mems");
}

fn block_io(io: &LinuxBlockIo, all: &mut Vec<Setting>) {
    let mut weigh = |file: &str, bfq: &str, value: String, name: &str| {
        let setting = Setting::new("blkio", file, &value, &format!("blockIO.{name}"));
        all.push(setting.or(bfq, value));
    };
    if let Some(weight) = io.weight().filter(|&weight| weight != 0) {
        weigh("blkio.weight", "blkio.bfq.weight", weight.to_string(), "weight");
    }
    if let Some(weight) = io.leaf_weight().filter(|&weight| weight != 0) {
        weigh("blkio.leaf_weight", "blkio.leaf_weight", weight.to_string(), "leafWeight");
    }
    for device in io.weight_device().iter().flatten() {
        let line = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
        if let Some(weight) = device.weight() {
            weigh("blkio.weight_device", "blkio.bfq.weight_device", line(weight), "weightDevice");
        }
        if let Some(weight) = device.leaf_weight() {
            weigh("blkio.leaf_weight_device", "blkio.leaf_weight_device", line(weight), "weightDevice");
        }
    }
    for (devices, file, name) in common::throttles(io) {
        for device in devices {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            let file = format!("blkio.throttle.{file}");
            all.push(Setting::new("blkio", &file, line, &format!("blockIO.{name}")));
        }
    }
}

fn network(network: &LinuxNetwork, all: &mut Vec<Setting>) {
    if let Some(class) = network.class_id().filter(|&class| class != 0) {
        all.push(Setting::new("net_cls", "net_cls.classid", class, "network.classID"));
    }
    for interface in network.priorities().iter().flatten() {
        let line = format!("{} {}", interface.name(), interface.priority());
        all.push(Setting::new("net_prio", "net_prio.ifpriomap", line, "network.priorities"));
    }
}
