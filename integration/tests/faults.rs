//! `kill -9` of the shim, the supervisor or the container's processes at every step of a life behind containerd: the
//! task is never stuck, and nothing is left.
//!
//! A step is held by a hook that waits for a file, so that the kill comes in the middle of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use integration::containerd::{Containerd, PALISADE};
use integration::{paths, roots};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Whom the test kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Shim,
    Supervisor,
    Guests,
}

const VICTIMS: [Victim; 3] = [Victim::Shim, Victim::Supervisor, Victim::Guests];

impl Victim {
    fn processes(self, containerd: &Containerd, id: &str) -> Vec<i32> {
        match self {
            Self::Shim => containerd.processes("containerd-shim"),
            Self::Supervisor => containerd.processes("supervise"),
            Self::Guests => containerd.guests(id),
        }
    }

    /// Kills at least one.
    fn kill(self, containerd: &Containerd, id: &str) {
        containerd
            .eventually(&format!("{self:?} of {id} is there"), || !self.processes(containerd, id).is_empty());
        for pid in self.processes(containerd, id) {
            // It may have gone with another of them.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A container of a test.
struct Case<'a> {
    containerd: &'a Containerd,
    id: String,
    dir: PathBuf,
}

impl<'a> Case<'a> {
    fn new(containerd: &'a Containerd, id: String) -> Self {
        let dir = containerd.scratch().join(&id);
        fs::create_dir(&dir).expect("a directory");
        Self { containerd, id, dir }
    }

    /// `ctr run` of a shell script, detached, with a hook of this kind that waits until [`Case::release`].
    fn run(&self, script: &str, hook: Option<&str>) -> Child {
        let spec = self.containerd.must(&["oci", "spec"]);
        let mut spec: Value = serde_json::from_str(&spec).expect("JSON");
        spec["root"] = json!({ "path": roots::busybox(), "readonly": true });
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["linux"]["cgroupsPath"] = json!(format!("{}/{}", self.containerd.cgroup_parent(), self.id));
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["destination"] != "/run");
        if let Some(kind) = hook {
            let dir = self.dir.display();
            let wait = format!("touch {dir}/held; until [ -e {dir}/go ]; do sleep 0.05; done");
            spec["hooks"] = json!({ kind: [{ "path": "/bin/sh", "args": ["sh", "-c", wait] }] });
        }
        let file = self.dir.join("spec.json");
        fs::write(&file, spec.to_string()).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let args = ["run", "-d", "--null-io", "--runtime", PALISADE, "--config", file, &self.id];
        self.start(&args)
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command: Command = self.containerd.ctr_command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("ctr")
    }

    fn wait_held(&self) {
        self.containerd.eventually("the hook is reached", || self.dir.join("held").exists());
    }

    fn release(&self) {
        fs::write(self.dir.join("go"), "").expect("a file");
    }

    /// Removes what containerd still has of it, and looks for the rest.
    fn remove(&self, what: &str) {
        self.release();
        self.containerd.eventually(&format!("{what}: the container can be removed"), || {
            let _ = self.containerd.ctr(&["task", "kill", "-s", "KILL", &self.id]);
            let _ = self.containerd.ctr(&["task", "rm", "-f", &self.id]);
            let _ = self.containerd.ctr(&["container", "rm", &self.id]);
            !self.containerd.must(&["container", "ls", "-q"]).lines().any(|line| line == self.id)
                && self.containerd.task(&self.id).is_none()
        });
        self.containerd.assert_clean();
    }
}

/// Waits for a ctr; whether it succeeded.
fn finish(containerd: &Containerd, mut child: Child) -> bool {
    let mut ended = None;
    containerd.eventually("ctr ends", || {
        ended = child.try_wait().expect("it is ours");
        ended.is_some()
    });
    ended.is_some_and(|status| status.success())
}

fn each_victim(victims: &[Victim], step: &str, test: impl Fn(&Case<'_>, Victim)) {
    if !paths::palisade_is_wanted() {
        return;
    }
    let containerd = Containerd::start();
    for &victim in victims {
        let case = Case::new(&containerd, format!("{step}-{victim:?}").to_lowercase());
        test(&case, victim);
        case.remove(&format!("{victim:?} killed at {step}"));
    }
}

#[test]
fn killed_while_a_container_is_created() {
    each_victim(&VICTIMS, "create", |case, victim| {
        let ctr = case.run("exec sleep 1000", Some("createRuntime"));
        case.wait_held();
        victim.kill(case.containerd, &case.id);
        // A hook of the host outlives what started it; it is over when it is let go.
        case.release();
        finish(case.containerd, ctr);
    });
}

#[test]
fn killed_while_a_container_runs() {
    each_victim(&VICTIMS, "running", |case, victim| {
        assert!(finish(case.containerd, case.run("exec sleep 1000", None)));
        victim.kill(case.containerd, &case.id);
        case.containerd.eventually("containerd hears of it", || {
            case.containerd.task(&case.id).is_none_or(|(_, status)| status == "STOPPED")
        });
    });
}

#[test]
fn killed_while_a_container_starts() {
    each_victim(&VICTIMS, "start", |case, victim| {
        let ctr = case.run("exec sleep 1000", Some("poststart"));
        case.wait_held();
        victim.kill(case.containerd, &case.id);
        case.release();
        finish(case.containerd, ctr);
    });
}

#[test]
fn killed_while_a_process_joins() {
    each_victim(&VICTIMS, "exec", |case, victim| {
        assert!(finish(case.containerd, case.run("exec sleep 1000", None)));
        let ctr = case.start(&["task", "exec", "--exec-id", "x", &case.id, "sleep", "1000"]);
        case.containerd.eventually("it runs", || case.containerd.guests(&case.id).len() == 2);
        victim.kill(case.containerd, &case.id);
        finish(case.containerd, ctr);
    });
}

#[test]
fn killed_while_a_signal_is_handled() {
    each_victim(&VICTIMS, "kill", |case, victim| {
        assert!(finish(case.containerd, case.run("trap 'sleep 999' TERM; sleep 1000 & wait", None)));
        // The shell has its trap once it has its child.
        case.containerd.eventually("it waits", || case.containerd.guests(&case.id).len() == 2);
        case.containerd.must(&["task", "kill", "-s", "TERM", &case.id]);
        case.containerd.eventually("it handles", || case.containerd.guests(&case.id).len() >= 3);
        victim.kill(case.containerd, &case.id);
    });
}

#[test]
fn killed_while_a_container_is_deleted() {
    each_victim(&[Victim::Shim, Victim::Supervisor], "delete", |case, victim| {
        assert!(finish(case.containerd, case.run("exec sleep 1000", Some("poststop"))));
        case.containerd.must(&["task", "kill", "-s", "KILL", &case.id]);
        case.containerd.expect_status(&case.id, "STOPPED");
        let ctr = case.start(&["task", "rm", &case.id]);
        case.wait_held();
        victim.kill(case.containerd, &case.id);
        case.release();
        finish(case.containerd, ctr);
    });
}

/// With containerd dead as well nobody cleans up: the guests end all the same.
#[test]
fn guests_end_with_their_shim() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let mut containerd = Containerd::start();
    let case = Case::new(&containerd, "alone".to_owned());
    assert!(finish(&containerd, case.run("exec sleep 1000", None)));
    let (id, guests) = (case.id.clone(), containerd.guests(&case.id));
    assert!(!guests.is_empty());
    containerd.while_down(|containerd| {
        Victim::Shim.kill(containerd, &id);
        containerd.eventually("supervisor and guests end", || {
            containerd.processes("supervise").is_empty() && containerd.guests(&id).is_empty()
        });
    });
    let case = Case { containerd: &containerd, id, dir: containerd.scratch().join("alone") };
    case.remove("the shim killed while containerd was down");
}
