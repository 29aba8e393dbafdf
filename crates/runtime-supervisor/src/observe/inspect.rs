//! `palisade debug`: what a container is doing at this moment, for people. Every list has a bound.

use std::sync::Arc;

use kernel_syscalls::{Ending, strace};
use kernel_task::{Kernel, Process};
use kernel_vfs::locks::{LockKind, LockOwner, table};
use kernel_vfs::path::Path;
use platform_api::Clock;
use runtime_control::observe::{Inspection, MountPlace, OpenFile, ParkedCall, ProcessState};

use crate::error::shown;

/// Most descriptors that are told of a process, and mounts of a namespace.
const MOST: usize = 1024;

/// Looks at everything.
pub(crate) fn inspect(kernel: &Arc<Kernel>) -> Inspection {
    let processes = kernel.processes();
    Inspection {
        processes: processes.iter().map(state_of).collect(),
        parked: parked(kernel),
        locks: locks(&processes),
        panics: kernel.counts.panic_reports.lock().clone(),
        mounts: processes.first().map(mounts).unwrap_or_default(),
    }
}

fn text(bytes: &[u8]) -> String {
    shown(bytes.split(|&byte| byte == 0).next().unwrap_or_default())
}

fn state_of(process: &Arc<Process>) -> ProcessState {
    let root = process.fs.get().root.clone();
    let exe = process.image.read().exe.clone();
    let mut descriptors = process.files.list();
    let more = descriptors.len().saturating_sub(MOST) as u64;
    descriptors.truncate(MOST);
    let files = descriptors.iter().map(|(fd, descriptor)| OpenFile {
        fd: fd.0,
        path: shown(&descriptor.file.path.display(&root)),
        flags: descriptor.file.flags().bits(),
    });
    ProcessState {
        pid: process.pid,
        ppid: process.ppid(),
        host_pid: process.tgid,
        comm: text(&process.comm()),
        exe: exe.map(|exe| shown(&exe.display(&root))).unwrap_or_default(),
        threads: process.tasks().iter().map(|task| task.guest_tid).collect(),
        files: files.collect(),
        more_files: more,
    }
}

/// Calls that wait, the longest first, and what for.
fn parked(kernel: &Arc<Kernel>) -> Vec<ParkedCall> {
    let now = kernel.platform.now_ns(Clock::Monotonic);
    let mut all = Vec::new();
    for waiting in kernel.waiting() {
        let Some(task) = kernel.known_task(waiting.call.tid) else { continue };
        let mem = |addr: u64, buf: &mut [u8]| task.mem().read_partial(addr, buf).unwrap_or(0);
        let line = strace::line(waiting.call.nr, &waiting.call.args, Ending::Interrupted, &mem);
        let call = line.strip_suffix(strace::INTERRUPTED).unwrap_or(&line).to_owned();
        all.push(ParkedCall {
            pid: task.process.pid,
            tid: task.guest_tid,
            comm: text(&task.comm()),
            waits_for: reason(&task, &waiting.call),
            for_ns: now.saturating_sub(waiting.since_ns),
            call,
        });
    }
    all.sort_by_key(|call| std::cmp::Reverse(call.for_ns));
    all
}

/// What the call waits for, as far as its descriptor or its name tells.
fn reason(task: &kernel_task::Task, call: &platform_api::Syscall) -> String {
    let Some(row) = syscall_table::by_nr(call.nr) else { return "unknown".to_owned() };
    let takes_descriptor = row.args.first().is_some_and(|arg| arg.ty == syscall_table::Ty::Fd);
    let file = task.process.files.get(kernel_base::reg::Fd(call.args[0] as i32));
    match (row.name, file) {
        ("flock", Ok(file)) => {
            format!("a lock on {}", shown(&file.path.display(&task.process.fs.get().root)))
        }
        ("fcntl", Ok(file)) => {
            format!("a record lock on {}", shown(&file.path.display(&task.process.fs.get().root)))
        }
        (_, Ok(file)) if takes_descriptor => {
            format!(
                "descriptor {}: {}",
                call.args[0] as i32,
                shown(&file.path.display(&task.process.fs.get().root))
            )
        }
        ("poll" | "ppoll" | "select" | "pselect6", _) => "events of descriptors, or its time".to_owned(),
        ("nanosleep" | "clock_nanosleep" | "pause" | "rt_sigsuspend", _) => {
            "its time, or a signal".to_owned()
        }
        ("wait4" | "waitid", _) => "a child".to_owned(),
        (name, _) => format!("what {name}(2) waits for"),
    }
}

/// Locks on files, with the processes that hold them.
fn locks(processes: &[Arc<Process>]) -> Vec<String> {
    let mut all = Vec::new();
    for lock in table().held() {
        let holders: Vec<String> = processes
            .iter()
            .filter(|process| holds(process, lock.owner))
            .map(|process| process.pid.to_string())
            .collect();
        // Of another container of the pod.
        if holders.is_empty() {
            continue;
        }
        let kind = if lock.kind == LockKind::Shared { "shared" } else { "exclusive" };
        let what = match lock.owner {
            LockOwner::Description(_) => "description",
            LockOwner::Files(_) => "process",
        };
        let end = if lock.last == u64::MAX { "end".to_owned() } else { lock.last.to_string() };
        let (dev, ino) = lock.file;
        all.push(format!(
            "{kind} {what} lock, bytes {} to {end} of inode {ino} on device {dev:#x}, held by process {}",
            lock.start,
            holders.join(", ")
        ));
    }
    all
}

fn holds(process: &Process, owner: LockOwner) -> bool {
    match owner {
        LockOwner::Files(id) => process.files.id() == id,
        LockOwner::Description(address) => {
            process.files.list().iter().any(|(_, descriptor)| Arc::as_ptr(&descriptor.file).addr() == address)
        }
    }
}

/// The mounts that a process reaches.
fn mounts(process: &Arc<Process>) -> Vec<MountPlace> {
    let root = process.fs.get().root.clone();
    let all = process.namespaces().mnt.list();
    let places = all.iter().take(MOST).map(|mount| {
        let top = Path::new(Arc::clone(mount), Arc::clone(mount.root()));
        MountPlace {
            source: shown(mount.source()),
            point: shown(&top.display(&root)),
            flags: format!("{:?}", mount.flags()),
        }
    });
    places.collect()
}
