//! Standard input, output and error of a process, and what else it is to have open: the host's streams, or a terminal
//! of the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::{OpenFlags, makedev};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_fs::hostfs::stream::open_stream;
use kernel_fs::tty::PtyMaster;
use kernel_task::Task;
use kernel_vfs::file::File;
use kernel_vfs::walk::WalkFlags;
use rustix::fs::FileType;
use rustix::stdio;
use rustix::termios::isatty;

use crate::error::Error;
use crate::launch::TERMINAL_FLAGS;
use crate::registry::Tree;
use crate::terminal::has_terminal;

const NAMES: [&str; 3] = ["input", "output", "error"];

/// Where a process's streams go.
pub(crate) enum Streams {
    /// Where ours go; the container's terminal takes the place of those that are the user's. With what it has open
    /// besides.
    Own(OwnTerminal, Vec<OwnedFd>),
    /// To these, by their numbers; more than three if it gets more.
    Given(Vec<OwnedFd>),
    /// To a terminal of the container; with what it has open besides.
    Terminal(Vec<OwnedFd>),
}

/// Whether a process with our streams gets a terminal of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnTerminal {
    None,
    /// For those streams that are terminals.
    Where,
    /// For all, if any is a terminal (an OCI container with a terminal has nothing else).
    All,
}

/// The three streams of ours by their descriptor numbers.
fn own() -> [BorrowedFd<'static>; 3] {
    [stdio::stdin(), stdio::stdout(), stdio::stderr()]
}

/// Fills a process's descriptors. With a terminal, returns the supervisor's side of it.
pub(crate) fn install(streams: &Streams, tree: &Tree, task: &Task) -> Result<Option<Arc<PtyMaster>>, Error> {
    let (given, extra): (Vec<BorrowedFd<'_>>, &[OwnedFd]) = match streams {
        Streams::Own(_, extra) => (own().to_vec(), extra),
        Streams::Given(fds) => {
            let (standard, extra) = fds.split_at(fds.len().min(NAMES.len()));
            (standard.iter().map(AsFd::as_fd).collect(), extra)
        }
        Streams::Terminal(extra) => (Vec::new(), extra),
    };
    let wanted = match streams {
        Streams::Own(OwnTerminal::None, _) | Streams::Given(_) => false,
        Streams::Own(..) => has_terminal(),
        Streams::Terminal(_) => true,
    };
    let terminal = if wanted { Some(open_terminal(tree, task)) } else { None };
    let terminal = terminal.transpose().map_err(|errno| Error::Stdio { name: "input", errno })?;
    for (number, name) in NAMES.into_iter().enumerate() {
        let failed = |errno| Error::Stdio { name, errno };
        let everywhere = !matches!(streams, Streams::Own(OwnTerminal::Where, _));
        let file = match (&terminal, given.get(number)) {
            (Some((_, slave)), Some(fd)) if everywhere || isatty(fd) => Arc::clone(slave),
            (Some((_, slave)), None) => Arc::clone(slave),
            (_, Some(fd)) => stream(*fd, number, task).map_err(failed)?,
            (None, None) => null(task).map_err(failed)?,
        };
        task.process.files.replace(Fd(number as i32), file, false, NAMES.len() as u64).map_err(failed)?;
    }
    for (fd, number) in extra.iter().zip(NAMES.len()..) {
        let failed = |errno| Error::Stdio { name: "descriptors (--preserve-fds)", errno };
        let file = host_stream(fd.as_fd(), number, task).map_err(failed)?;
        task.process.files.replace(Fd(number as i32), file, false, number as u64 + 1).map_err(failed)?;
    }
    Ok(terminal.map(|(master, _)| master))
}

fn stream(fd: BorrowedFd<'_>, number: usize, task: &Task) -> SysResult<Arc<File>> {
    if is_null(fd) {
        return null(task).or_else(|_| host_stream(fd, number, task));
    }
    host_stream(fd, number, task)
}

/// Whether a stream of the host is /dev/null: the container's own will do.
fn is_null(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == makedev(1, 3)
    })
}

fn null(task: &Task) -> SysResult<Arc<File>> {
    let file =
        task.with_walk(|walk| walk.open(None, b"/dev/null", OpenFlags::RDWR, 0, WalkFlags::empty()))?;
    if file.inode.metadata()?.rdev == makedev(1, 3) { Ok(file) } else { Err(abi_linux::Errno::ENXIO) }
}

/// What /proc/pid/fd shows of a stream of the host: what Linux shows where the guest may know it.
fn host_name(fd: BorrowedFd<'_>, number: usize) -> String {
    let Ok(stat) = rustix::fs::fstat(fd) else { return format!("host:[{number}]") };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => format!("pipe:[{}]", stat.st_ino),
        FileType::Socket => format!("socket:[{}]", stat.st_ino),
        _ => format!("host:[{number}]"),
    }
}

fn host_stream(fd: BorrowedFd<'_>, number: usize, task: &Task) -> SysResult<Arc<File>> {
    let fd = fd.as_fd().try_clone_to_owned().map_err(|_| abi_linux::Errno::EMFILE)?;
    let name = host_name(fd.as_fd(), number);
    open_stream(fd, name.as_bytes(), &task.kernel().platform)
}

fn open_terminal(tree: &Tree, task: &Task) -> SysResult<(Arc<PtyMaster>, Arc<File>)> {
    let master = tree.terminals.open_master()?;
    master.unlock();
    let process = &task.process;
    master.set_session(process.sid(), process.pgid());
    if process.pid == 1 {
        tree.console.set(master.pty());
    }
    tree.devpts.adopt(&master, process.credentials().fsuid, task.now_realtime_ns());
    let path = format!("/dev/pts/{}", master.pty().index());
    let slave =
        task.with_walk(|walk| walk.open(None, path.as_bytes(), TERMINAL_FLAGS, 0, WalkFlags::empty()))?;
    Ok((Arc::new(master), slave))
}
