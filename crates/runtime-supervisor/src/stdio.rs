//! Standard input, output and error of the first process: the host's own streams, or the container's
//! terminal in place of those that are the user's terminal.

use std::os::fd::{AsFd, BorrowedFd};
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
use runtime_oci::ContainerSpec;
use rustix::fs::FileType;
use rustix::stdio;
use rustix::termios::isatty;

use crate::error::Error;
use crate::launch::TERMINAL_FLAGS;
use crate::registry::Tree;
use crate::terminal::{INIT_SESSION, has_terminal};

/// The three streams by their descriptor numbers.
fn streams() -> [(&'static str, BorrowedFd<'static>); 3] {
    [("input", stdio::stdin()), ("output", stdio::stdout()), ("error", stdio::stderr())]
}

/// Fills descriptors 0, 1 and 2. With a terminal, returns the supervisor's side of it.
pub(crate) fn install(
    spec: &ContainerSpec,
    tree: &Tree,
    task: &Task,
) -> Result<Option<Arc<PtyMaster>>, Error> {
    let has_terminal = spec.process.terminal && has_terminal();
    let terminal = if has_terminal { Some(open_terminal(tree, task)) } else { None };
    let terminal = terminal.transpose().map_err(|errno| Error::Stdio { name: "input", errno })?;
    for (number, (name, fd)) in streams().into_iter().enumerate() {
        let failed = |errno| Error::Stdio { name, errno };
        let file = match &terminal {
            // An OCI container with a terminal has nothing else.
            Some((_, slave)) if !spec.init || isatty(fd) => Arc::clone(slave),
            _ if is_null(fd) => null(task).or_else(|_| host_stream(fd, number, task)).map_err(failed)?,
            _ => host_stream(fd, number, task).map_err(failed)?,
        };
        task.process.files.replace(Fd(number as i32), file, false, 3).map_err(failed)?;
    }
    Ok(terminal.map(|(master, _)| master))
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
    master.set_session(INIT_SESSION, INIT_SESSION);
    tree.console.set(master.pty());
    tree.devpts.adopt(&master, task.process.credentials().fsuid, task.now_realtime_ns());
    let path = format!("/dev/pts/{}", master.pty().index());
    let slave =
        task.with_walk(|walk| walk.open(None, path.as_bytes(), TERMINAL_FLAGS, 0, WalkFlags::empty()))?;
    Ok((Arc::new(master), slave))
}
