//! Runs `palisade-bench` with fake runtimes in a directory of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a fake runtime does on `run`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fake {
    /// As sleep(1) says it.
    Sleeps(&'static str),
    /// Says that a null call takes so many nanoseconds, and up to six more.
    Says(u32),
    Fails,
    /// For good, with a child that does not notice.
    Hangs,
}

/// One benchmark at a time, with what it needs and what it wrote.
pub(crate) struct Bench {
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// report.json.
pub(crate) struct Report {
    pub(crate) json: Value,
}

impl Bench {
    pub(crate) fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { dir: tempfile::tempdir().expect("a scratch directory"), _alone: alone }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn report_file(&self) -> PathBuf {
        self.dir().join("out/report.json")
    }

    /// Makes a runtime; `name=path` for --runtimes. It writes down each verb that it is called with.
    pub(crate) fn runtime(&self, name: &str, fake: Fake) -> String {
        let path = self.dir().join(name);
        let body = match fake {
            Fake::Sleeps(seconds) => format!("sleep {seconds}"),
            Fake::Says(least) => {
                format!("echo figure null $(({least} + $(wc -l <{}/calls) % 7))", self.dir().display())
            }
            Fake::Fails => "echo first >&2; echo the disk is on fire >&2; exit 7".to_owned(),
            // The directory's name tells these processes from all others.
            Fake::Hangs => format!(
                "setsid sh -c 'while :; do sleep 1000; done; : {}' & sleep 1000; wait",
                self.dir().display()
            ),
        };
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo fake 1.0; exit; }}\n\
             echo {name} $1 >>{}/calls\n[ \"$1\" = run ] || exit 0\n{body}\n",
            self.dir().display()
        );
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        format!("{name}={}", path.display())
    }

    /// Which runtimes were called with a verb, in order.
    pub(crate) fn calls(&self, verb: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir().join("calls")).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_suffix(verb)).map(|name| name.trim().to_owned()).collect()
    }

    /// The tool itself.
    pub(crate) fn tool(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade-bench"));
        command.args(args).stdin(Stdio::null());
        command
    }

    /// As [`Bench::tool`], with a cache and a directory for reports.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.tool(args);
        command.arg("--cache").arg(self.dir().join("cache")).arg("--out").arg(self.dir().join("out"));
        command
    }

    /// Measures. Who else measures on this machine is waited for.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let until = Instant::now() + PATIENCE;
        loop {
            let done = done(&mut self.command(args));
            if !done.stderr.contains("another benchmark runs") || Instant::now() > until {
                return done;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub(crate) fn report(&self) -> Report {
        let text = fs::read_to_string(self.report_file()).expect("report.json");
        Report { json: serde_json::from_str(&text).expect("JSON") }
    }

    /// Panics if a process is left that names this directory.
    pub(crate) fn assert_nothing_left(&self) {
        let dir = self.dir().display().to_string();
        let names = |entry: fs::DirEntry| {
            let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).unwrap_or_default())
                .into_owned();
            line.contains(&dir).then_some(line)
        };
        eventually("all processes are gone", || {
            let left: Vec<_> =
                fs::read_dir("/proc").unwrap().filter_map(|entry| names(entry.ok()?)).collect();
            left.is_empty()
        });
    }
}

impl Report {
    pub(crate) fn figures(&self) -> &[Value] {
        self.json["figures"].as_array().expect("figures")
    }

    /// A runtime's outcome in the figure of this name.
    pub(crate) fn outcome(&self, figure: &str, runtime: &str) -> &Value {
        let figure = self.figures().iter().find(|other| other["name"] == figure).expect("the figure");
        let mut results = figure["results"].as_array().expect("results").iter();
        results.find(|outcome| outcome["runtime"] == runtime).expect("the runtime")
    }
}

/// Runs a command to its end.
pub(crate) fn done(command: &mut Command) -> Done {
    let output = command.output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
