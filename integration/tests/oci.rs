//! `palisade run` of OCI bundles: the same as under runc, where runc runs here.

use std::path::Path;
use std::process::Command;

use integration::bundle::Bundle;
use integration::runtime::{debian_shell, new_id, run, same};
use integration::{paths, roots};
use serde_json::json;

#[test]
fn process_settings_arrive() {
    let bundle = debian_shell("pwd; id; env | sort; ulimit -n; uname -n; umask; echo $$; grep -E '^(NoNewPrivs|Seccomp)' /proc/self/status | grep NoNew")
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
    let done = same(&debian_shell("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status"));
    assert!(done.stdout.contains("CapEff:\t0000000020000420"), "{done:?}");
}

#[test]
fn read_only_root_refuses_and_mounts_accept() {
    let done = same(&debian_shell(
        "touch /x 2>&1; echo $?; touch /tmp/x /dev/shm/y && echo ok; mkdir /etc/x 2>&1; rm /etc/passwd 2>&1",
    ));
    assert!(done.stdout.contains("Read-only file system\n1\nok\n"), "{done:?}");
}

#[test]
fn mounts_show() {
    let done = same(&debian_shell(
        "awk '{ print $2, $3 }' /proc/mounts | grep -E '^/(dev/shm|tmp|proc|dev|dev/pts) ' | sort",
    ));
    assert_eq!(done.stdout.lines().count(), 5, "{done:?}");
}

#[test]
fn bind_mounts_show_host_files() {
    let dir = tempfile::tempdir().expect("/tmp is writable");
    std::fs::write(dir.path().join("f"), "from the host\n").expect("it is ours");
    let bundle = debian_shell("cat /mnt/f; touch /mnt/g 2>&1; echo $?").with(|config| {
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
        assert_eq!(same(&debian_shell(script)).status, status, "{script}");
    }
}

#[test]
fn pid_one_reaps_and_takes_its_namespace_with_it() {
    let done =
        same(&debian_shell("echo $$; sleep 1000 & (sleep 0.1 &) ; sleep 0.3; ls -d /proc/[0-9]* | wc -l"));
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

#[test]
fn writable_root_is_written_on_the_host() {
    use std::os::unix::fs::MetadataExt;
    let root = tempfile::tempdir().expect("/tmp is writable");
    let copied = Command::new("cp").arg("-a").arg(roots::busybox().join(".")).arg(root.path()).status();
    assert!(copied.expect("cp starts").success());
    let script = "mkdir -m 711 /w && cd /w && echo one > a && chmod 640 a && chown 7:8 a && ln a b && ln -s a s && \
        mv b c && mkfifo p && echo two >> c && touch -d '2020-01-02 03:04:05' a && cat s && ls -ln | wc -l";
    let bundle = Bundle::new(root.path(), &["/bin/sh", "-c", script]).with(|config| {
        config["root"]["readonly"] = json!(false);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"]);
        }
    });
    let runtime = if paths::palisade_is_wanted() { paths::palisade() } else { "runc".into() };
    let done = run(&runtime, &bundle);
    assert_eq!((done.stdout.as_str(), done.status), ("one\ntwo\n5\n", 0), "{done:?}");
    let at = |name: &str| root.path().join("w").join(name).symlink_metadata().expect("it was made");
    let file = at("a");
    assert_eq!((file.uid(), file.gid(), file.mode(), file.nlink()), (7, 8, 0o100_640, 2));
    assert_eq!(file.mtime(), 1_577_934_245);
    assert_eq!(
        (at("c").ino(), at("s").mode() & 0o170_000, at("p").mode() & 0o170_000),
        (file.ino(), 0o120_000, 0o10_000)
    );
    assert_eq!(root.path().join("w").metadata().expect("it was made").mode(), 0o40_711);
    assert!(!root.path().join("w/b").exists());
}

#[test]
fn configuration_of_runc_spec_runs_as_it_is() {
    let dir = tempfile::tempdir().expect("/tmp is writable");
    let made = Command::new("runc").args(["spec", "--bundle"]).arg(dir.path()).status();
    assert!(made.expect("runc starts (apt install runc)").success());
    let text = std::fs::read_to_string(dir.path().join("config.json")).expect("runc made it");
    let spec: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let script = "id; hostname; ulimit -n; grep Cap /proc/self/status; ls -A /sys/firmware; cat /proc/keys; \
        echo x > /proc/sys/kernel/hostname; touch /x /sys/x; touch /dev/shm/x /dev/mqueue/x && echo made";
    let bundle = Bundle::new(&roots::busybox(), &[]).with(|config| {
        let root = config["root"]["path"].clone();
        *config = spec;
        config["root"]["path"] = root;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    let control = run(Path::new("runc"), &bundle);
    assert!(control.stdout.ends_with("made\n"), "{control:?}");
    if paths::palisade_is_wanted() {
        let done = run(&paths::palisade(), &bundle);
        assert_eq!(done.stdout, control.stdout, "{done:?}");
        assert!(done.stderr.contains("hostname: Read-only file system"), "{done:?}");
    }
}

#[test]
fn mount_options_count() {
    let script = "cat /proc/mounts | grep /mnt/ | cut -d' ' -f2,3 | sort; stat -c '%a %u %g' /mnt/t; \
        head -c 100000 /dev/zero > /mnt/t/f 2>/dev/null; echo $?; stat -c %s /mnt/t/f; \
        cp /bin/true /mnt/t/true 2>/dev/null; /mnt/t/true 2>/dev/null; echo $?; cat /mnt/f; echo x > /mnt/f; cat /mnt/f";
    let dir = tempfile::tempdir().expect("/tmp is writable");
    std::fs::write(dir.path().join("f"), "before\n").expect("it is ours");
    let root = tempfile::tempdir().expect("/tmp is writable");
    let copied = Command::new("cp").arg("-a").arg(roots::busybox().join(".")).arg(root.path()).status();
    assert!(copied.expect("cp starts").success());
    let bundle = Bundle::new(root.path(), &["/bin/sh", "-c", script]).with(|config| {
        config["root"]["readonly"] = json!(false);
        let mounts = config["mounts"].as_array_mut().expect("an array");
        mounts.push(json!({ "destination": "/mnt/t", "type": "tmpfs", "source": "t",
            "options": ["size=64k", "mode=750", "uid=0", "gid=6", "noexec"] }));
        mounts.push(json!({ "destination": "/mnt/f", "type": "bind", "source": dir.path().join("f"), "options": ["bind"] }));
    });
    let control = run(Path::new("runc"), &bundle);
    assert_eq!(std::fs::read_to_string(dir.path().join("f")).expect("it is there"), "x\n");
    std::fs::write(dir.path().join("f"), "before\n").expect("it is ours");
    if paths::palisade_is_wanted() {
        let done = run(&paths::palisade(), &bundle);
        let without_types = |text: &str| {
            text.lines().filter(|line| !line.starts_with("/mnt/f ")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_types(&done.stdout), without_types(&control.stdout), "{done:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join("f")).expect("it is there"), "x\n");
    }
}

#[test]
fn pid_one_ignores_signals_without_a_handler() {
    let done = same(&debian_shell(
        "kill -TERM $$; kill -INT $$; kill -USR1 $$; echo alive; trap 'echo trapped; exit 9' TERM; kill -TERM $$",
    ));
    assert_eq!((done.stdout.as_str(), done.status), ("alive\ntrapped\n", 9), "{done:?}");
}

#[test]
fn termination_request_reaches_the_program() {
    use std::io::{BufRead, BufReader};
    if !paths::palisade_is_wanted() {
        return;
    }
    let bundle = debian_shell("trap 'echo bye; exit 33' TERM; echo up; while :; do sleep 0.05; done");
    let mut command = Command::new(paths::palisade());
    command.args(["run", "--bundle"]).arg(bundle.path()).arg(new_id()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("up"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("it runs");
    assert_eq!(lines.next().as_deref(), Some("bye"));
    assert_eq!(child.wait().expect("it ends").code(), Some(33));
}

#[test]
fn every_status_passes_through() {
    for status in [1, 2, 77, 125, 126, 127, 128, 129, 200, 255] {
        assert_eq!(
            same(&Bundle::new(&roots::busybox(), &["/bin/sh", "-c", &format!("exit {status}")])).status,
            status
        );
    }
}
