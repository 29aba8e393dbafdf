//! Out of memory in a group: how often, and when.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;

use super::error::{CgroupError, io_at};
use super::hierarchy::Version;
use super::{Cgroup, setting};

/// Tells when the host kills for memory in a group. Its descriptor is readable when [`OomWatch::happened`] should be
/// asked.
#[derive(Debug)]
pub struct OomWatch {
    cgroup: Cgroup,
    fd: OwnedFd,
    /// Version 1 forgets a watch whose file is closed.
    _control: Option<File>,
    seen: u64,
}

impl Cgroup {
    /// How many processes the host has killed in it for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = self.directory("memory").map(|directory| fs::read_to_string(directory.join(file)));
        let text = text.and_then(Result::ok).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Watches for kills from now on.
    pub fn oom_watch(&self) -> Result<OomWatch, CgroupError> {
        let directory = self.directory("memory").ok_or(CgroupError::NotMounted)?;
        let seen = self.oom_kills();
        let errno = |error: rustix::io::Errno| std::io::Error::from(error);
        let at = |error| io_at(directory)(error);
        let (fd, control) = match self.version {
            // Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
            Version::V1 => {
                let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
                let event = eventfd(0, flags).map_err(errno).map_err(at)?;
                let control = File::open(directory.join("memory.oom_control")).map_err(at)?;
                let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
                setting::write(&directory.join("cgroup.event_control"), &line).map_err(at)?;
                (event, Some(control))
            }
            Version::V2 => {
                let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
                let fd = inotify::init(flags).map_err(errno).map_err(at)?;
                let path = directory.join("memory.events");
                inotify::add_watch(&fd, &path, inotify::WatchFlags::MODIFY).map_err(errno).map_err(at)?;
                (fd, None)
            }
        };
        Ok(OomWatch { cgroup: self.clone(), fd, _control: control, seen })
    }
}

impl OomWatch {
    /// Whether there was a kill since the last time. Takes what is to be read from the descriptor.
    pub fn happened(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.fd, &mut buffer).is_ok_and(|count| count > 0) {}
        let before = std::mem::replace(&mut self.seen, self.cgroup.oom_kills());
        self.seen > before
    }

    /// Whether the group is gone; then nothing more will come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !self.cgroup.exists()
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
