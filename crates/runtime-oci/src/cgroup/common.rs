//! Resources that both versions know under the same name.

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

use super::error::{CgroupError, field};
use super::setting::Setting;

/// 0 leaves it alone, a negative number takes the limit away.
pub(super) fn pids(resources: &LinuxResources) -> Option<Setting> {
    let limit = resources.pids().as_ref()?.limit();
    let text = if limit < 0 { "max".to_owned() } else { limit.to_string() };
    (limit != 0).then(|| Setting::new("pids", "pids.max", text, "pids.limit"))
}

fn list(devices: &Option<Vec<LinuxThrottleDevice>>) -> &[LinuxThrottleDevice] {
    devices.as_deref().unwrap_or_default()
}

/// Lines of throttled devices with version 1's file and the field, in the order of version 2's keys.
pub(super) fn throttles(io: &LinuxBlockIo) -> [(&[LinuxThrottleDevice], &'static str, &'static str); 4] {
    [
        (list(io.throttle_read_bps_device()), "read_bps_device", "throttleReadBpsDevice"),
        (list(io.throttle_write_bps_device()), "write_bps_device", "throttleWriteBpsDevice"),
        (list(io.throttle_read_iops_device()), "read_iops_device", "throttleReadIOPSDevice"),
        (list(io.throttle_write_iops_device()), "write_iops_device", "throttleWriteIOPSDevice"),
    ]
}

/// The sizes of huge pages that the kernel has, as cgroups name them: `2MB`.
pub(super) fn page_sizes() -> Vec<String> {
    let names = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let kb = names.filter_map(|name| {
        let name = name.file_name().into_string().ok()?;
        name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()
    });
    kb.map(size_name).collect()
}

fn size_name(kb: u64) -> String {
    match kb {
        kb if kb >= 1 << 20 => format!("{}GB", kb >> 20),
        kb if kb >= 1 << 10 => format!("{}MB", kb >> 10),
        kb => format!("{kb}KB"),
    }
}

/// Limits of huge pages that are in use; `suffix` is the version's word for a limit.
pub(super) fn hugepages(
    resources: &LinuxResources,
    known: &[String],
    suffix: &str,
) -> Result<Vec<Setting>, CgroupError> {
    let mut all = Vec::new();
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let size = limit.page_size();
        if !known.contains(size) {
            let problem = format!("{size:?} is no size of huge pages here; choose from {}", known.join(", "));
            return Err(field(format!("linux.resources.hugepageLimits[{index}].pageSize"), problem));
        }
        let file = format!("hugetlb.{size}.{suffix}");
        all.push(Setting::new("hugetlb", &file, limit.limit(), &format!("hugepageLimits[{index}].limit")));
    }
    Ok(all)
}

pub(super) fn rdma(resources: &LinuxResources) -> Vec<Setting> {
    let mut devices: Vec<_> = resources.rdma().iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    let line = |(name, limit): (&String, &oci_spec::runtime::LinuxRdma)| {
        let mut line = name.clone();
        for (key, value) in [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())] {
            line.extend(value.map(|value| format!(" {key}={value}")));
        }
        Setting::new("rdma", "rdma.max", line, &format!("rdma.{name}"))
    };
    devices.into_iter().map(line).collect()
}

/// As runc since 1.0: Linux has no such limit any more (5.16 and later; memory.limit counts the kernel's, too).
pub(super) fn warn_kernel_memory() {
    tracing::warn!(
        "config.json: linux.resources.memory.kernel: has no effect; memory.limit counts the kernel's memory, too"
    );
}

#[cfg(test)]
mod tests {
    use super::size_name;

    #[test]
    fn huge_page_sizes_are_named_as_linux_does() {
        assert_eq!([64, 2048, 1 << 20].map(size_name), ["64KB", "2MB", "1GB"]);
    }
}
