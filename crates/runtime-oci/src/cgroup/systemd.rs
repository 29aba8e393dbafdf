//! Groups that systemd makes: a transient scope for each container (org.freedesktop.systemd1(5)).
//!
//! systemd's own busctl(1) carries the few calls; a D-Bus library would be the largest dependency of this crate.
//! Values that systemd has properties for are given to it, so that its next reload does not undo them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use super::error::{CgroupError, field};
use super::hierarchy::Version;
use super::setting::Setting;
use super::{CgroupRequest, v1, v2};

const MANAGER: [&str; 3] =
    ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/// How long systemd may take to start a scope.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A unit that is a container's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    slice: String,
    unit: String,
    /// What it is to start with.
    pub(super) resources: LinuxResources,
}

/// A property: name, D-Bus signature, words of the value as busctl takes them.
type Property = (&'static str, &'static str, Vec<String>);

impl Scope {
    pub(super) fn new(request: &CgroupRequest<'_>, version: Version) -> Result<Self, CgroupError> {
        if !Path::new("/run/systemd/system").exists() {
            return Err(CgroupError::Systemd(
                "systemd does not run here; leave --systemd-cgroup out".to_owned(),
            ));
        }
        let scope = Self::named(request)?;
        // Wrong values are told at once.
        properties(&scope.resources, version)?;
        Ok(scope)
    }

    fn named(request: &CgroupRequest<'_>) -> Result<Self, CgroupError> {
        let (slice, prefix, name) = match request.path.filter(|path| !path.is_empty()) {
            None => ("", "palisade", request.id),
            Some(path) => match path.split(':').collect::<Vec<_>>().as_slice() {
                [slice, prefix, name] if !name.is_empty() => (*slice, *prefix, *name),
                _ => {
                    let problem =
                        format!("{path:?} is no group of systemd's; write it as \"slice:prefix:name\"");
                    return Err(field("linux.cgroupsPath", problem));
                }
            },
        };
        let slice = match slice {
            "" if rustix::process::geteuid().is_root() => "system.slice",
            "" => "user.slice",
            slice => slice,
        };
        let unit = match prefix {
            _ if name.ends_with(".slice") => name.to_owned(),
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c));
        if !slice.ends_with(".slice") || !is_plain(slice) || !is_plain(&unit) {
            let problem = format!("{slice:?} and {unit:?} have to be names of units (systemd.unit(5))");
            return Err(field("linux.cgroupsPath", problem));
        }
        Ok(Self { slice: slice.to_owned(), unit, resources: request.resources.clone() })
    }

    /// `a-b.slice` is below `a.slice` (systemd.slice(5)).
    pub(super) fn group(&self) -> PathBuf {
        // "-.slice" is the root.
        let name = self.slice.trim_end_matches(".slice").trim_start_matches('-');
        let mut group = PathBuf::from("/");
        for (end, _) in name.match_indices('-').chain([(name.len(), "")]) {
            if let Some(upper) = name.get(..end).filter(|upper| !upper.is_empty()) {
                group.push(format!("{upper}.slice"));
            }
        }
        group.join(&self.unit)
    }

    /// Starts the scope around a process.
    pub(super) fn start(&self, pid: i32, version: Version) -> Result<(), CgroupError> {
        self.bus(&["StartTransientUnit", "ssa(sv)a(sa(sv))"], &self.start_words(pid, version)?)?;
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            if groups.lines().any(|line| line.ends_with(&format!("/{}", self.unit))) {
                return Ok(());
            }
            if Instant::now() > until {
                let problem = format!("{} has not started within {} s", self.unit, START_TIMEOUT.as_secs());
                return Err(CgroupError::Systemd(problem));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn start_words(&self, pid: i32, version: Version) -> Result<Vec<String>, CgroupError> {
        let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut all: Vec<Property> = vec![
            ("Description", "s", vec![format!("Palisade container {}", self.unit)]),
            ("Slice", "s", vec![self.slice.clone()]),
            ("PIDs", "au", vec!["1".to_owned(), pid.to_string()]),
        ];
        for name in ["Delegate", "MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
            all.push((name, "b", text(&["true"])));
        }
        all.push(("DefaultDependencies", "b", text(&["false"])));
        all.extend(properties(&self.resources, version)?);
        let mut words = vec![self.unit.clone(), "replace".to_owned()];
        words.extend(words_of(&all));
        words.push("0".to_owned());
        Ok(words)
    }

    /// Changes its properties.
    pub(super) fn set(&self, resources: &LinuxResources, version: Version) -> Result<(), CgroupError> {
        let all = properties(resources, version)?;
        if all.is_empty() {
            return Ok(());
        }
        let mut words = vec![self.unit.clone(), "true".to_owned()];
        words.extend(words_of(&all));
        self.bus(&["SetUnitProperties", "sba(sv)"], &words)
    }

    /// It ends by itself with its last process, too.
    pub(super) fn stop(&self) {
        for (method, signature, words) in [
            ("StopUnit", "ss", vec![self.unit.clone(), "replace".to_owned()]),
            ("ResetFailedUnit", "s", vec![self.unit.clone()]),
        ] {
            if let Err(error) = self.bus(&[method, signature], &words) {
                tracing::debug!(%error, "unit is gone");
            }
        }
    }

    fn bus(&self, method: &[&str], words: &[String]) -> Result<(), CgroupError> {
        let user = (!rustix::process::geteuid().is_root()).then_some("--user");
        let output = Command::new("busctl")
            .args(user)
            .args(["call", "--quiet"])
            .args(MANAGER)
            .args(method)
            .arg("--")
            .args(words)
            .output()
            .map_err(|error| {
                CgroupError::Systemd(format!("cannot run busctl: {error}; install systemd's tools"))
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(CgroupError::Systemd(format!("{} of {}: {}", method.concat(), self.unit, said.trim())))
    }
}

fn words_of(properties: &[Property]) -> Vec<String> {
    let mut words = vec![properties.len().to_string()];
    for (name, signature, value) in properties {
        words.extend([(*name).to_owned(), (*signature).to_owned()]);
        words.extend(value.iter().cloned());
    }
    words
}

/// The properties that say the same as our files; systemd's "infinity" is the largest number.
fn properties(resources: &LinuxResources, version: Version) -> Result<Vec<Property>, CgroupError> {
    let settings = match version {
        Version::V1 => v1::settings(resources)?,
        Version::V2 => v2::settings(resources)?,
    };
    let mut all: Vec<Property> = settings.iter().filter_map(property).collect();
    if let Some(cpu) = resources.cpu() {
        let period = cpu.period().filter(|&period| period != 0).unwrap_or(100_000);
        match cpu.quota() {
            Some(quota) if quota > 0 => {
                // Whole percents of a CPU, rounded up, are what systemd keeps.
                let per_second = (quota as u64).saturating_mul(1_000_000).div_ceil(period);
                let per_second = per_second.div_ceil(10_000).saturating_mul(10_000);
                all.push(("CPUQuotaPerSecUSec", "t", vec![per_second.to_string()]));
            }
            Some(quota) if quota < 0 => all.push(("CPUQuotaPerSecUSec", "t", vec![u64::MAX.to_string()])),
            _ => {}
        }
    }
    Ok(all)
}

fn property(setting: &Setting) -> Option<Property> {
    let (file, value) = setting.choices.first()?;
    let name = match file.as_str() {
        "memory.limit_in_bytes" => "MemoryLimit",
        "memory.max" => "MemoryMax",
        "memory.low" => "MemoryLow",
        "memory.swap.max" => "MemorySwapMax",
        "cpu.shares" => "CPUShares",
        "cpu.weight" => "CPUWeight",
        "pids.max" => "TasksMax",
        _ => return None,
    };
    let number = value.parse().unwrap_or(u64::MAX);
    Some((name, "t", vec![number.to_string()]))
}

#[cfg(test)]
mod tests {
    use super::{CgroupRequest, Scope, Version};
    use crate::cgroup::Driver;
    use oci_spec::runtime::LinuxResources;
    use serde_json::json;
    use std::path::Path;

    fn scope(path: Option<&str>, resources: &LinuxResources) -> Result<Scope, super::CgroupError> {
        Scope::named(&CgroupRequest { id: "c1", path, driver: Driver::Systemd, resources })
    }

    #[test]
    fn path_is_slice_prefix_and_name() {
        let resources = LinuxResources::default();
        let group = |path| scope(path, &resources).map(|scope| scope.group());
        assert_eq!(
            group(Some("kube-pod-x.slice:cri:c1")).unwrap(),
            Path::new("/kube.slice/kube-pod.slice/kube-pod-x.slice/cri-c1.scope")
        );
        assert_eq!(group(Some("a.slice::c1")).unwrap(), Path::new("/a.slice/c1.scope"));
        assert_eq!(group(Some("-.slice:x:y")).unwrap(), Path::new("/x-y.scope"));
        assert!(group(None).unwrap().ends_with("palisade-c1.scope"));
        for wrong in ["/a/b", "a.slice:b", "a:b:c", "a.slice:b:c d", "../x.slice:b:c"] {
            assert!(group(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scope_starts_with_its_limits() {
        let resources = json!({
            "memory": { "limit": 1 << 20 },
            "cpu": { "quota": 15_000, "period": 100_000, "shares": 1024 },
            "pids": { "limit": -1 },
        });
        let scope = scope(Some("a.slice:p:n"), &serde_json::from_value(resources).unwrap()).unwrap();
        let words = scope.start_words(7, Version::V2).unwrap().join(" ");
        let max = u64::MAX;
        assert_eq!(
            words,
            format!(
                "p-n.scope replace 13 Description s Palisade container p-n.scope Slice s a.slice PIDs au 1 7 \
                 Delegate b true MemoryAccounting b true CPUAccounting b true IOAccounting b true \
                 TasksAccounting b true DefaultDependencies b false MemoryMax t 1048576 CPUWeight t 39 \
                 TasksMax t {max} CPUQuotaPerSecUSec t 150000 0"
            )
        );
    }
}
