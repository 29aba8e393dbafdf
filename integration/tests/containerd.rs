//! containerd with `io.containerd.palisade.v1`, and with runc's shim as the control.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use integration::containerd::{Containerd, IMAGE, PALISADE, RUNC};
use integration::paths;
use integration::pty::Terminal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs a test with the control, and with ours where that is wanted.
fn each(test: impl Fn(&mut Containerd, &str)) {
    let mut containerd = Containerd::start();
    test(&mut containerd, RUNC);
    containerd.assert_clean();
    if paths::palisade_is_wanted() {
        test(&mut containerd, PALISADE);
        containerd.assert_clean();
    }
}

/// Starts a container in the background.
fn sleeper(containerd: &Containerd, runtime: &str, id: &str, further: &[&str]) -> i32 {
    let mut args = vec!["run", "-d", "--runtime", runtime];
    args.extend(further);
    args.extend([IMAGE, id, "sleep", "1000"]);
    containerd.must(&args);
    containerd.task(id).expect("it runs").0
}

#[test]
fn run_gives_output_and_status() {
    each(|containerd, runtime| {
        let script = "echo out; echo err >&2; id -u; exit 7";
        let done = containerd.ctr(&["run", "--rm", "--runtime", runtime, IMAGE, "a", "sh", "-c", script]);
        assert_eq!((done.status, done.stdout.as_str()), (7, "out\n0\n"), "{done:?}");
        assert!(done.stderr.contains("err\n"), "{done:?}");
        let done = containerd.ctr(&["run", "--rm", "--runtime", runtime, IMAGE, "b", "no-such-program"]);
        assert!(done.status != 0 && done.stderr.contains("no-such-program"), "{done:?}");
    });
}

#[test]
fn terminal_has_its_size_and_signals() {
    each(|containerd, runtime| {
        let args = ["run", "-t", "--rm", "--runtime", runtime, IMAGE, "a", "sh"];
        let mut terminal = Terminal::start(containerd.ctr_command(&args));
        terminal.expect("# ");
        // ctr listens for changes of the size only some time after the start, and forgets earlier ones.
        thread::sleep(Duration::from_secs(1));
        terminal.resize(33, 101);
        // The news takes its way through ctr, containerd and the shim.
        terminal.type_line("until [ \"$(stty size)\" = '33 101' ]; do sleep 0.1; done; echo si''zed");
        terminal.expect("sized");
        terminal.type_line("sleep 100; echo stat$?s");
        thread::sleep(Duration::from_millis(300));
        terminal.type_text("\x03");
        terminal.expect("# ");
        terminal.type_line("exit 5");
        assert_eq!(terminal.wait(), 5);
    });
}

#[test]
fn exec_joins_and_metrics_count() {
    each(|containerd, runtime| {
        sleeper(containerd, runtime, "a", &["--memory-limit", "67108864"]);
        let done =
            containerd.ctr(&["task", "exec", "--exec-id", "x", "a", "sh", "-c", "echo $$ here; exit 3"]);
        assert_eq!(done.status, 3, "{done:?}");
        assert!(done.stdout.ends_with(" here\n"), "{done:?}");
        let metrics = containerd.must(&["task", "metrics", "a"]);
        let limit = metrics.lines().find(|line| line.starts_with("memory.limit_in_bytes"));
        assert!(
            limit.is_none_or(|line| line.ends_with("67108864") || line.contains("67108864 ")),
            "{metrics}"
        );
        assert!(metrics.contains("pids.current"), "{metrics}");
        assert_eq!(containerd.must(&["task", "ps", "a"]).lines().count(), 2);
        containerd.must(&["task", "pause", "a"]);
        containerd.expect_status("a", "PAUSED");
        containerd.must(&["task", "resume", "a"]);
        containerd.expect_status("a", "RUNNING");
        containerd.must(&["task", "kill", "-s", "KILL", "a"]);
        containerd.expect_status("a", "STOPPED");
        containerd.remove("a");
    });
}

/// A short process's output, whoever is slow, and what goes to a file or a logging program instead.
#[test]
fn output_is_kept_where_it_is_wanted() {
    each(|containerd, runtime| {
        let dir = containerd.scratch().join(format!("logs-{runtime}"));
        fs::create_dir_all(&dir).expect("scratch is ours");
        let logger = dir.join("logger");
        // Ready at once. runc's shim asks it to end when the process is deleted, whatever is still to be read.
        let script = format!(
            "#!/bin/sh\ntrap '' TERM\nexec 5>&-\necho \"$CONTAINER_ID $CONTAINER_NAMESPACE $*\" >{0}/words\ncat <&3 >{0}/out &\ncat <&4 >{0}/err\n\
             wait\necho done >{0}/done\n",
            dir.display()
        );
        fs::write(&logger, script).expect("scratch is ours");
        fs::set_permissions(&logger, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let log = |id: &str, uri: String| {
            containerd.must(&[
                "run",
                "-d",
                "--log-uri",
                &uri,
                "--runtime",
                runtime,
                IMAGE,
                id,
                "sh",
                "-c",
                "echo out; echo err >&2",
            ]);
            containerd.expect_status(id, "STOPPED");
            containerd.remove(id);
        };
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        log("a", format!("binary://{}?key=a%20value", logger.display()));
        containerd.eventually("the logger ends after its process", || text("done") == "done\n");
        assert_eq!((text("out").as_str(), text("err").as_str()), ("out\n", "err\n"));
        assert_eq!(text("words"), format!("a {} key a value\n", containerd.namespace()));
        log("b", format!("file://{}", dir.join("both").display()));
        // runc's shim copies the two streams by two threads.
        let both = text("both");
        assert!(both == "out\nerr\n" || (runtime == RUNC && both == "err\nout\n"), "{both:?}");
        let uri = format!("binary://{}", dir.join("no-such-logger").display());
        let refused =
            containerd.ctr(&["run", "-d", "--log-uri", &uri, "--runtime", runtime, IMAGE, "c", "true"]);
        assert!(refused.status != 0 && refused.stderr.contains("no-such-logger"), "{refused:?}");
        // ctr leaves what it made before the task.
        containerd.must(&["container", "rm", "c"]);
    });
}

/// The same events in the same order, with a kill for want of memory told before the end that it is.
#[test]
fn events_come_in_order() {
    let containerd = Containerd::start();
    let told = |runtime| {
        let mut events = containerd.ctr_command(&["events"]);
        let mut events = events.stdout(Stdio::piped()).spawn().expect("ctr");
        // It says nothing before the first event.
        thread::sleep(Duration::from_secs(1));
        sleeper(&containerd, runtime, "a", &["--memory-limit", "33554432"]);
        containerd.must(&["task", "exec", "--exec-id", "x", "a", "true"]);
        containerd.must(&["task", "pause", "a"]);
        containerd.must(&["task", "resume", "a"]);
        let hungry = "x=$(head -c 100000000 /dev/zero | tr '\\0' x)";
        containerd.ctr(&["task", "exec", "--exec-id", "y", "a", "sh", "-c", hungry]);
        containerd.must(&["task", "kill", "-s", "KILL", "a"]);
        containerd.expect_status("a", "STOPPED");
        containerd.remove("a");
        thread::sleep(Duration::from_secs(1));
        events.kill().expect("it runs");
        let output = events.wait_with_output().expect("it is ours").stdout;
        let output = String::from_utf8_lossy(&output).into_owned();
        let topics = output.split_whitespace().filter_map(|word| word.strip_prefix("/tasks/"));
        topics.map(str::to_owned).collect::<Vec<_>>()
    };
    let without_oom =
        |topics: &[String]| topics.iter().filter(|topic| *topic != "oom").cloned().collect::<Vec<_>>();
    let control = told(RUNC);
    assert_eq!(control.last().map(String::as_str), Some("delete"), "{control:?}");
    if paths::palisade_is_wanted() {
        let ours = told(PALISADE);
        // The control tells of the kill before the end or after it.
        assert_eq!(without_oom(&ours), without_oom(&control));
        assert!(ours.windows(2).any(|pair| pair == ["oom", "exit"]), "{ours:?}");
    }
    containerd.assert_clean();
}

#[test]
fn containers_outlive_containerd() {
    each(|containerd, runtime| {
        let pid = sleeper(containerd, runtime, "a", &[]);
        containerd.restart();
        assert_eq!(containerd.task("a"), Some((pid, "RUNNING".to_owned())));
        assert_eq!(containerd.must(&["task", "exec", "--exec-id", "x", "a", "echo", "still"]), "still\n");
        containerd.must(&["task", "kill", "-s", "KILL", "a"]);
        containerd.expect_status("a", "STOPPED");
        containerd.remove("a");
    });
}

/// Whoever is killed: the task is seen to be over, and can be removed.
#[test]
fn killed_guest_ends_in_a_clean_delete() {
    each(|containerd, runtime| {
        let pid = sleeper(containerd, runtime, "a", &[]);
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        containerd.expect_status("a", "STOPPED");
        containerd.remove("a");
    });
}

#[test]
fn killed_shim_and_supervisor_end_in_a_clean_delete() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let containerd = Containerd::start();
    sleeper(&containerd, PALISADE, "a", &[]);
    for pid in containerd.processes("supervise") {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    }
    containerd.expect_status("a", "STOPPED");
    containerd.remove("a");
    containerd.assert_clean();
    sleeper(&containerd, PALISADE, "b", &[]);
    for pid in containerd.processes("containerd-shim") {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    }
    while containerd.task("b").is_some() {
        thread::sleep(Duration::from_millis(50));
    }
    containerd.must(&["container", "rm", "b"]);
    containerd.assert_clean();
}

#[test]
fn containers_of_a_pod_share_shim_and_supervisor() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let containerd = Containerd::start();
    let pod = ["--annotation", "io.kubernetes.cri.sandbox-id=pod", "--annotation"];
    let member = |kind| [&pod[..], &[kind]].concat();
    sleeper(&containerd, PALISADE, "pod", &member("io.kubernetes.cri.container-type=sandbox"));
    for id in ["one", "two"] {
        sleeper(&containerd, PALISADE, id, &member("io.kubernetes.cri.container-type=container"));
    }
    assert_eq!(containerd.processes("containerd-shim").len(), 1);
    // The supervisor and its maker.
    assert_eq!(containerd.processes("supervise").len(), 2);
    for end in ["one", "two", "pod"] {
        let hello = containerd.must(&["task", "exec", "--exec-id", "x", "pod", "echo", "hello"]);
        assert_eq!(hello, "hello\n");
        containerd.must(&["task", "kill", "-s", "KILL", end]);
        containerd.expect_status(end, "STOPPED");
        containerd.remove(end);
    }
    containerd.assert_clean();
}

#[test]
fn options_are_read_or_refused_by_name() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let containerd = Containerd::start();
    let dir = tempfile::tempdir().expect("a scratch directory");
    let file = dir.path().join("options.toml");
    let run = |text: String| {
        fs::write(&file, text).expect("a file");
        let path = file.to_str().expect("UTF-8");
        containerd.ctr(&[
            "run",
            "--rm",
            "--runtime",
            PALISADE,
            "--runtime-config-path",
            path,
            IMAGE,
            "a",
            "echo",
            "hello",
        ])
    };
    let done = run("strikt = true".to_owned());
    assert!(done.status != 0 && done.stderr.contains("strikt"), "{done:?}");
    containerd.ctr(&["container", "rm", "a"]);
    let done = run(format!("strict = true\nstrace = {:?}", dir.path()));
    assert_eq!(done.stdout, "hello\n", "{done:?}");
    let trace = fs::read_to_string(dir.path().join("a.strace")).expect("a trace");
    assert!(trace.contains("hello"), "{trace}");
    containerd.assert_clean();
}
