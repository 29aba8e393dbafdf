//! Runs one command to its end, with a limit after which its whole tree is killed.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes this long; a command that does hangs.
pub const HANG_LIMIT: Duration = Duration::from_secs(240);

/// What a command left: everything it wrote, and how it ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Finished {
    pub stdout: String,
    pub stderr: String,
    /// The exit status, or 128 + the signal, as a shell says it.
    pub status: i32,
    /// It had to be killed, so `status` means nothing.
    pub hung: bool,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hung = if self.hung { " (hung, killed)" } else { "" };
        write!(f, "status {}{hung}\n--- stdout\n{}--- stderr\n{}---", self.status, self.stdout, self.stderr)
    }
}

/// Runs `command` with `input` on its stdin, in a process group of its own.
pub fn run(command: &mut Command, input: &[u8]) -> Finished {
    run_within(command, input, HANG_LIMIT)
}

/// [`run`] with another limit.
pub fn run_within(command: &mut Command, input: &[u8], limit: Duration) -> Finished {
    default_signals();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_owned();
    // A command that does not read its input closes the pipe: not an error of the test.
    thread::spawn(move || stdin.write_all(&input));
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let (status, hung) = wait(&mut child, limit);
    // What the command left running may hold the pipes open; it gets a moment, then it is killed.
    let text = |stream: mpsc::Receiver<Vec<u8>>| {
        let bytes = stream.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|_| {
            kill_tree(child.id());
            stream.recv_timeout(Duration::from_secs(5)).unwrap_or_default()
        });
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    Finished { stdout, stderr, status: shell_status(status), hung }
}

/// Runs a program that may be broken on the host, without input or output: its status, or nothing when the
/// kernel refuses to start it.
pub fn run_native_status(program: &Path) -> Option<i32> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().ok()?;
    let (status, hung) = wait(&mut child, Duration::from_secs(20));
    (!hung).then(|| shell_status(status))
}

/// A job that a shell started in the background inherits SIGINT and SIGQUIT ignored, and so would what the tests
/// start: programs that a user starts have them at their defaults.
pub fn default_signals() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: the default action is no handler, so nothing runs in a signal's context.
        unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }
            .expect("it may be set");
    }
}

/// An exit status as a shell's `$?` has it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn collect(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error ends the text early, which the comparison shows.
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(child: &mut Child, limit: Duration) -> (ExitStatus, bool) {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return (status, false);
        }
        if Instant::now() >= deadline {
            kill_tree(child.id());
            return (child.wait().expect("the child is ours"), true);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// `root` and everything that descends from it.
pub fn tree(root: u32) -> Vec<i32> {
    let mut found = vec![root.cast_signed()];
    let parents = parents();
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, ppid)| **ppid == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Kills the [`tree`] of `root`, and its process group.
pub fn kill_tree(root: u32) {
    for pid in tree(root) {
        // It may be gone already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = kill(Pid::from_raw(-root.cast_signed()), Signal::SIGKILL);
}

/// The parent of every process of the host.
fn parents() -> HashMap<i32, i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything; the fields after it are: state, ppid.
            let ppid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, ppid))
        })
        .collect()
}
