//! OCI runtimes as the tests drive them: runc as the control, and Palisade.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::bundle::Bundle;
use crate::host_state::HostState;
use crate::process::{self, Finished};
use crate::{paths, roots, runner};

/// How long what is about to happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is left behind, and how fast something is, can be told only when nothing else runs. What is orphaned comes to
/// this process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    set_child_subreaper(true).expect("prctl");
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An id that no other test uses, and that the search for what is left behind finds.
pub fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("palisade-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The program of the control.
pub fn runc() -> PathBuf {
    "runc".into()
}

/// The runtimes to be tried: runc first.
pub fn runtimes() -> Vec<PathBuf> {
    [runc()].into_iter().chain(paths::palisade_is_wanted().then(paths::palisade)).collect()
}

/// Runs a bundle to its end.
pub fn run(runtime: &Path, bundle: &Bundle) -> Finished {
    process::run(Command::new(runtime).args(["run", "--bundle"]).arg(bundle.path()).arg(new_id()), b"")
}

/// Runs a bundle under runc and under Palisade; output and status have to be equal.
pub fn same(bundle: &Bundle) -> Finished {
    let _alone = alone();
    let control = run(&runc(), bundle);
    println!("{control:?}");
    if paths::palisade_is_wanted() {
        let before = HostState::now();
        let palisade = run(&paths::palisade(), bundle);
        runner::assert_equal(&control, &palisade);
        before.assert_nothing_left("a run");
    }
    control
}

/// A container in the background, removed with this value.
pub struct Running<'a> {
    runtime: &'a Path,
    pub id: String,
}

impl<'a> Running<'a> {
    pub fn start(runtime: &'a Path, bundle: &Bundle) -> Self {
        let running = Self { runtime, id: new_id() };
        let mut command = Command::new(runtime);
        command.args(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(&running.id);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("the runtime runs");
        assert!(status.success(), "{}: {status}", runtime.display());
        running
    }

    /// Runs a command on it: its words with `{}` for the id.
    pub fn ask(&self, words: &[&str]) -> Finished {
        let words = words.iter().map(|word| word.replace("{}", &self.id));
        process::run(Command::new(self.runtime).args(words), b"")
    }

    pub fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.ask(&["state", "{}"]).stdout).expect("a state is JSON");
        state["status"].as_str().expect("a status").to_owned()
    }

    pub fn stats(&self) -> Value {
        let done = self.ask(&["events", "--stats", "{}"]);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// The CPU time that it has used so far.
    pub fn cpu_time(&self) -> Duration {
        let stats = self.stats();
        Duration::from_nanos(stats["data"]["cpu"]["usage"]["total"].as_u64().expect("a number"))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&["delete", "--force", "{}"]);
    }
}

/// A runtime with a state directory of its own.
pub struct Runtime {
    pub program: PathBuf,
    pub root: TempDir,
}

impl Drop for Runtime {
    /// What a failed test leaves behind ends, lest it disturb all others.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.root.path()).into_iter().flatten().flatten() {
            let id = entry.file_name();
            let _ = self.command(&["delete", "--force"]).arg(id).stdin(Stdio::null()).status();
        }
    }
}

impl Runtime {
    pub fn new(program: PathBuf) -> Self {
        Self { program, root: tempfile::tempdir().expect("/tmp is writable") }
    }

    pub fn palisade() -> Self {
        Self::new(paths::palisade())
    }

    pub fn name(&self) -> String {
        self.program.display().to_string()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root.path()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Finished {
        process::run(&mut self.command(arguments), b"")
    }

    pub fn ok(&self, arguments: &[&str]) -> Finished {
        let done = self.run(arguments);
        assert_eq!(done.status, 0, "{} {arguments:?}: {done:?}", self.name());
        done
    }

    /// Creates a container; its streams are null, so that no pipe of the test outlives the command.
    pub fn create(&self, bundle: &Bundle, id: &str, options: &[&str]) -> i32 {
        let mut command = self.command(&["create", "--bundle", &bundle.path().display().to_string()]);
        command.args(options).arg(id);
        quiet(&mut command)
    }

    pub fn state(&self, id: &str) -> Value {
        let done = self.run(&["state", id]);
        if done.status != 0 {
            Value::Null
        } else {
            serde_json::from_str(&done.stdout).expect("state is JSON")
        }
    }

    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap_or("none").to_owned()
    }

    pub fn wait_for(&self, id: &str, status: &str) {
        eventually(&format!("{}: {id} is {status}", self.name()), || self.status(id) == status);
    }

    /// Waits until a script has done [`READY`].
    pub fn wait_ready(&self, id: &str) {
        self.wait_inside(id, "test -e /tmp/ready");
    }

    /// Waits until a script that is run in a container succeeds.
    pub fn wait_inside(&self, id: &str, script: &str) {
        let what = format!("{}: {script} in {id}", self.name());
        eventually(&what, || self.run(&["exec", id, "sh", "-c", script]).status == 0);
    }

    pub fn pid(&self, id: &str) -> Pid {
        let pid = self.state(id)["pid"].as_i64().expect("a pid");
        Pid::from_raw(i32::try_from(pid).expect("a pid"))
    }

    /// How many containers there are.
    pub fn ids(&self) -> usize {
        fs::read_dir(self.root.path()).expect("it is ours").count()
    }
}

/// Runs a command without streams; its status.
pub fn quiet(command: &mut Command) -> i32 {
    process::shell_status(spawn_quiet(command).wait().expect("it is ours"))
}

/// Starts a command without streams.
pub fn spawn_quiet(command: &mut Command) -> std::process::Child {
    process::default_signals();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("it starts")
}

/// Does the same with runc and with Palisade, and compares what `test` returns.
pub fn both<T: PartialEq + std::fmt::Debug>(test: impl Fn(&Runtime) -> T) {
    let _alone = alone();
    let control = test(&Runtime::new(runc()));
    println!("{control:?}");
    if paths::palisade_is_wanted() {
        let before = HostState::now();
        let runtime = Runtime::palisade();
        assert_eq!(control, test(&runtime));
        assert_eq!(runtime.ids(), 0, "state is left");
        before.assert_nothing_left("a life");
    }
}

/// What only Palisade does.
pub fn ours(test: impl Fn(&Runtime)) {
    if !paths::palisade_is_wanted() {
        return;
    }
    let _alone = alone();
    let before = HostState::now();
    let runtime = Runtime::palisade();
    test(&runtime);
    assert_eq!(runtime.ids(), 0, "state is left");
    before.assert_nothing_left("the test");
}

/// A bundle on the busybox root that runs a script.
pub fn busybox_shell(script: &str) -> Bundle {
    Bundle::new(&roots::busybox(), &["/bin/sh", "-c", script])
}

/// A bundle on the Debian root that runs a script.
pub fn debian_shell(script: &str) -> Bundle {
    Bundle::new(&roots::debian(), &["bash", "-c", script])
}

/// What a script says when it is ready for signals: [`Runtime::wait_ready`] sees it.
pub const READY: &str = ": >/tmp/ready";

/// A bundle that runs until it is ended; USR1 ends it with 3.
pub fn sleeper() -> Bundle {
    busybox_shell(&format!("trap 'exit 3' USR1; {READY}; while :; do sleep 0.1; done"))
}

/// The end of a process that was left to this one, its subreaper.
pub fn end_of(pid: i32) -> i32 {
    match waitpid(Pid::from_raw(pid), None).expect("it is our child by now") {
        WaitStatus::Exited(_, status) => status,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("{other:?}"),
    }
}

/// Reaps what was left to this process; not while it has children of its own.
pub fn reap_orphans() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// Reaps what was left to this process, until `pid` is among it. A process that was put into a pid namespace from
/// outside holds up the end of its init until it has been reaped.
pub fn reap_until_gone(pid: Pid) {
    eventually("a guest ends with its supervisor", || {
        reap_orphans();
        kill(pid, None).is_err()
    });
}

/// What a pid file says.
pub fn read_pid(path: &Path) -> i32 {
    fs::read_to_string(path).expect("a pid file").trim().parse().expect("a number")
}
