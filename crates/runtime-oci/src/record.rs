//! What is kept of a container in its state directory, and runtime-spec's state made of it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cgroup::Cgroup;
use crate::spec::ContainerSpec;

/// The version of the runtime-spec that states and configurations follow.
pub const OCI_VERSION: &str = "1.2.0";

/// Where a container is in its life (runtime-spec, "Lifecycle"; paused is runc's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A process of the host that cannot be taken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot (/proc/pid/stat, field 22).
    pub start_time: u64,
}

impl ProcessId {
    /// The process `pid`, if it lives; a zombie does not.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Counted from behind the name, which may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        if matches!(fields.next(), Some("Z" | "X")) {
            return None;
        }
        // state was the third field; start_time is the 22nd.
        Some(Self { pid, start_time: fields.nth(22 - 4)?.parse().ok()? })
    }

    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A handle of the process, unless it is dead.
    fn handle(self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(pidfd)
    }

    /// Sends SIGKILL to it, and never to a later one with its id.
    pub fn kill(self) {
        if let Some(pidfd) = self.handle() {
            // It may have died since.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }

    /// Waits until it is dead; false if it is not after `limit`.
    #[must_use]
    pub fn wait_for_death(self, limit: Duration) -> bool {
        let Some(pidfd) = self.handle() else { return true };
        let until = Instant::now() + limit;
        loop {
            let left =
                Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or_default();
            match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return !self.is_alive(),
            }
        }
    }
}

/// A container's record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub id: String,
    pub status: Status,
    /// The container's first process on the host.
    pub init: Option<ProcessId>,
    pub bundle: PathBuf,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// Makes the container; while it is being made, somebody has to be at it.
    #[serde(default)]
    pub creator: Option<ProcessId>,
    /// Serves the container; without it the container is dead.
    pub supervisor: Option<ProcessId>,
    /// Directory of its control socket: that of the sandbox that the container is in.
    pub sandbox: PathBuf,
    /// The container's cgroup, to be removed with it.
    #[serde(default)]
    pub cgroup: Option<Cgroup>,
    /// What config.json said when the container was created.
    #[serde(default)]
    pub spec: ContainerSpec,
    /// Nobody means to delete it: it goes with its end (`run` in the foreground).
    #[serde(default)]
    pub transient: bool,
    /// 0 to 255; 128 and the signal's number where one killed it.
    pub exit_status: Option<u8>,
}

impl Record {
    /// A container that is being created now.
    #[must_use]
    pub fn new(id: &str, bundle: PathBuf) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: id.to_owned(),
            status: Status::Creating,
            init: None,
            bundle,
            created_ns: u64::try_from(now.as_nanos()).unwrap_or(0),
            creator: ProcessId::own(),
            supervisor: None,
            sandbox: PathBuf::new(),
            cgroup: None,
            spec: ContainerSpec::default(),
            transient: false,
            exit_status: None,
        }
    }

    /// Its status as of now: with its supervisor or its first process dead it has stopped, whatever the record says.
    #[must_use]
    pub fn status_now(&self) -> Status {
        let lives = |process: Option<ProcessId>| process.is_some_and(ProcessId::is_alive);
        let holds = match self.status {
            Status::Stopped => true,
            Status::Creating => lives(self.creator) || lives(self.supervisor),
            Status::Created | Status::Running | Status::Paused => lives(self.supervisor) && lives(self.init),
        };
        if holds { self.status } else { Status::Stopped }
    }

    /// The record with what holds now.
    #[must_use]
    pub fn current(mut self) -> Self {
        self.status = self.status_now();
        if self.status == Status::Stopped {
            self.init = None;
        }
        self
    }

    /// Host id of the container's first process; 0 before there is one and after its end.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.init.map_or(0, |init| init.pid)
    }

    /// The state that runtime-spec describes and hooks get, for the status `status`.
    #[must_use]
    pub fn oci_state(&self, status: Status) -> Value {
        let mut state = json!({
            "ociVersion": OCI_VERSION,
            "id": self.id,
            "status": status.name(),
            "bundle": self.bundle,
        });
        if self.pid() > 0 {
            state["pid"] = json!(self.pid());
        }
        if !self.spec.annotations.is_empty() {
            state["annotations"] = json!(self.spec.annotations);
        }
        state
    }

    /// When it was created, as RFC 3339 has it.
    #[must_use]
    pub fn created(&self) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_nanos(self.created_ns))
    }
}

/// A time in UTC with nanoseconds, without trailing zeros as Go prints it.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = format!(".{:09}", since.subsec_nanos());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a day after 1970-01-01, in the Gregorian calendar; years begin in March meanwhile.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 });
    (year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{ProcessId, Record, Status, rfc3339};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_printed_as_go_does() {
        let at = |seconds, nanos| rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400, 500_000_000), "2000-02-29T00:00:00.5Z");
        assert_eq!(at(1_795_436_891, 145_765_432), "2026-11-23T12:28:11.145765432Z");
        assert_eq!(at(4_107_542_399, 1), "2100-02-28T23:59:59.000000001Z");
    }

    #[test]
    fn container_of_dead_processes_has_stopped() {
        let mut record = Record::new("a", "/b".into());
        let (own, dead) = (ProcessId::own(), ProcessId::own().map(|own| ProcessId { start_time: 1, ..own }));
        assert_eq!(record.status_now(), Status::Creating);
        record.creator = dead;
        assert_eq!(record.status_now(), Status::Stopped);
        record.status = Status::Running;
        for (supervisor, init, status) in
            [(own, own, Status::Running), (own, dead, Status::Stopped), (dead, own, Status::Stopped)]
        {
            (record.supervisor, record.init) = (supervisor, init);
            assert_eq!(record.status_now(), status);
        }
        assert_eq!(record.current().oci_state(Status::Stopped).get("pid"), None);
    }
}
