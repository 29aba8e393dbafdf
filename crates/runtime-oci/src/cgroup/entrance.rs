//! A group's files by which processes enter it, open: for a supervisor that does not reach the group by a path.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{CgroupError, io_at};
use super::{Cgroup, Version};

impl Cgroup {
    /// Opens, of each directory in turn, the file for [`Entrance`]; none of a group that systemd is still to make.
    pub fn open(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        if self.comes_with_process() {
            return Ok(Vec::new());
        }
        let open = |directory: &Path| {
            let path = directory.join(self.version.entrance());
            let file = OpenOptions::new().read(true).write(true).open(&path);
            file.map(OwnedFd::from).map_err(io_at(path))
        };
        self.directories.values().map(|directory| open(directory)).collect()
    }

    /// Whether systemd makes it around its first process.
    #[must_use]
    pub fn comes_with_process(&self) -> bool {
        self.scope.is_some()
    }

    /// What [`Cgroup::open`] opened.
    #[must_use]
    pub fn entrance(&self, files: Vec<OwnedFd>) -> Entrance {
        let cpu = self.directories.keys().map(|name| matches!(name.as_str(), "cpu" | "cpuacct"));
        let is_cpu = cpu.map(|is_cpu| is_cpu && self.version == Version::V1).collect();
        let is_single = files.len() == self.directories.len();
        let files = if is_single { files.into_iter().map(File::from).collect() } else { Vec::new() };
        Entrance { version: self.version, files, is_cpu }
    }
}

impl Version {
    /// Version 1 lets a thread enter by itself, which is quicker.
    fn entrance(self) -> &'static str {
        match self {
            Self::V1 => "tasks",
            Self::V2 => "cgroup.procs",
        }
    }
}

/// The open files of a group.
#[derive(Debug)]
pub struct Entrance {
    version: Version,
    /// One for each directory.
    files: Vec<File>,
    /// Which of them are controllers of CPU time of version 1.
    is_cpu: Vec<bool>,
}

impl Entrance {
    /// Files to which a new process of one thread writes 0 to enter, which is quicker than [`Entrance::add`]; `None` where
    /// only that will do.
    #[must_use]
    pub fn doors(&self) -> Option<&[File]> {
        (self.version == Version::V1).then_some(&self.files)
    }

    /// As [`Entrance::doors`], of the controllers of CPU time alone, for a thread of a process that is not in the group;
    /// none in version 2, where a process is in one group with all its threads.
    pub fn cpu_doors(&self) -> io::Result<Vec<File>> {
        let cpu = self.files.iter().zip(&self.is_cpu).filter(|(_, is_cpu)| **is_cpu);
        // Mounted together they are one directory, which is entered twice.
        cpu.map(|(file, _)| file.try_clone()).collect()
    }

    /// Puts a process of the host into it, with all its threads.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        self.files.iter().try_for_each(|mut file| file.write_all(pid.to_string().as_bytes()))
    }

    /// The ids of what is in it: of processes, in version 1 of their threads.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let read = |file: &File| {
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            loop {
                // From an offset: other threads read it, too.
                match file.read_at(&mut piece, text.len() as u64).ok()? {
                    0 => break,
                    len => text.extend_from_slice(piece.get(..len)?),
                }
            }
            let text = String::from_utf8(text).ok()?;
            Some(text.lines().filter_map(|line| line.parse().ok()).collect())
        };
        self.files.first().and_then(read).unwrap_or_default()
    }
}
