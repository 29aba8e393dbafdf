//! Runs one command of a runtime to its end, timed to the microsecond, within a limit.
//!
//! What a runtime leaves in the background comes to the process above this one ([`crate::reaper`]): all of it is found below
//! that one, and killed when a run hangs.

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::failure::Failure;
use crate::{reaper, stop};

/// How often a wait looks for ^C.
const LOOK: Duration = Duration::from_millis(100);
/// Of what a run says no more is kept.
const MOST_OUTPUT: usize = 4 << 20;
/// Nothing that is asked of a runtime for order's sake takes this long.
const TIDY: Duration = Duration::from_secs(20);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From just before the fork to the end.
    pub(crate) took: Duration,
    /// Until the first byte came.
    pub(crate) first_byte: Option<Duration>,
}

impl Ended {
    /// An error with the command's own last words, unless it ended with status 0.
    pub(crate) fn success(self) -> Result<Self, Failure> {
        if self.status.success() {
            return Ok(self);
        }
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "it ended".to_owned(),
        };
        Err(Failure::Failed(match last_words(&self.stderr).or_else(|| last_words(&self.stdout)) {
            Some(words) => format!("{how}: {words}"),
            None => how,
        }))
    }
}

/// The last line that says something, cut to a length that fits in a report.
fn last_words(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
}

/// Runs a command to its end, or until ^C.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Ended, Failure> {
    run_unless(command, limit, stop::wanted)
}

/// Runs a command that puts things in order, also after ^C.
pub(crate) fn tidy(command: &mut Command) -> Result<Ended, Failure> {
    run_unless(command, TIDY, || false)
}

fn run_unless(command: &mut Command, limit: Duration, stop: fn() -> bool) -> Result<Ended, Failure> {
    let (stdout, out) = io::pipe()?;
    let (stderr, err) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let began = Instant::now();
    let child = command.spawn();
    // The command has kept the pipes' other ends; without them the pipes end with the program.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let mut outputs = [Stream::new(stdout)?, Stream::new(stderr)?];
    let mut first_byte = None;
    let process = process(child.id())?;
    let took = loop {
        let ended = look(&process, outputs.iter().filter(|output| output.open).map(|output| &output.pipe))?;
        let now = began.elapsed();
        outputs.iter_mut().for_each(Stream::take);
        if first_byte.is_none() && !outputs[0].bytes.is_empty() {
            first_byte = Some(now);
        }
        if ended {
            break now;
        }
        if now >= limit || stop() {
            return Err(give_up(&mut child, limit));
        }
    };
    let status = child.wait()?;
    let [stdout, stderr] = outputs.map(|output| String::from_utf8_lossy(&output.bytes).into_owned());
    Ok(Ended { status, stdout, stderr, took, first_byte })
}

/// Runs a command whose standard output is given; what it leaves running keeps it.
pub(crate) fn run_with_stdout(
    command: &mut Command,
    stdout: Stdio,
    limit: Duration,
) -> Result<Duration, Failure> {
    // A pipe would be held open by what stays; a file holds an error's text just as well.
    let mut said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(said.try_clone()?).process_group(0);
    let began = Instant::now();
    let child = command.spawn();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let process = process(child.id())?;
    while !look(&process, [])? {
        if began.elapsed() >= limit || stop::wanted() {
            return Err(give_up(&mut child, limit));
        }
    }
    let took = began.elapsed();
    let status = child.wait()?;
    let mut stderr = String::new();
    if !status.success() {
        io::Seek::rewind(&mut said)?;
        // What is no text tells nothing.
        let _ = said.read_to_string(&mut stderr);
    }
    Ended { status, stdout: String::new(), stderr, took, first_byte: None }.success()?;
    Ok(took)
}

/// Waits for the end of a process that need not be a child.
pub(crate) fn wait_for(pid: u32, limit: Duration) -> Result<(), Failure> {
    // One that is gone already has no descriptor.
    let Ok(process) = process(pid) else { return Ok(()) };
    let began = Instant::now();
    while !look(&process, [])? {
        if began.elapsed() >= limit || stop::wanted() {
            return Err(if stop::wanted() { Failure::Interrupted } else { Failure::Hung(limit) });
        }
    }
    Ok(())
}

/// Waits for the first byte of a pipe.
pub(crate) fn wait_for_byte(pipe: &mut PipeReader, limit: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        poll_briefly(&mut fds)?;
        if !fds[0].revents().is_empty() {
            let count = pipe.read(&mut [0])?;
            return if count == 1 {
                Ok(())
            } else {
                Err(Failure::Failed("the program ended unheard".to_owned()))
            };
        }
        if stop::wanted() {
            return Err(Failure::Interrupted);
        }
        if began.elapsed() >= limit {
            return Err(Failure::Hung(limit));
        }
    }
}

fn process(pid: u32) -> Result<OwnedFd, Failure> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed())
        .ok_or_else(|| Failure::Failed("no process".to_owned()))?;
    Ok(pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?)
}

/// Waits a moment for one of these; true when the process has ended.
fn look<'a>(process: &OwnedFd, pipes: impl IntoIterator<Item = &'a PipeReader>) -> Result<bool, Failure> {
    let mut fds = vec![PollFd::new(process, PollFlags::IN)];
    fds.extend(pipes.into_iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    poll_briefly(&mut fds)?;
    Ok(fds.first().is_some_and(|process| !process.revents().is_empty()))
}

fn poll_briefly(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    let limit = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    match poll(fds, Some(&limit)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One end of a pipe that is read without waiting.
struct Stream {
    pipe: PipeReader,
    bytes: Vec<u8>,
    open: bool,
}

impl Stream {
    fn new(pipe: PipeReader) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, bytes: Vec::new(), open: true })
    }

    /// Reads what is there.
    fn take(&mut self) {
        let mut part = [0; 16384];
        while self.open {
            match self.pipe.read(&mut part) {
                Ok(0) => self.open = false,
                Ok(count) if self.bytes.len() < MOST_OUTPUT => self.bytes.extend(part.iter().take(count)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.open = error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
    }
}

/// Ends a command that took too long, or that the user does not want any more, with all that it started.
fn give_up(child: &mut Child, limit: Duration) -> Failure {
    kill_descendants();
    let _ = child.kill();
    // Only to reap it.
    let _ = child.wait();
    if stop::wanted() { Failure::Interrupted } else { Failure::Hung(limit) }
}

/// Kills all that this benchmark has started.
pub(crate) fn kill_descendants() {
    for _ in 0..100 {
        let found = started();
        if found.is_empty() {
            return;
        }
        for pid in found {
            // It may be gone already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All processes that this benchmark has started and that still are.
pub(crate) fn started() -> Vec<i32> {
    let own = std::process::id().cast_signed();
    descendants(reaper::root()).into_iter().filter(|pid| *pid != own).collect()
}

/// All processes below one.
pub(crate) fn descendants(root: u32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root.cast_signed()];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// All processes of the host.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are: state, parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
