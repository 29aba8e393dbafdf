//! `palisade run` of OCI bundles: the same as under runc, where runc runs here.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::bundle::Bundle;
use integration::host_state::HostState;
use integration::process::{self, Finished};
use integration::{paths, roots, runner};
use serde_json::json;

/// An id that no other test uses.
fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

static ALONE: Mutex<()> = Mutex::new(());

fn run(runtime: &Path, bundle: &Bundle) -> Finished {
    process::run(Command::new(runtime).args(["run", "--bundle"]).arg(bundle.path()).arg(new_id()), b"")
}

/// Runs a bundle under runc and under Palisade; output and status have to be equal.
fn same(bundle: &Bundle) -> Finished {
    // What is left behind can be told only when nothing else runs.
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let control = run(Path::new("runc"), bundle);
    println!("{control:?}");
    if paths::palisade_is_wanted() {
        let before = HostState::now();
        let palisade = run(&paths::palisade(), bundle);
        runner::assert_equal(&control, &palisade);
        before.assert_nothing_left("a run");
    }
    control
}

fn shell(script: &str) -> Bundle {
    Bundle::new(&roots::debian(), &["bash", "-c", script])
}

#[test]
fn process_settings_arrive() {
    let bundle = shell("pwd; id; env | sort; ulimit -n; uname -n; umask; echo $$; grep -E '^(NoNewPrivs|Seccomp)' /proc/self/status | grep NoNew")
        .with(|config| {
            config["process"]["cwd"] = json!("/usr/share");
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [1002, 1003], "umask": 0o27 });
            config["process"]["env"] = json!(["A=1", "B=two words", "PATH=/usr/bin:/bin", "HOME=/"]);
            config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
        });
    let done = same(&bundle);
    assert!(done.stdout.starts_with("/usr/share\nuid=1000 gid=1001 groups=1001,1002,1003\n"), "{done:?}");
    assert!(done.stdout.contains("\n100\nbox\n0027\n1\n"), "{done:?}");
}

#[test]
fn capabilities_are_those_of_the_bundle() {
    let done = same(&shell("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status"));
    assert!(done.stdout.contains("CapEff:\t0000000020000420"), "{done:?}");
}

#[test]
fn read_only_root_refuses_and_mounts_accept() {
    let done = same(&shell(
        "touch /x 2>&1; echo $?; touch /tmp/x /dev/shm/y && echo ok; mkdir /etc/x 2>&1; rm /etc/passwd 2>&1",
    ));
    assert!(done.stdout.contains("Read-only file system\n1\nok\n"), "{done:?}");
}

#[test]
fn mounts_show() {
    let done = same(&shell(
        "awk '{ print $2, $3 }' /proc/mounts | grep -E '^/(dev/shm|tmp|proc|dev|dev/pts) ' | sort",
    ));
    assert_eq!(done.stdout.lines().count(), 5, "{done:?}");
}

#[test]
fn bind_mounts_show_host_files() {
    let dir = tempfile::tempdir().expect("/tmp is writable");
    std::fs::write(dir.path().join("f"), "from the host\n").expect("it is ours");
    let bundle = shell("cat /mnt/f; touch /mnt/g 2>&1; echo $?").with(|config| {
        let mount = json!({ "destination": "/mnt", "type": "bind", "source": dir.path(), "options": ["rbind", "ro"] });
        config["mounts"].as_array_mut().expect("an array").push(mount);
    });
    let done = same(&bundle);
    assert!(done.stdout.starts_with("from the host\n"), "{done:?}");
}

#[test]
fn statuses_pass_through() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 42", 42),
        ("kill -KILL $$; exit 3", 3),
        ("{ bash -c 'kill -SEGV $$'; } 2>/dev/null; exit $?", 139),
    ] {
        assert_eq!(same(&shell(script)).status, status, "{script}");
    }
}

#[test]
fn pid_one_reaps_and_takes_its_namespace_with_it() {
    let done = same(&shell("echo $$; sleep 1000 & (sleep 0.1 &) ; sleep 0.3; ls -d /proc/[0-9]* | wc -l"));
    assert_eq!(done.status, 0, "{done:?}");
}

#[test]
fn missing_program_fails() {
    let bundle = Bundle::new(&roots::debian(), &["/no/such/program"]);
    let control = run(Path::new("runc"), &bundle);
    assert_ne!(control.status, 0, "{control:?}");
    if paths::palisade_is_wanted() {
        let done = run(&paths::palisade(), &bundle);
        assert!(done.status != 0 && done.stderr.contains("/no/such/program"), "{done:?}");
    }
}

#[test]
fn busybox_bundle_runs() {
    let done = same(&Bundle::new(&roots::busybox(), &["/bin/sh", "-c", "echo hello; ls /; cat /etc/passwd"]));
    assert!(done.stdout.starts_with("hello\n"), "{done:?}");
}
