//! A container's cgroup as its supervisor has it: files by which processes enter.
//!
//! systemd makes a scope around the first process, by a program of its own; that is for the maker to run.

use std::fs::File;

use abi_linux::{Errno, SysResult};
use platform_api::HostTid;
use platform_notify::maker::Maker;
use runtime_control::{Place, Places};
use runtime_oci::cgroup::{Cgroup, Entrance};

use crate::error::Error;

/// An errand: the container's cgroup is this one, as JSON. Believed once, while nobody else can ask.
pub(crate) const KNOW: u8 = 0xc0;
/// An errand: put the process with this id, four bytes, into the cgroup. The answer is what went wrong.
pub(crate) const PLACE: u8 = 0xc1;

/// A cgroup.
pub(crate) struct Group {
    entrance: Entrance,
    comes_with_process: bool,
}

impl Group {
    pub(crate) fn new(cgroup: &Cgroup, places: &mut Places) -> Self {
        let entrance = cgroup.entrance(places.take(Place::Cgroup));
        Self { entrance, comes_with_process: cgroup.comes_with_process() }
    }

    /// How a process enters by itself; `None`: it has to be put there.
    pub(crate) fn doors(&self) -> Option<&[File]> {
        if self.comes_with_process { None } else { self.entrance.doors() }
    }

    /// As [`Group::doors`], of a thread that takes calls.
    pub(crate) fn cpu_doors(&self) -> Vec<File> {
        self.entrance.cpu_doors().unwrap_or_default()
    }

    /// Puts a process there.
    pub(crate) fn place(&self, pid: HostTid, maker: Option<&Maker>) -> SysResult<()> {
        let failed = |problem: &dyn std::fmt::Display| {
            tracing::error!("cannot put a process into the container's cgroup: {problem}");
            Errno::EIO
        };
        if !self.comes_with_process {
            return self.entrance.add(pid).map_err(|error| failed(&error));
        }
        let what = [&[PLACE][..], &pid.to_le_bytes()].concat();
        let answer = maker.ok_or(Errno::ESRCH)?.errand(&what)?;
        if answer.is_empty() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&answer))) }
    }

    /// What is in it, by ids of processes or of their threads.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.entrance.pids()
    }
}

/// Tells the maker, where it will have to know.
pub(crate) fn tell(cgroup: Option<&Cgroup>, maker: &Maker) -> Result<(), Error> {
    let Some(cgroup) = cgroup.filter(|cgroup| cgroup.comes_with_process()) else { return Ok(()) };
    let record = serde_json::to_vec(cgroup).map_err(|error| Error::Control(error.into()))?;
    maker.errand(&[&[KNOW], record.as_slice()].concat()).map(drop).map_err(Error::Maker)
}

/// The maker's side.
#[derive(Default)]
pub(crate) struct Placing {
    cgroup: Option<Cgroup>,
}

impl Placing {
    /// Does an errand, if it is one of these.
    pub(crate) fn errand(&mut self, what: &[u8]) -> Option<Vec<u8>> {
        match what {
            [KNOW, record @ ..] if self.cgroup.is_none() => {
                self.cgroup = serde_json::from_slice(record).ok();
                Some(Vec::new())
            }
            [PLACE, pid @ ..] => {
                let pid = <[u8; 4]>::try_from(pid).map(i32::from_le_bytes).unwrap_or_default();
                Some(self.place(pid).err().unwrap_or_default().into_bytes())
            }
            _ => None,
        }
    }

    fn place(&self, pid: i32) -> Result<(), String> {
        let cgroup =
            self.cgroup.as_ref().ok_or("a scope of systemd is for a sandbox's first container alone")?;
        // A guest, and nobody else's process.
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        let supervisor = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent.is_none() || parent != supervisor {
            return Err(format!("process {pid} is no guest"));
        }
        cgroup.add(pid).map_err(|error| error.to_string())
    }
}
