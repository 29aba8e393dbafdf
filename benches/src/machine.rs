//! The machine: what a reader of figures has to know of it, and how quiet it was.

use std::fs;
use std::path::Path;

use crate::report::model::{Load, Machine, Mitigation};

/// A share of stolen time above which the figures are noise.
const STOLEN: f64 = 0.01;
/// A load for each CPU above which something else runs.
const BUSY: f64 = 0.5;
/// A change of frequency that is not noise.
const DRIFT: f64 = 0.1;

/// What it is, and how busy now.
pub(crate) fn describe() -> Machine {
    let cpu = text("/proc/cpuinfo").unwrap_or_default();
    let named =
        |name| cpu.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ")).map(|(_, value)| value);
    let kib = |line: &str| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok();
    let memory = text("/proc/meminfo").unwrap_or_default();
    let version =
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "version 2" } else { "version 1" };
    Machine {
        kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        cpu: named("model name").unwrap_or("not known").to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory.lines().find_map(kib).unwrap_or(0) * 1024,
        hypervisor: cpu
            .contains(" hypervisor")
            .then(|| text("/sys/class/dmi/id/sys_vendor").unwrap_or_else(|| "some".to_owned())),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cgroups: version.to_owned(),
        transparent_huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled"),
        mitigations: mitigations(),
        before: load(),
        after: Load::default(),
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn mitigations() -> Vec<Mitigation> {
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten();
    let mut all: Vec<Mitigation> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            Some(Mitigation { name, state: fs::read_to_string(entry.path()).ok()?.trim().to_owned() })
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// How busy it is.
pub(crate) fn load() -> Load {
    let stat = text("/proc/stat").unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest time is in user already
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|n| n.parse().ok())
        .collect();
    let mhz = text("/proc/cpuinfo").unwrap_or_default();
    let mhz = mhz.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split_once(": ")?.1.parse().ok());
    Load {
        load_1min: text("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0),
        ticks: ticks.iter().sum(),
        stolen_ticks: ticks.get(7).copied().unwrap_or(0),
        mhz,
    }
}

/// What was not quiet.
pub(crate) fn noise(machine: &Machine) -> Vec<String> {
    let (before, after) = (&machine.before, &machine.after);
    let mut notes = Vec::new();
    let passed = after.ticks.saturating_sub(before.ticks);
    let stolen = after.stolen_ticks.saturating_sub(before.stolen_ticks) as f64 / passed.max(1) as f64;
    if stolen > STOLEN {
        notes.push(format!(
            "the hypervisor gave {:.1} % of the CPUs' time to others meanwhile",
            stolen * 100.0
        ));
    }
    if before.load_1min > BUSY * machine.cpus as f64 {
        notes
            .push(format!("the machine was busy before: load {} on {} CPUs", before.load_1min, machine.cpus));
    }
    if let (Some(a), Some(b)) = (before.mhz, after.mhz)
        && (a / b - 1.0).abs() > DRIFT
    {
        notes.push(format!("the CPU's frequency changed: {a:.0} MHz before, {b:.0} MHz after"));
    }
    if let Some(governor) = machine.governor.as_deref().filter(|governor| *governor != "performance") {
        notes.push(format!("the CPUs' governor is {governor}: frequencies follow the load"));
    }
    notes
}

/// UTC, as RFC 3339 has it.
pub(crate) fn timestamp() -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    rfc3339(now)
}

/// Howard Hinnant's days-to-civil.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(super::rfc3339(1_709_210_096), "2024-02-29T12:34:56Z");
        assert_eq!(super::rfc3339(1_795_459_200), "2026-11-23T18:40:00Z");
    }
}
