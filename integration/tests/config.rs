//! config.json under runc and under Palisade: resources, hooks, filters, mounts and the rest, and the commands over
//! them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::host_state::HostState;
use integration::runtime::{
    Running, alone, both, debian_shell, eventually, new_id, ours, quiet, run, runtimes, same,
};
use integration::{paths, process, roots};
use serde_json::{Value, json};

#[test]
fn pids_limit_makes_fork_answer_eagain() {
    let _alone = alone();
    let bundle = debian_shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1 & done; wait").with(|config| {
        config["linux"]["resources"] = json!({ "pids": { "limit": 6 } });
    });
    for runtime in runtimes() {
        // How often bash tries again is a matter of time.
        let done = run(&runtime, &bundle);
        let message = "fork: retry: Resource temporarily unavailable";
        assert!(done.stderr.contains(message), "{}: {done:?}", runtime.display());
    }
}

#[test]
fn memory_limit_kills_who_exceeds_it_and_is_reported() {
    // It uses up its memory itself. Where the supervisor does, by writing what was read into pages that are not there yet,
    // others may die as well: see ARCHITECTURE.md, "config.json and cgroups".
    let script = r#"perl -e 'my $all = "x" x (200 << 20); print $all' | wc -c; echo ${PIPESTATUS[@]}"#;
    let done = same(&debian_shell(script).with(|config| {
        config["linux"]["resources"] = json!({ "memory": { "limit": 50 << 20 } });
    }));
    assert_eq!(done.stdout, "0\n137 0\n");
    let _alone = alone();
    let bundle =
        debian_shell("sleep 1; head -c 200M /dev/zero | tail -c 150M | wc -c; sleep 3").with(|config| {
            config["linux"]["resources"] = json!({ "memory": { "limit": 50 << 20 } });
        });
    // runc 1.1's does not end with its container.
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let running = Running::start(&palisade, &bundle);
    let events = running.ask(&["events", "--interval", "100s", "{}"]);
    let oom: Value = serde_json::from_str(events.stdout.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!((&oom["type"], &oom["id"]), (&json!("oom"), &json!(running.id)), "{events:?}");
}

/// The period of the quotas here.
const PERIOD: Duration = Duration::from_millis(100);

/// What a container used in a second or more, and the most that it may use under a quota for each period: of so many
/// periods as may have begun meanwhile, and one more, whose rest was left over. A busy machine only makes it use less.
fn used_and_allowed(running: &Running<'_>, quota: Duration) -> (Duration, Duration) {
    let started = Instant::now();
    let before = running.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = running.cpu_time() - before;
    let periods = started.elapsed().as_nanos() / PERIOD.as_nanos() + 3;
    (used, quota * u32::try_from(periods).expect("a short time"))
}

/// What the host says of a container's quota.
fn cpu_quota(running: &Running<'_>) -> String {
    let state: Value = serde_json::from_str(&running.ask(&["state", "{}"]).stdout).expect("JSON");
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", state["pid"])).expect("it runs");
    let mut all = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let file = match controllers.split(',').any(|name| name == "cpu") {
            true => format!("/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us"),
            false if controllers.is_empty() => format!("/sys/fs/cgroup{path}/cpu.max"),
            false => return None,
        };
        std::fs::read_to_string(file).ok()
    });
    all.next().unwrap_or_default().trim().to_owned()
}

#[test]
fn cpu_quota_holds_and_update_changes_it_at_once() {
    let _alone = alone();
    let bundle = debian_shell("while :; do :; done").with(|config| {
        config["linux"]["resources"] = json!({ "cpu": { "quota": 10_000, "period": 100_000 } });
    });
    let (low, high) = (PERIOD / 10, PERIOD * 4 / 10);
    for runtime in runtimes() {
        let running = Running::start(&runtime, &bundle);
        let (used, allowed) = used_and_allowed(&running, low);
        assert!(used <= allowed, "{}: {used:?} of {allowed:?}", runtime.display());
        let done =
            running.ask(&["update", "--cpu-quota", "40000", "--memory", "64M", "--pids-limit", "50", "{}"]);
        assert_eq!(done.status, 0, "{done:?}");
        let (used, allowed) = used_and_allowed(&running, high);
        assert!(used <= allowed, "{}: {used:?} of {allowed:?}", runtime.display());
        // Whether it gets more now is the busy machine's business.
        assert!(["40000", "40000 100000"].contains(&cpu_quota(&running).as_str()), "{}", runtime.display());
        let stats = running.stats();
        assert_eq!(stats["data"]["pids"]["limit"], 50);
        assert_eq!(stats["data"]["memory"]["usage"]["limit"], 64 << 20);
    }
}

#[test]
fn guest_sees_its_limits() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let _alone = alone();
    let bundle = debian_shell("sleep 1000").with(|config| {
        config["linux"]["resources"] =
            json!({ "memory": { "limit": 64 << 20 }, "cpu": { "quota": 50_000 }, "pids": { "limit": 30 } });
        let mount = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] });
        config["mounts"].as_array_mut().expect("an array").push(mount);
    });
    let running = Running::start(&palisade, &bundle);
    let look = [
        "exec",
        "{}",
        "bash",
        "-c",
        "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; grep MemTotal /proc/meminfo",
    ];
    let text = running.ask(&look).stdout;
    assert_eq!(text, "67108864\n50000 100000\n30\nMemTotal:          65536 kB\n");
    assert_eq!(running.ask(&["update", "--memory", "32M", "{}"]).status, 0);
    assert!(running.ask(&look).stdout.starts_with("33554432\n"));
}

/// Waits until it has used more CPU time than now.
fn computes(running: &Running<'_>) {
    let used = running.cpu_time();
    eventually("it computes", || running.cpu_time() > used);
}

#[test]
fn paused_container_does_nothing_until_it_is_resumed() {
    let _alone = alone();
    // One that computes, and one whose call waits.
    let bundle = debian_shell("mkfifo /tmp/f; cat /tmp/f & while :; do :; done").with(|config| {
        config["process"]["terminal"] = json!(false);
    });
    for runtime in runtimes() {
        let running = Running::start(&runtime, &bundle);
        computes(&running);
        assert_eq!(running.ask(&["pause", "{}"]).status, 0);
        assert_eq!(running.status(), "paused", "{}", runtime.display());
        // What the supervisor had begun for it counts as its time, and ends first.
        eventually("it uses no CPU time", || {
            let used = running.cpu_time();
            std::thread::sleep(Duration::from_millis(500));
            running.cpu_time() == used
        });
        assert_ne!(running.ask(&["pause", "{}"]).status, 0);
        assert_eq!(running.ask(&["resume", "{}"]).status, 0);
        assert_eq!(running.status(), "running");
        computes(&running);
        assert_ne!(running.ask(&["resume", "{}"]).status, 0);
        assert_eq!(running.ask(&["pause", "{}"]).status, 0);
        assert_eq!(running.ask(&["delete", "--force", "{}"]).status, 0);
    }
}

#[test]
fn statistics_have_the_same_fields() {
    let _alone = alone();
    let bundle = debian_shell("sleep 1000").with(|config| {
        config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 30 } });
    });
    let shape = |runtime: &Path| {
        let running = Running::start(runtime, &bundle);
        let stats = running.stats();
        let mut all = Vec::new();
        fields(&stats, "", &mut all);
        // Zeros are left out by both, and which are zero differs; memory.stat is the kernel's.
        all.retain(|field| {
            !["/raw/", "/blkio/", "/throttling/", "kernel/", "/cache"].iter().any(|part| field.contains(part))
        });
        all
    };
    let all: Vec<Vec<String>> = runtimes().iter().map(|runtime| shape(runtime)).collect();
    println!("{:?}", all[0]);
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:#?}");
}

fn fields(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| fields(value, &format!("{at}/{name}"), all))
        }
        _ => all.push(at.to_owned()),
    }
}

#[test]
fn hooks_run_in_order_with_the_state() {
    let dir = tempfile::tempdir().expect("/tmp is writable");
    let out = dir.path().join("out");
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = debian_shell("sleep 0.3; echo done").with(|config| {
        for kind in kinds {
            let script = format!("read -r state; echo \"{kind} $A $state\" >>{}", out.display());
            config["hooks"][kind] =
                json!([{ "path": "/bin/bash", "args": ["bash", "-c", script], "env": ["A=b"], "timeout": 10 }]);
        }
    });
    let _alone = alone();
    for runtime in runtimes() {
        let done = run(&runtime, &bundle);
        assert_eq!((done.status, done.stdout.as_str()), (0, "done\n"), "{}: {done:?}", runtime.display());
        let text = std::fs::read_to_string(&out).expect("hooks wrote it");
        std::fs::remove_file(&out).expect("it is ours");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), kinds.len(), "{text}");
        for (line, kind) in lines.iter().zip(kinds) {
            let state = line.strip_prefix(&format!("{kind} b ")).unwrap_or_else(|| panic!("{text}"));
            let state: Value = serde_json::from_str(state).expect("a state is JSON");
            assert_eq!(Path::new(state["bundle"].as_str().expect("a path")), bundle.path());
            let status = match kind {
                "poststart" => "running",
                "poststop" => "stopped",
                _ => "creating",
            };
            // runc's word for it depends on how far its init has come.
            let is_right = state["status"] == status || runtime == Path::new("runc");
            assert!(is_right, "{}: {line}", runtime.display());
        }
    }
}

#[test]
fn start_container_hooks_run_inside() {
    let _alone = alone();
    let script = "read -r state; echo ${#state} >/tmp/inside; test -e /etc/debian_version";
    let bundle = debian_shell("test -s /tmp/inside && sleep 1000").with(|config| {
        let hook = json!({ "path": "/bin/bash", "args": ["bash", "-c", script], "env": ["PATH=/usr/bin"] });
        config["hooks"]["startContainer"] = json!([hook]);
    });
    for runtime in runtimes() {
        let running = Running::start(&runtime, &bundle);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(running.status(), "running", "{}", runtime.display());
    }
}

#[test]
fn failing_hook_ends_the_creation() {
    let _alone = alone();
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let bundle = debian_shell("sleep 1000").with(|config| {
            config["hooks"][kind] = json!([{ "path": "/bin/false" }]);
        });
        for runtime in runtimes() {
            let before = HostState::now();
            let done = run(&runtime, &bundle);
            assert_ne!(done.status, 0, "{} {kind}: {done:?}", runtime.display());
            if runtime != Path::new("runc") {
                assert!(done.stderr.contains(&format!("hooks.{kind}[0]: /bin/false")), "{done:?}");
                before.assert_nothing_left(kind);
            }
        }
    }
}

#[test]
fn failing_poststart_hook_ends_the_container() {
    let bundle = debian_shell("sleep 1000").with(|config| {
        config["hooks"]["poststart"] = json!([{ "path": "/bin/false" }]);
    });
    both(|runtime| {
        let path = bundle.path().display().to_string();
        let id = new_id();
        let detached = quiet(&mut runtime.command(&["run", "--detach", "--bundle", &path, &id]));
        let attached = quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        (detached, attached, runtime.status(&id))
    });
    // runc 1.1 runs it in `create` already.
    ours(|runtime| {
        let id = new_id();
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        assert_eq!(quiet(&mut runtime.command(&["start", &id])), 1);
        runtime.wait_for(&id, "stopped");
        runtime.ok(&["delete", &id]);
    });
}

/// A mount of the host that goes with this value.
struct HostMount(PathBuf);

impl HostMount {
    fn tmpfs(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).expect("it is ours");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "t"]).arg(&at).status();
        assert!(mounted.is_ok_and(|status| status.success()));
        Self(at)
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn bind_shows_one_mount_and_rbind_what_is_below_it() {
    let dir = tempfile::tempdir().expect("/tmp is writable");
    let (above, sub) = (dir.path().join("above"), dir.path().join("sub"));
    std::fs::create_dir(&sub).expect("it is ours");
    std::fs::write(sub.join("covered"), "c").expect("it is ours");
    std::fs::write(above, "a").expect("it is ours");
    let mounted = HostMount::tmpfs(sub);
    std::fs::write(mounted.0.join("covering"), "d").expect("it is ours");
    let script = "cd /tmp; cat one/above all/above; ls one/sub all/sub; cat one/sub/covered; \
                  echo new >one/sub/new; cat one/sub/new; touch all/sub/x; ls one/sub all/sub; rm all/sub/x one/sub/new";
    let bundle = debian_shell(script).with(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        for (name, option) in [("one", "bind"), ("all", "rbind")] {
            mounts.push(json!({ "destination": format!("/tmp/{name}"), "type": "bind", "source": dir.path(),
                "options": [option, "rprivate"] }));
        }
    });
    let done = same(&bundle);
    assert!(done.stdout.starts_with("aaall/sub:\ncovering\n\none/sub:\ncovered\n"), "{done:?}");
}

#[test]
fn slow_hook_is_given_up() {
    let _alone = alone();
    let bundle = debian_shell("true").with(|config| {
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1 }]);
    });
    for runtime in runtimes() {
        let started = Instant::now();
        assert_ne!(run(&runtime, &bundle).status, 0);
        assert!(started.elapsed() < Duration::from_secs(20), "{}", runtime.display());
    }
}

#[test]
fn filter_decides_about_emulated_and_native_calls() {
    let script = "mkdir /tmp/x; nice; grep Seccomp: /proc/self/status; bash -c 'chmod 700 /tmp; :' 2>&1 | sed 's/ *[0-9]* Bad/ Bad/'; setarch i686 true; echo $?";
    let done = same(&debian_shell(script).with(|config| {
        let equal = |value: u64| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 },
            { "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7 },
            { "names": ["chmod", "fchmodat"], "action": "SCMP_ACT_TRAP" },
            { "names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": equal(8) },
        ] });
    }));
    assert!(done.stdout.starts_with("Seccomp:\t2\n"), "{done:?}");
    assert!(
        done.stderr.contains("Input/output error") && done.stderr.contains("Argument list too long"),
        "{done:?}"
    );
}

#[test]
fn white_list_lets_only_its_calls_pass() {
    let names = [
        "access",
        "arch_prctl",
        "brk",
        "close",
        "clone",
        "dup2",
        "execve",
        "exit",
        "exit_group",
        "fcntl",
        "fstat",
        "getcwd",
        "getdents64",
        "getegid",
        "geteuid",
        "getgid",
        "getpgrp",
        "getpid",
        "getppid",
        "getrandom",
        "getuid",
        "ioctl",
        "lseek",
        "mmap",
        "mprotect",
        "munmap",
        "newfstatat",
        "fstatfs",
        "statx",
        "lstat",
        "stat",
        "readlinkat",
        "prctl",
        "capget",
        "capset",
        "setuid",
        "setgid",
        "setgroups",
        "chdir",
        "fchdir",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "eventfd2",
        "nanosleep",
        "gettid",
        "tgkill",
        "sched_yield",
        "madvise",
        "openat",
        "pipe",
        "pipe2",
        "pread64",
        "prlimit64",
        "read",
        "readlink",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "set_robust_list",
        "set_tid_address",
        "statfs",
        "sysinfo",
        "uname",
        "wait4",
        "write",
        "futex",
        "sigaltstack",
        "no_such_call",
    ];
    let done =
        same(&debian_shell("echo hi; ls -d /etc; mkdir /tmp/x; chmod 7 /tmp; (echo sub)").with(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": [{ "names": names.to_vec(), "action": "SCMP_ACT_ALLOW" }],
            });
        }));
    assert!(done.stdout.starts_with("hi\n/etc\n") && done.stdout.ends_with("sub\n"), "{done:?}");
    assert!(done.stderr.contains("Operation not permitted"), "{done:?}");
}

#[test]
fn filter_of_the_container_holds_for_exec() {
    let _alone = alone();
    let bundle = debian_shell("sleep 1000").with(|config| {
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 },
        ] });
    });
    for runtime in runtimes() {
        let running = Running::start(&runtime, &bundle);
        let done = running.ask(&["exec", "{}", "mkdir", "/tmp/x"]);
        assert!(done.stderr.contains("Input/output error"), "{}: {done:?}", runtime.display());
    }
}

#[test]
fn sysctls_and_devices_are_made() {
    let script = "cd /proc/sys; cat net/core/somaxconn kernel/msgmax net/ipv4/ping_group_range; cd /dev; \
                  stat -c '%n %f %u %g %t %T' null mine sub/pipe; echo x >mine; cat zero2 | head -c 3 | od -c";
    let done = same(&debian_shell(script).with(|config| {
        config["linux"]["sysctl"] =
            json!({ "net.core.somaxconn": "77", "kernel.msgmax": "9999", "net/ipv4/ping_group_range": "0 5" });
        config["linux"]["devices"] = json!([
            { "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o620, "uid": 0, "gid": 4 },
            { "path": "/dev/zero2", "type": "c", "major": 1, "minor": 5 },
            { "path": "/dev/sub/pipe", "type": "p", "fileMode": 0o644 },
        ]);
    }));
    assert!(done.stdout.starts_with("77\n9999\n0\t5\nnull 21b6 0 0 1 3\nmine 2190 0 4 1 3\n"), "{done:?}");
}

#[test]
fn mounts_have_their_flags_and_options() {
    let script = "grep -E ' /(m1|m2|m3) ' /proc/self/mountinfo | cut -d' ' -f4,5,6,7 | sed 's/:[0-9]*//; s/^[^ ]*//'; \
                  df -P -k /m1 | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c '%u %g' /m1; \
                  cp /bin/sh /m2/; /m2/sh -c true; touch /m3/x";
    let roots = tempfile::tempdir().expect("/tmp is writable");
    for name in ["m1", "m2", "m3"] {
        std::fs::create_dir(roots.path().join(name)).expect("it is ours");
    }
    let bundle = Bundle::new(&roots::busybox(), &["/bin/sh", "-c", script]).with(|config| {
        let mounts = config["mounts"].as_array_mut().expect("an array");
        let mut add = |destination: &str, kind: &str, source: &Path, options: Value| {
            mounts.push(
                json!({ "destination": destination, "type": kind, "source": source, "options": options }),
            );
        };
        let t = Path::new("t");
        add("/mnt", "bind", roots.path(), json!(["bind", "rprivate"]));
        add(
            "/m1",
            "tmpfs",
            t,
            json!([
                "nosuid",
                "nodev",
                "strictatime",
                "nodiratime",
                "shared",
                "uid=5",
                "gid=6",
                "size=64k",
                "nr_inodes=10"
            ]),
        );
        add("/m2", "tmpfs", t, json!(["noexec", "noatime", "private"]));
        add("/m3", "bind", &roots.path().join("m3"), json!(["rbind", "ro", "nosymfollow"]));
        config["root"]["readonly"] = json!(false);
    });
    // The root gets mount points: a copy of it.
    let root = tempfile::tempdir().expect("/tmp is writable");
    let copy = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", roots::debian().display()))
        .arg(root.path())
        .status();
    assert!(copy.is_ok_and(|status| status.success()));
    let bundle = bundle.with(|config| config["root"]["path"] = json!(root.path()));
    let done = same(&bundle);
    assert!(
        done.stderr.contains("Permission denied") && done.stderr.contains("Read-only file system"),
        "{done:?}"
    );
}

#[test]
fn process_gets_its_place_on_the_host() {
    let script = "cat /proc/self/oom_score_adj; nice; chrt -p $$ | head -1 | sed 's/[0-9]*.s/ /'; ionice";
    let done = same(&debian_shell(script).with(|config| {
        config["process"]["oomScoreAdj"] = json!(321);
    }));
    assert!(done.stdout.starts_with("321\n0\n"), "{done:?}");
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    // runc 1.1 knows neither of these.
    let _alone = alone();
    let done = run(
        &palisade,
        &debian_shell(script).with(|config| {
            config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 3 });
            config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        }),
    );
    assert!(done.stdout.contains("\n3\n") && done.stdout.contains("SCHED_BATCH"), "{done:?}");
    assert!(done.stdout.contains("best-effort: prio 6"), "{done:?}");
    let done =
        run(&palisade, &debian_shell("true").with(|config| config["process"]["oomScoreAdj"] = json!(-500)));
    assert!(
        done.status == 0 || done.stderr.contains("process.oomScoreAdj: the host refuses -500"),
        "{done:?}"
    );
}

#[test]
fn network_namespace_by_path_is_joined() {
    let _alone = alone();
    let name = new_id();
    let made = process::run(Command::new("ip").args(["netns", "add", &name]), b"");
    if made.status != 0 {
        println!("no ip(8) here: {made:?}");
        return;
    }
    let path = format!("/run/netns/{name}");
    let inode = |path: &str| {
        std::fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).expect("a namespace")
    };
    let bundle = debian_shell("sleep 1000").with(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("an array") {
            if namespace["type"] == "network" {
                namespace["path"] = json!(path);
            }
        }
    });
    for runtime in runtimes() {
        let running = Running::start(&runtime, &bundle);
        let state: Value = serde_json::from_str(&running.ask(&["state", "{}"]).stdout).expect("JSON");
        assert_eq!(inode(&format!("/proc/{}/ns/net", state["pid"])), inode(&path), "{}", runtime.display());
        assert_eq!(running.ask(&["exec", "{}", "true"]).status, 0);
    }
    let _ = process::run(Command::new("ip").args(["netns", "del", &name]), b"");
}

#[test]
fn paths_do_not_lead_out_of_the_root() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let _alone = alone();
    let outside = tempfile::tempdir().expect("/tmp is writable");
    let root = tempfile::tempdir().expect("/tmp is writable");
    let copy = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", roots::busybox().display()))
        .arg(root.path())
        .status();
    assert!(copy.is_ok_and(|status| status.success()));
    std::os::unix::fs::symlink(outside.path(), root.path().join("link")).expect("it is ours");
    let tmpfs = |destination: &str| json!({ "destination": destination, "type": "tmpfs", "source": "t" });
    let before: Vec<_> = std::fs::read_dir(outside.path()).expect("it is ours").collect();
    for destination in ["/../../../escape", "/link/escape", "/proc", "/proc/self/escape", "/link"] {
        let bundle = Bundle::new(root.path(), &["/bin/true"]).with(|config| {
            config["root"]["readonly"] = json!(false);
            config["linux"]["maskedPaths"] = json!(["/link/../../../etc/passwd", "/../../.."]);
            config["mounts"].as_array_mut().expect("an array").push(tmpfs(destination));
        });
        let left = HostState::now();
        let done = run(&palisade, &bundle);
        println!("{destination}: {done:?}");
        left.assert_nothing_left(destination);
        assert_eq!(
            std::fs::read_dir(outside.path()).expect("it is ours").count(),
            before.len(),
            "{destination}"
        );
    }
    assert!(!Path::new("/escape").exists());
    // The root itself, given relative to the bundle, is no link.
    let bundle = Bundle::new(Path::new("rootfs"), &["/bin/true"]);
    std::os::unix::fs::symlink(root.path(), bundle.path().join("rootfs")).expect("it is ours");
    let done = run(&palisade, &bundle);
    assert!(done.status == 1 && done.stderr.contains("root.path"), "{done:?}");
}

#[test]
fn mutated_configurations_end_in_one_line() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let _alone = alone();
    let bundle = Bundle::new(&roots::busybox(), &["/bin/true"]);
    let text = std::fs::read_to_string(bundle.config_path()).expect("it is ours");
    let before = HostState::now();
    // Each tenth of a percent of the text is cut off, doubled or replaced: what is JSON still may run.
    let step = text.len() / 40;
    for at in (1..text.len()).step_by(step) {
        let (head, tail) = text.split_at(at);
        for mutated in [
            head.to_owned(),
            format!("{head}{head}{tail}"),
            format!("{head}\0{tail}"),
            format!("{head}9{tail}"),
        ] {
            std::fs::write(bundle.config_path(), mutated).expect("it is ours");
            let done = run(&palisade, &bundle);
            if done.status != 0 {
                assert_eq!(done.status, 1, "{done:?}");
                assert_eq!(done.stderr.trim_end().lines().count(), 1, "{done:?}");
                assert!(done.stderr.contains("config.json") || done.stderr.contains("bundle"), "{done:?}");
            }
        }
    }
    before.assert_nothing_left("bad configurations");
}

#[test]
fn spec_and_features_are_what_engines_read() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let dir = tempfile::tempdir().expect("/tmp is writable");
    let spec = |extra: &[&str]| {
        process::run(Command::new(&palisade).arg("spec").args(extra).arg("--bundle").arg(dir.path()), b"")
    };
    assert_eq!(spec(&[]).status, 0);
    let again = spec(&["--rootless"]);
    assert!(again.status == 1 && again.stderr.contains("exists"), "{again:?}");
    let text = std::fs::read_to_string(dir.path().join("config.json")).expect("it was written");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["process"]["args"], json!(["sh"]));
    let features = process::run(Command::new(&palisade).arg("features"), b"");
    let features: Value = serde_json::from_str(&features.stdout).expect("JSON");
    assert_eq!(features["linux"]["seccomp"]["enabled"], json!(true));
    assert!(features["hooks"].as_array().is_some_and(|hooks| hooks.len() == 6));
}

/// Ids of a user namespace: what belongs to nobody inside is out of reach even of its root.
#[test]
fn mapped_ids_are_the_hosts_outside() {
    let _alone = alone();
    let own = |path: &Path, id: u32, mode: u32| {
        std::fs::write(path, "text\n").expect("scratch is ours");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        std::os::unix::fs::chown(path, Some(id), Some(id)).expect("root runs the tests");
    };
    let script = "cd /v
        tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map
        stat -c '%n %u:%g' a b c . /; cat c; chmod 777 c; chown 5 c
        chown 5:6 a && stat -c '%u:%g' a; chown 70000 a
        mknod null c 1 3; mkdir d; setpriv --reuid 7 --regid 8 --groups 9 sh -c 'id; echo x >a'
        setpriv --reuid 70000 true
        setpriv --reuid 7 --inh-caps=-all sh -c 'echo new >d/e' && stat -c '%u' d/e
        hostname inside && hostname";
    let mut owners = Vec::new();
    for runtime in runtimes() {
        let volume = tempfile::tempdir().expect("a scratch directory");
        std::fs::set_permissions(volume.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        for (name, id, mode) in [("a", 0, 0o644), ("b", 200_000, 0o600), ("c", 1000, 0o600)] {
            own(&volume.path().join(name), id, mode);
        }
        let bundle = debian_shell(script).with(|config| {
            let caps = json!([
                "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_ADMIN",
            ]);
            config["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
            let map = json!([
                { "containerID": 0, "hostID": 0, "size": 1 }, { "containerID": 1, "hostID": 200_000, "size": 65535 },
            ]);
            (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
            config["linux"]["namespaces"].as_array_mut().expect("an array").push(json!({ "type": "user" }));
            config["mounts"].as_array_mut().expect("an array").push(json!({
                "destination": "/v", "type": "bind", "source": volume.path(), "options": ["bind", "rw"],
            }));
        });
        let done = run(&runtime, &bundle);
        let owner = |name: &str| {
            let metadata = std::fs::metadata(volume.path().join(name));
            metadata.map(|metadata| (metadata.uid(), metadata.gid())).map_err(|error| error.kind())
        };
        owners.push((
            done.stdout,
            done.stderr.lines().map(str::to_owned).collect::<Vec<_>>(),
            ["a", "b", "c", "d"].map(owner),
        ));
    }
    let ids = |inside: u32| (199_999 + inside, 199_999 + inside);
    let (out, errors, on_host) = owners.first().expect("a control");
    assert!(out.starts_with(" 0 0 1\n 1 200000 65535\n"), "{out}");
    assert_eq!(
        on_host,
        &[Ok((200_004, 200_005)), Ok(ids(1)), Ok((1000, 1000)), Ok((0, 0))],
        "{out} {errors:?}"
    );
    owners.iter().skip(1).for_each(|ours| assert_eq!(ours, owners.first().expect("a control")));
}

#[test]
fn unmapped_user_is_refused_by_name() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let bundle = debian_shell("true").with(|config| {
        let map = json!([{ "containerID": 0, "hostID": 200_000, "size": 5 }]);
        (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
        config["linux"]["namespaces"].as_array_mut().expect("an array").push(json!({ "type": "user" }));
        config["process"]["user"]["uid"] = json!(5);
    });
    let done = run(&palisade, &bundle);
    assert!(done.status != 0 && done.stderr.contains("process.user.uid: 5 is in no line"), "{done:?}");
}

/// A mount whose ids are mapped: owners on the host are others inside, and nobody writes to what is nobody's. (No control:
/// runc 1.1 knows no such mounts. The rules are those of fs/namei.c and fs/attr.c.)
#[test]
fn binds_have_the_owners_that_their_maps_say() {
    let Some(palisade) = paths::palisade_is_wanted().then(paths::palisade) else { return };
    let volume = tempfile::tempdir().expect("a scratch directory");
    let inside = |name: &str| volume.path().join(name);
    std::fs::set_permissions(volume.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    for (name, id) in [("a", 0), ("b", 5), ("c", 90_000)] {
        std::fs::write(inside(name), "text\n").expect("scratch is ours");
        std::fs::set_permissions(inside(name), std::fs::Permissions::from_mode(0o666)).expect("it is ours");
        std::os::unix::fs::chown(inside(name), Some(id), Some(id)).expect("root runs the tests");
    }
    let script = "cd /v; stat -c '%n %u:%g' a b c; touch new; echo x >c; cat c; chown 4 a; chown 20 a
        setpriv --reuid 3 --regid 3 --clear-groups touch own; stat -c '%u:%g' own";
    let bundle = debian_shell(script).with(|config| {
        let line = |inside: u32, host: u32, size: u32| json!({ "containerID": inside, "hostID": host, "size": size });
        let ids = json!([line(0, 0, 1), line(1, 200_000, 1000)]);
        (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (ids.clone(), ids);
        config["linux"]["namespaces"].as_array_mut().expect("an array").push(json!({ "type": "user" }));
        let caps = json!(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETGID", "CAP_SETUID"]);
        config["process"]["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
        let own = json!([line(0, 200_000, 10)]);
        config["mounts"].as_array_mut().expect("an array").push(json!({
            "destination": "/v", "type": "bind", "source": volume.path(), "options": ["rbind"],
            "uidMappings": own, "gidMappings": own,
        }));
    });
    let done = run(&palisade, &bundle);
    assert_eq!(done.stdout, "a 1:1\nb 6:6\nc 65534:65534\ntext\n3:3\n", "{done:?}");
    let errors: Vec<&str> = done.stderr.lines().collect();
    let too_large = "Value too large for defined data type";
    assert_eq!(
        errors,
        [
            &format!("touch: cannot touch 'new': {too_large}"),
            "bash: line 1: c: Permission denied",
            &format!("chown: changing ownership of 'a': {too_large}"),
        ],
    );
    let owner =
        |name: &str| std::fs::metadata(inside(name)).map(|metadata| (metadata.uid(), metadata.gid())).ok();
    assert_eq!(
        ["a", "c", "new", "own"].map(owner),
        [Some((3, 0)), Some((90_000, 90_000)), None, Some((2, 2))]
    );
}
