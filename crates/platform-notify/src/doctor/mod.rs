//! Whether this host has what the platform needs: a list of checks, each with what to do where it fails.
//!
//! What can be asked is asked; everything else is tried on a container that is made for it (`probe`) and that
//! never runs more than the loader's first call.

mod installed;
mod probe;

use std::fs;

pub use installed::installed_filter;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do if it is not `ok`; empty if it is.
    pub remedy: &'static str,
}

impl Check {
    fn new(name: &'static str, ok: bool, detail: String, remedy: &'static str) -> Self {
        Self { name, ok, detail, remedy: if ok { "" } else { remedy } }
    }
}

/// The oldest kernel: SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
const OLDEST: (u32, u32) = (6, 6);
/// Fewer descriptors than this on the host would show in ordinary programs.
const FILES: u64 = 4096;

/// Looks at everything; takes some milliseconds.
#[must_use]
pub fn doctor() -> Vec<Check> {
    let mut checks = vec![kernel(), architecture(), seccomp(), namespaces()];
    checks.extend(probe::checks());
    checks.extend([cgroups(), files()]);
    checks
}

/// Major and minor number of a release such as "6.12.9-amd64".
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let ok = version(&release).is_some_and(|found| found >= OLDEST);
    Check::new("kernel 6.6 or later", ok, release, "install Linux 6.6 or later")
}

fn architecture() -> Check {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy().into_owned();
    Check::new("x86_64", machine == "x86_64", machine, "use an x86_64 machine; there is no port yet")
}

fn seccomp() -> Check {
    let ok = host_sys::seccomp::has_killable_listener();
    let detail = if ok { "NEW_LISTENER, WAIT_KILLABLE_RECV" } else { "flags refused" };
    let remedy = "use a kernel with CONFIG_SECCOMP_FILTER (5.19 or later), and no outer seccomp filter that forbids it";
    Check::new("seccomp user notification", ok, detail.to_owned(), remedy)
}

fn namespaces() -> Check {
    let names = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];
    let missing: Vec<_> =
        names.into_iter().filter(|name| fs::metadata(format!("/proc/self/ns/{name}")).is_err()).collect();
    let detail = if missing.is_empty() { names.join(", ") } else { format!("no {}", missing.join(", ")) };
    Check::new(
        "namespaces in the kernel",
        missing.is_empty(),
        detail,
        "use a kernel with these namespaces, and mount /proc",
    )
}

/// What cgroup filesystems a mount table shows.
fn cgroup_mode(mounts: &str) -> Option<&'static str> {
    let has = |kind| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    match (has("cgroup"), has("cgroup2")) {
        (true, true) => Some("v1 with v2 (hybrid)"),
        (true, false) => Some("v1"),
        (false, true) => Some("v2"),
        (false, false) => None,
    }
}

fn cgroups() -> Check {
    let mode = cgroup_mode(&fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    let detail = mode.unwrap_or("none mounted").to_owned();
    Check::new("cgroups", mode.is_some(), detail, "mount cgroup2 on /sys/fs/cgroup")
}

fn files() -> Check {
    let hard = host_sys::child::limit_of(0, libc::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    let remedy = "raise the hard limit: ulimit -Hn, LimitNOFILE= of the service, /etc/security/limits.conf";
    Check::new("RLIMIT_NOFILE", hard >= FILES, format!("hard limit {hard}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::{cgroup_mode, doctor, version};

    #[test]
    fn release_is_compared_by_number() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("10.0-rc1"), Some((10, 0)));
        assert_eq!(version("strange"), None);
        assert!(version("6.10.1") > Some((6, 6)));
    }

    #[test]
    fn cgroup_mode_is_read_from_the_mount_table() {
        assert_eq!(cgroup_mode("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), Some("v2"));
        assert_eq!(cgroup_mode("a /b cgroup rw 0 0\nc /d cgroup2 rw 0 0\n"), Some("v1 with v2 (hybrid)"));
        assert_eq!(cgroup_mode("cgroup /cgroup ext4 rw 0 0\n"), None);
    }

    #[test]
    fn a_host_that_runs_these_tests_passes() {
        for check in doctor() {
            assert!(check.ok || check.name == "cgroups", "{check:?}");
        }
    }
}
