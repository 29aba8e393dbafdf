//! The executor's loop: a process for each program, on a directory of its own.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::child::{self, PER_CALL, PLAIN, STATE_AT, STATE_LEN};
use super::raw::{self, Shared, call};
use super::state;
use crate::program::User;
use crate::wire::{CallOutcome, Outcome, Progress, Request, State, receive, send};

/// Wait status of a process that did not end in time.
pub const HUNG: i32 = -1;
/// What a program may take besides the waits of its calls.
const ALLOWED_MS: u64 = 3000;

/// Runs programs below `dir` until nobody asks for more.
///
/// # Errors
/// Of the streams and of the directory.
pub fn serve(dir: &Path) -> io::Result<()> {
    let shared = Arc::new(Shared::new().ok_or_else(io::Error::last_os_error)?);
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    // Says that it is there.
    send(&mut output, b"ready")?;
    loop {
        let body = match receive(&mut input) {
            Ok(body) => body,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let request = Request::decode(&body);
        let outcome = run(&request, &shared, dir)?;
        send(&mut output, &outcome.encode())?;
    }
}

fn run(request: &Request, shared: &Arc<Shared>, parent: &Path) -> io::Result<Outcome> {
    let dir = parent.join("d");
    fs::create_dir(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    if request.exec.user == User::Plain {
        chown(&dir, Some(PLAIN as u32), Some(PLAIN as u32))?;
    }
    let count = request.exec.calls.len();
    (0..count * PER_CALL)
        .chain([STATE_LEN, STATE_AT])
        .for_each(|at| shared.word(at).store(0, Ordering::Relaxed));
    let pid = raw::fork();
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        if std::env::set_current_dir(&dir).is_err() {
            raw::leave(97);
        }
        isolate(request);
        child::run(request, Arc::clone(shared));
    }
    let waits: u64 = request.exec.calls.iter().map(|call| u64::from(call.after_ms)).sum();
    let limit_ms = ALLOWED_MS + waits + 2 * u64::from(request.patience_ms) * count as u64;
    let status = wait(pid, limit_ms);
    let mut outcome =
        Outcome { calls: (0..count).map(|at| collect(request, shared, at)).collect(), status, state: vec![] };
    if request.state == State::With {
        let len = shared.word(STATE_LEN).load(Ordering::Acquire);
        if len > 0 {
            let lines = shared.read(shared.word(STATE_AT).load(Ordering::Acquire) as usize, len as usize - 1);
            outcome.state.extend(String::from_utf8_lossy(&lines).lines().map(str::to_owned));
        }
        outcome.state.extend(state::of_files(&dir));
    }
    clear(&dir)?;
    Ok(outcome)
}

/// What would outlive the program otherwise belongs to it alone.
fn isolate(request: &Request) {
    let outlives = |nr: u32| {
        let row = syscall_table::by_nr(nr as i32);
        row.is_some_and(|row| {
            row.family == "ipc" || row.name.starts_with("set") && row.name.ends_with("name")
        })
    };
    if request.exec.calls.iter().any(|call| outlives(call.nr)) {
        call(libc::SYS_unshare, &[(libc::CLONE_NEWIPC | libc::CLONE_NEWUTS) as u64]);
    }
    for standard in 0..3 {
        call(libc::SYS_close, &[standard]);
    }
    let null = c"/dev/null".as_ptr() as u64;
    for _ in 0..3 {
        call(libc::SYS_open, &[null, libc::O_RDWR as u64]);
    }
}

/// The wait status of the program's process; everything that it left is ended.
fn wait(pid: i64, limit_ms: u64) -> i32 {
    let mut status = 0_i32;
    let pidfd = call(libc::SYS_pidfd_open, &[pid as u64, 0]);
    // struct pollfd: descriptor, then events.
    let mut poll = [pidfd as u32, u32::from(libc::POLLIN as u16)];
    let ended = pidfd < 0 || call(libc::SYS_poll, &[poll.as_mut_ptr() as u64, 1, limit_ms]) == 1;
    if pidfd >= 0 {
        call(libc::SYS_close, &[pidfd as u64]);
    }
    if !ended {
        call(libc::SYS_kill, &[pid as u64, libc::SIGKILL as u64]);
    }
    call(libc::SYS_wait4, &[pid as u64, (&raw mut status) as u64, libc::__WALL as u64, 0]);
    // Its children, if it had any, are children of the namespace's first process now: its group has them.
    call(libc::SYS_kill, &[(-pid) as u64, libc::SIGKILL as u64]);
    if ended { status } else { HUNG }
}

fn collect(request: &Request, shared: &Shared, at: usize) -> CallOutcome {
    let word = |n: usize| shared.word(at * PER_CALL + n).load(Ordering::Acquire);
    let progress = Progress::of(word(0));
    let bytes = shared.read(word(2) as usize, word(3) as usize);
    let (mut memory, mut from) = (Vec::new(), 0);
    if progress == Progress::Done {
        for region in request.exec.calls.get(at).map_or(&[][..], |call| &call.regions) {
            let to = (from + region.len as usize).min(bytes.len());
            memory.push(bytes[from..to].to_vec());
            from = to;
        }
    }
    let answer = if progress == Progress::Done { word(1) as i64 } else { 0 };
    CallOutcome { progress, answer, memory }
}

fn clear(dir: &Path) -> io::Result<()> {
    if fs::remove_dir_all(dir).is_ok() {
        return Ok(());
    }
    // A program may have mounted something, or taken rights away: move it out of the way.
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    if fs::remove_dir_all(dir).is_ok() {
        return Ok(());
    }
    let aside = (0..10_000).map(|n| dir.with_extension(format!("old{n}"))).find(|path| !path.exists());
    fs::rename(dir, aside.unwrap_or_else(|| dir.with_extension("old")))
}
