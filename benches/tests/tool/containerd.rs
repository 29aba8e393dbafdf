//! Runtimes behind a containerd of the test's own.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::harness::{Bench, eventually};

/// A containerd, ended with this value.
struct Containerd(Child);

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn runc_behind_containerd_gives_figures_and_leaves_nothing() {
    let bench = Bench::new();
    let dir = bench.dir().display();
    let socket = format!("{dir}/c.sock");
    let config = format!(
        "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{socket}\"\n[ttrpc]\naddress = \"{socket}.ttrpc\"\n"
    );
    fs::write(bench.dir().join("config.toml"), config).unwrap();
    let mut command = Command::new("containerd");
    command
        .arg("-c")
        .arg(bench.dir().join("config.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let containerd = Containerd(command.spawn().expect("containerd (apt-get install containerd)"));
    let ctr =
        |words: &[&str]| Command::new("ctr").args(["--address", &socket]).args(words).output().expect("ctr");
    eventually("containerd answers", || ctr(&["version"]).status.success());
    let via = format!("containerd={socket}");
    let suites = ["start/start-to-exit", "start/exec", "pods/pod", "--runs", "1", "--quick"];
    let run = bench.run(&[&suites[..], &["--runtimes", "native,runc", "--via", &via]].concat());
    assert_eq!(run.status, Some(0), "{run:?}");
    let report = bench.report();
    for figure in ["start-to-exit", "exec", "pod-start", "pod-exec", "pod-remove", "pod-pss"] {
        let outcome = report.outcome(figure, "runc");
        assert_eq!(outcome["samples"].as_array().unwrap().len(), 1, "{figure}: {outcome}");
    }
    let left = String::from_utf8_lossy(&ctr(&["namespace", "ls", "--quiet"]).stdout).into_owned();
    assert_eq!(left.trim(), "", "{left}");
    drop(containerd);
    bench.assert_nothing_left();
}
