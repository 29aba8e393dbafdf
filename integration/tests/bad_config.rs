//! Configurations and bundles that are wrong or mean harm: one line that names the field, also in the log, exit status
//! 1, and nothing left behind, in the container's root or outside of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use integration::bundle::Bundle;
use integration::process::{self, Finished};
use integration::roots;
use integration::runtime::{Runtime, new_id, ours};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};

/// A configuration with about everything that can be asked for; it runs.
fn full() -> Bundle {
    Bundle::new(&roots::busybox(), &["/bin/true", "argument"]).with(|config| {
        let hook = json!([{ "path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5 }]);
        config["domainname"] = json!("domain");
        config["annotations"] = json!({ "a": "b" });
        config["hooks"] =
            json!({ "prestart": hook, "createRuntime": hook, "poststart": hook, "poststop": hook });
        let process = &mut config["process"];
        process["user"] = json!({ "uid": 0, "gid": 0, "umask": 18, "additionalGids": [5] });
        process["oomScoreAdj"] = json!(100);
        process["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 3 });
        process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        process["consoleSize"] = json!({ "height": 25, "width": 80 });
        let linux = &mut config["linux"];
        linux["cgroupsPath"] = json!(format!("/palisade-test/{}", new_id()));
        linux["sysctl"] = json!({ "kernel.msgmax": "9999" });
        linux["rootfsPropagation"] = json!("private");
        linux["personality"] = json!({ "domain": "LINUX" });
        linux["devices"] = json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 432,
            "uid": 0, "gid": 4 }]);
        linux["resources"] = json!({
            "memory": { "limit": 64 << 20, "swappiness": 10 }, "pids": { "limit": 50 },
            "cpu": { "shares": 512, "quota": 50_000, "period": 100_000 },
            "devices": [{ "allow": false, "access": "rwm" }],
        });
        linux["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                "args": [{ "index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] }],
        });
    })
}

/// The places of all values below `value`, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    if !at.is_empty() {
        all.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, value)| places(value, &format!("{at}/{}", name.replace('/', "~1")), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// Runs a bundle with a log in JSON; what it said, and the log's last line.
fn run_logged(runtime: &Runtime, bundle: &Bundle) -> (Finished, Value) {
    let log = bundle.path().join("log");
    let mut command = runtime.command(&["--log-format", "json", "--log"]);
    command.arg(&log).args(["run", "--bundle"]).arg(bundle.path()).arg(new_id());
    let done = process::run(&mut command, b"");
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    let line = text.lines().last().unwrap_or("null");
    (done, serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn every_field_of_a_wrong_type_is_named_in_the_log() {
    ours(|runtime| {
        let bundle = full();
        let (done, _) = run_logged(runtime, &bundle);
        assert_eq!(done.status, 0, "{done:?}");
        let text = fs::read_to_string(bundle.config_path()).expect("it is ours");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let mut all = Vec::new();
        places(&config, "", &mut all);
        assert!(all.len() > 120, "{}", all.len());
        for place in all {
            let mut config = config.clone();
            let value = config.pointer_mut(&place).expect("it is there");
            *value = if value.is_boolean() { json!("wrong") } else { json!(true) };
            fs::write(bundle.config_path(), config.to_string()).expect("it is ours");
            let (done, line) = run_logged(runtime, &bundle);
            assert_eq!((done.status, done.stderr.lines().count()), (1, 1), "{place}: {done:?}");
            let named = place.split('/').rfind(|part| part.parse::<u32>().is_err()).unwrap_or_default();
            let named = named.replace("~1", "/");
            let message = line["msg"].as_str().unwrap_or_default();
            assert!(message.starts_with("config.json: ") && message.contains(&named), "{place}: {message}");
            assert!(done.stderr.contains(message), "{place}: {done:?}");
            assert_eq!((&line["level"], line["time"].is_string()), (&json!("error"), true), "{line}");
            assert_eq!(runtime.ids(), 0, "{place}");
        }
    });
}

/// A copy of the busybox root that may be changed.
fn own_root(at: &Path) {
    let copied = Command::new("cp").arg("-a").arg(roots::busybox()).arg(at).status();
    assert!(copied.is_ok_and(|status| status.success()));
}

#[test]
fn root_that_is_swapped_for_a_link_meanwhile_is_never_left() {
    ours(|runtime| {
        let outside = tempfile::tempdir().expect("/tmp is writable");
        own_root(&outside.path().join("root"));
        let outside = outside.path().join("root");
        fs::write(outside.join("marker"), "outside").expect("it is ours");
        let script = "cat /marker; echo x >/written";
        let bundle = Bundle::new(Path::new("rootfs"), &["/bin/sh", "-c", script]).with(|config| {
            config["root"]["readonly"] = json!(false);
            let mount = json!({ "destination": "/made/point", "type": "tmpfs", "source": "t" });
            config["mounts"].as_array_mut().expect("an array").push(mount);
        });
        let (rootfs, link) = (bundle.path().join("rootfs"), bundle.path().join("link"));
        own_root(&rootfs);
        fs::write(rootfs.join("marker"), "inside").expect("it is ours");
        symlink(&outside, &link).expect("it is ours");
        let path = bundle.path().display().to_string();
        let is_over = AtomicBool::new(false);
        let seen: Vec<Finished> = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    renameat2(AT_FDCWD, &rootfs, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE)
                        .expect("both exist");
                }
            });
            let run = |_| runtime.run(&["run", "--bundle", &path, &new_id()]);
            let seen = (0..60).map(run).collect();
            is_over.store(true, Ordering::Relaxed);
            seen
        });
        for done in seen {
            assert!(!done.stdout.contains("outside"), "{done:?}");
            assert!(done.status == 0 || done.stderr.contains("root"), "{done:?}");
        }
        for name in ["written", "made"] {
            assert!(!outside.join(name).exists(), "{name} was made outside");
        }
    });
}

#[test]
fn mounts_over_proc_and_links_stay_inside() {
    ours(|runtime| {
        let outside = tempfile::tempdir().expect("/tmp is writable");
        fs::write(outside.path().join("secret"), "secret").expect("it is ours");
        let bundle =
            Bundle::new(Path::new("rootfs"), &["/bin/sh", "-c", "cat /etc/link/secret /proc/self/comm"]);
        let root = bundle.path().join("rootfs");
        own_root(&root);
        symlink(outside.path(), root.join("etc/link")).expect("it is ours");
        symlink("../../../../../..", root.join("up")).expect("it is ours");
        symlink("/proc/self/root", root.join("magic")).expect("it is ours");
        let path = bundle.path().display().to_string();
        let up = format!("/up/{}", outside.path().display());
        let dots = format!("/../../..{}", outside.path().display());
        for destination in
            ["/proc", "/proc/self", "/proc/1/fd", "/etc/link", "/magic/etc/link", "/up", &up, &dots]
        {
            let text = fs::read_to_string(bundle.config_path()).expect("it is ours");
            let mut config: Value = serde_json::from_str(&text).expect("JSON");
            let mounts = config["mounts"].as_array_mut().expect("an array");
            mounts.retain(|mount| mount["source"] != "harm");
            mounts.push(json!({ "destination": destination, "type": "tmpfs", "source": "harm" }));
            config["root"]["readonly"] = json!(false);
            fs::write(bundle.config_path(), config.to_string()).expect("it is ours");
            let done = runtime.run(&["run", "--bundle", &path, &new_id()]);
            assert!(!done.stdout.contains("secret"), "{destination}: {done:?}");
            let names: Vec<_> = fs::read_dir(outside.path()).expect("it is ours").collect();
            assert_eq!(names.len(), 1, "{destination}: {names:?}");
        }
    });
}
