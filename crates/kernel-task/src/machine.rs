//! The machine's memory and load, from the host's /proc, and the container's uptime, for sysinfo(2).

use abi_linux::time::NSEC_PER_SEC;
use platform_api::HostFile;

use crate::kernel::Kernel;

/// Most bytes of one of those files.
const FILE_MAX: usize = 8192;

/// What sysinfo(2) tells. Zero where the host does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineState {
    pub uptime_s: u64,
    /// Load averages over 1, 5 and 15 minutes; 65536 is 1.0.
    pub loads: [u64; 3],
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub shared_bytes: u64,
    pub buffer_bytes: u64,
    pub swap_total_bytes: u64,
    pub swap_free_bytes: u64,
}

impl Kernel {
    fn host_text(&self, file: HostFile) -> String {
        let mut text = Vec::new();
        // A host without the file shows zeros.
        let _ = self.platform.read_host(file, FILE_MAX, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What the runtime limits the container's memory to: the machine that its guests see has no more.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.cgroup_files.read().get("memory.max")?.parse().ok()
    }

    /// The machine now.
    #[must_use]
    pub fn machine_state(&self) -> MachineState {
        let memory = self.host_text(HostFile::Meminfo);
        let most = self.memory_limit().unwrap_or(u64::MAX);
        let load = self.host_text(HostFile::Loadavg);
        let mut loads = load.split_ascii_whitespace().map(fixed_point);
        MachineState {
            // Rounded up, as kernel/sys.c do_sysinfo does; /proc/uptime counts from the same moment.
            uptime_s: self.timers.now_ns().saturating_sub(self.boot_ns).div_ceil(NSEC_PER_SEC),
            loads: std::array::from_fn(|_| loads.next().unwrap_or(0)),
            total_bytes: meminfo(&memory, "MemTotal:").min(most),
            free_bytes: meminfo(&memory, "MemFree:").min(most),
            shared_bytes: meminfo(&memory, "Shmem:"),
            buffer_bytes: meminfo(&memory, "Buffers:"),
            swap_total_bytes: meminfo(&memory, "SwapTotal:"),
            swap_free_bytes: meminfo(&memory, "SwapFree:"),
        }
    }
}

/// A line "Key:   123 kB" in bytes.
fn meminfo(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib: u64 = value.and_then(|v| v.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib.saturating_mul(1024)
}

/// "1.25" in units of 1/65536.
fn fixed_point(text: &str) -> u64 {
    let (whole, hundredths) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = whole.parse().unwrap_or(0);
    let hundredths: u64 = hundredths.parse().unwrap_or(0);
    whole.saturating_mul(65536).saturating_add(hundredths.saturating_mul(65536) / 100)
}

#[cfg(test)]
mod tests {
    use super::{fixed_point, meminfo};

    #[test]
    fn texts_become_numbers() {
        assert_eq!(meminfo("MemTotal:       16 kB\nMemFree: 4 kB\n", "MemFree:"), 4096);
        assert_eq!(meminfo("", "MemFree:"), 0);
        assert_eq!(fixed_point("1.50"), 98304);
        assert_eq!(fixed_point("x"), 0);
    }
}
