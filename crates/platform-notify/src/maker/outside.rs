//! What a maker does where its supervisor may not: in that one's mount namespace, and in files of the host's /proc.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use abi_linux::{Errno, SysResult};
use platform_api::HostTid;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{chroot, fchdir};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::io_errno;
use crate::errno;
use crate::home;
use crate::spawn::Away;

/// The supervisor's mount namespace. It says once which that is, before anybody else can have a word in it.
#[derive(Default)]
pub(super) struct Hangings {
    home: Option<OwnedFd>,
}

impl Hangings {
    pub(super) fn settle(&mut self, home: Option<OwnedFd>) -> SysResult<()> {
        if self.home.is_some() {
            return Err(Errno::EPERM);
        }
        self.home = Some(home.ok_or(Errno::EBADF)?);
        Ok(())
    }

    pub(super) fn hang(&self, number: u32, tree: Option<OwnedFd>) -> SysResult<()> {
        let tree = tree.ok_or(Errno::EBADF)?;
        self.inside(|| home::hang(number, tree.as_fd()))
    }

    pub(super) fn take_down(&self, number: u32) -> SysResult<()> {
        self.inside(|| home::take_down(number))
    }

    /// Makes a process there, which does not return: its copy of the mounts is a small one.
    pub(super) fn make<T>(&self, make: impl FnOnce() -> SysResult<T>) -> SysResult<T> {
        match &self.home {
            Some(home) => inside(home, make),
            None => make(),
        }
    }

    fn inside(&self, body: impl FnOnce() -> SysResult<()>) -> SysResult<()> {
        inside(self.home.as_ref().ok_or(Errno::ESRCH)?, body)
    }
}

/// Does something in the supervisor's mount namespace.
fn inside<T>(home: &OwnedFd, body: impl FnOnce() -> SysResult<T>) -> SysResult<T> {
    let place = |path: &str| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno);
    let own = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
    let (root, cwd) = (place("/")?, place(".")?);
    enter(home.as_fd())?;
    let done = body();
    let back = enter(own.as_fd()).and_then(|()| {
        // To enter a mount namespace changes both.
        fchdir(&root).and_then(|()| chroot(".")).and_then(|()| fchdir(&cwd)).map_err(errno)
    });
    if back.is_err() {
        // What is made here now would be made in the wrong place.
        host_sys::child::exit(1);
    }
    done
}

fn enter(namespace: BorrowedFd<'_>) -> SysResult<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount)).map_err(errno)
}

/// The score of this process, which what it makes inherits, until it is dropped.
pub(super) struct OomScore {
    before: String,
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

impl OomScore {
    /// A lower score than it was takes CAP_SYS_RESOURCE.
    pub(super) fn set(score: i32) -> SysResult<Self> {
        let before = fs::read_to_string(OOM_SCORE).map_err(|error| io_errno(&error))?;
        if before.trim() != score.to_string() {
            fs::write(OOM_SCORE, score.to_string()).map_err(|error| io_errno(&error))?;
        }
        Ok(Self { before })
    }
}

impl Drop for OomScore {
    fn drop(&mut self) {
        let _ = fs::write(OOM_SCORE, &self.before);
    }
}

/// Sets sysctls of the network namespace of an init: names and values in turn. What cannot be set stays as it is.
pub(super) fn set_sysctls(init: HostTid, sysctls: &[CString]) -> SysResult<()> {
    if sysctls.is_empty() {
        return Ok(());
    }
    let namespace = fs::File::open(format!("/proc/{init}/ns/net")).map_err(|error| io_errno(&error))?;
    let _away = Away::enter(namespace.as_fd())?;
    for pair in sysctls.chunks_exact(2) {
        let [name, value] = pair else { break };
        let name = name.to_string_lossy();
        let is_plain =
            name.starts_with("net/") && !name.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !is_plain {
            return Err(Errno::EINVAL);
        }
        if let Err(error) = fs::write(format!("/proc/sys/{name}"), value.as_bytes()) {
            tracing::warn!(%error, %name, "cannot set a sysctl of the network namespace");
        }
    }
    Ok(())
}
