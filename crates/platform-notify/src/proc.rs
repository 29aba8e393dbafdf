//! What the host's /proc and pidfds say about guests. Everything is read through one descriptor of /proc that was
//! opened at the start, since the supervisor leaves that mount namespace's view behind later.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use abi_linux::signal::SigSet;
use abi_linux::{Errno, SysResult};
use host_sys::{namespace, pidfd};
use platform_api::{HostFile, HostTid, Identity, ProcFile, SignalState};
use rustix::fs::{Dir, DirEntry, Mode, OFlags, fstat, openat};

use crate::errno;

/// Most of a status or children file that is looked at.
const STATUS_LIMIT: usize = 16 * 1024;
/// Room for the first read of a file.
const FIRST_READ: usize = 1024;
const CHILDREN_LIMIT: usize = 1 << 20;
/// Most threads that are listed.
const THREADS_LIMIT: usize = 1 << 16;

/// /proc and the container's pid namespace.
pub(crate) struct Proc {
    root: OwnedFd,
    guest_ns: OwnedFd,
}

fn open(root: &OwnedFd, path: &str) -> SysResult<OwnedFd> {
    openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| match errno(error) {
        Errno::ENOENT => Errno::ESRCH,
        other => other,
    })
}

impl Proc {
    /// Opens /proc and the pid namespace of the container's init.
    pub(crate) fn new(init: HostTid) -> SysResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/proc", flags, Mode::empty()).map_err(errno)?;
        let guest_ns = open(&root, &format!("{init}/ns/pid"))?;
        Ok(Self { root, guest_ns })
    }

    /// Reads a file below /proc into `out`, at most `limit` bytes.
    fn read(&self, path: &str, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        let file = File::from(open(&self.root, path)?);
        // Most files fit at once; growing the buffer bit by bit would cost a host call for each.
        out.reserve(limit.min(FIRST_READ));
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let result = file.take(limit).read_to_end(out);
        result.map(drop).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)))
    }

    /// As [`Proc::read`], as text. /proc files that we parse are ASCII but for names, which are not looked at.
    fn read_text(&self, path: &str, limit: usize) -> SysResult<String> {
        let mut bytes = Vec::with_capacity(2048);
        self.read(path, limit, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn read_file(
        &self,
        tid: HostTid,
        file: ProcFile,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> SysResult<()> {
        let name = match file {
            ProcFile::Stat => "stat",
            ProcFile::Status => "status",
            ProcFile::Statm => "statm",
            ProcFile::Maps => "maps",
            ProcFile::Smaps => "smaps",
            ProcFile::SmapsRollup => "smaps_rollup",
            ProcFile::Cmdline => "cmdline",
            ProcFile::Environ => "environ",
            ProcFile::Io => "io",
            ProcFile::Sched => "sched",
            ProcFile::Schedstat => "schedstat",
            ProcFile::Wchan => "wchan",
            ProcFile::Auxv => "auxv",
            ProcFile::OomScore => "oom_score",
            ProcFile::OomScoreAdj => "oom_score_adj",
            ProcFile::Limits => "limits",
            ProcFile::Syscall => "syscall",
        };
        self.read(&format!("{tid}/{name}"), limit, out)
    }

    pub(crate) fn read_host(&self, file: HostFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        let name = match file {
            HostFile::Cpuinfo => "cpuinfo",
            HostFile::Meminfo => "meminfo",
            HostFile::Stat => "stat",
            HostFile::Uptime => "uptime",
            HostFile::Loadavg => "loadavg",
            HostFile::Vmstat => "vmstat",
            HostFile::Buddyinfo => "buddyinfo",
            HostFile::Zoneinfo => "zoneinfo",
            HostFile::Softirqs => "softirqs",
        };
        self.read(name, limit, out)
    }

    /// ESRCH unless the thread is one of the container's.
    pub(crate) fn check_in_container(&self, tid: HostTid) -> SysResult<()> {
        match namespace::tid_in(self.guest_ns.as_fd(), tid) {
            Ok(_) => Ok(()),
            Err(Errno::ENOTTY) => {
                let theirs = fstat(open(&self.root, &format!("{tid}/ns/pid"))?).map_err(errno)?;
                let ours = fstat(&self.guest_ns).map_err(errno)?;
                let is_same = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino);
                if is_same { Ok(()) } else { Err(Errno::ESRCH) }
            }
            Err(error) => Err(error),
        }
    }

    /// Who a thread is: by ioctls (Linux 6.13, four calls), else from its status file.
    pub(crate) fn identify(&self, tid: HostTid) -> SysResult<Identity> {
        match self.identify_fast(tid) {
            Ok(identity) => Ok(identity),
            Err(Errno::ESRCH) => Err(Errno::ESRCH),
            Err(_) => identity_of(&self.read_text(&format!("{tid}/status"), STATUS_LIMIT)?),
        }
    }

    fn identify_fast(&self, tid: HostTid) -> SysResult<Identity> {
        let thread = pidfd::open_thread(tid)?;
        let info = pidfd::info(thread.as_fd())?;
        let guest_tid = namespace::tid_in(self.guest_ns.as_fd(), tid)?;
        let guest_tgid = namespace::tgid_in(self.guest_ns.as_fd(), tid)?;
        Ok(Identity { tgid: info.tgid, guest_tid, guest_tgid, parent: info.ppid })
    }

    pub(crate) fn children(&self, tgid: HostTid, tid: HostTid) -> SysResult<Vec<HostTid>> {
        let text = self.read_text(&format!("{tgid}/task/{tid}/children"), CHILDREN_LIMIT)?;
        text.split_ascii_whitespace().map(|word| word.parse().map_err(|_| Errno::EIO)).collect()
    }

    pub(crate) fn threads(&self, tgid: HostTid) -> SysResult<Vec<HostTid>> {
        let directory = open(&self.root, &format!("{tgid}/task"))?;
        let entries = Dir::new(directory).map_err(errno)?.take(THREADS_LIMIT);
        // "." and ".." are no numbers.
        let number =
            |entry: rustix::io::Result<DirEntry>| entry.ok()?.file_name().to_str().ok()?.parse().ok();
        Ok(entries.filter_map(number).collect())
    }

    pub(crate) fn signal_state(&self, tid: HostTid) -> SysResult<SignalState> {
        signals_of(&self.read_text(&format!("{tid}/status"), STATUS_LIMIT)?)
    }
}

/// The value of a field of a status file.
fn field<'a>(status: &'a str, name: &str) -> SysResult<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .ok_or(Errno::EIO)
}

/// The last of a field's numbers: NStgid and NSpid list one for each namespace, innermost last.
fn last_id(status: &str, name: &str) -> SysResult<i32> {
    let word = field(status, name)?.split_ascii_whitespace().next_back().ok_or(Errno::EIO)?;
    word.parse().map_err(|_| Errno::EIO)
}

fn identity_of(status: &str) -> SysResult<Identity> {
    Ok(Identity {
        tgid: last_id(status, "Tgid")?,
        guest_tid: last_id(status, "NSpid")?,
        guest_tgid: last_id(status, "NStgid")?,
        parent: last_id(status, "PPid")?,
    })
}

fn signals_of(status: &str) -> SysResult<SignalState> {
    let set = |name| u64::from_str_radix(field(status, name)?, 16).map(SigSet).map_err(|_| Errno::EIO);
    Ok(SignalState {
        pending: set("SigPnd")?,
        shared_pending: set("ShdPnd")?,
        blocked: set("SigBlk")?,
        ignored: set("SigIgn")?,
        caught: set("SigCgt")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{identity_of, signals_of};
    use abi_linux::Errno;

    const STATUS: &str = "Name:\tTgid:\t1\nTgid:\t700\nPid:\t701\nPPid:\t600\nNStgid:\t700\t5\nNSpid:\t701\t6\n\
        SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000004\n\
        SigIgn:\t8000000000000000\nSigCgt:\t0000000000000010\n";

    #[test]
    fn status_gives_identity_and_signals() {
        let identity = identity_of(STATUS).unwrap();
        assert_eq!(
            (identity.tgid, identity.guest_tgid, identity.guest_tid, identity.parent),
            (700, 5, 6, 600)
        );
        let signals = signals_of(STATUS).unwrap();
        assert_eq!((signals.pending.0, signals.shared_pending.0, signals.blocked.0), (1, 2, 4));
        assert_eq!((signals.ignored.0, signals.caught.0), (1 << 63, 16));
    }

    #[test]
    fn malformed_status_is_eio() {
        assert_eq!(identity_of("Tgid:\tx\n"), Err(Errno::EIO));
        assert_eq!(signals_of(""), Err(Errno::EIO));
    }
}
