//! The commands of an OCI runtime, one after the other as engines give them: the same under runc and under Palisade.
//! And what only Palisade can be asked: that nothing is left whatever is killed at whatever moment.

use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use integration::bundle::Bundle;
use integration::process::{self, Finished};
use integration::roots;
use integration::runtime::{
    Runtime, both, busybox_shell, end_of, eventually, new_id, ours, quiet, read_pid, reap_orphans,
    reap_until_gone, sleeper, spawn_quiet,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use serde_json::{Value, json};

#[test]
fn life_goes_from_created_over_running_to_stopped() {
    both(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        let mut keys: Vec<String> =
            runtime.state(&id).as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        let mut seen = vec![runtime.status(&id)];
        assert!(kill(runtime.pid(&id), None).is_ok());
        runtime.ok(&["start", &id]);
        seen.push(runtime.status(&id));
        let listed = runtime.ok(&["list", "-q"]).stdout;
        assert_eq!(listed.trim(), id);
        let json: Value = serde_json::from_str(&runtime.ok(&["list", "-f", "json"]).stdout).expect("JSON");
        seen.push(json[0]["owner"].as_str().unwrap_or_default().to_owned());
        runtime.wait_ready(&id);
        runtime.ok(&["kill", &id, "USR1"]);
        runtime.wait_for(&id, "stopped");
        seen.push(runtime.state(&id)["pid"].to_string());
        runtime.ok(&["delete", &id]);
        (keys, seen, runtime.status(&id))
    });
}

#[test]
fn commands_in_the_wrong_state_fail_alike() {
    both(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let path = bundle.path().display().to_string();
        let mut seen = Vec::new();
        let mut tell = |arguments: &[&str]| {
            let done = runtime.run(arguments);
            // runc's words come first in ours.
            let words = [
                "does not exist",
                "already exists",
                "not running",
                "not stopped",
                "already running",
                "has stopped",
            ];
            let said = words.iter().find(|word| done.stderr.contains(**word)).copied();
            seen.push((arguments.first().unwrap_or(&"").to_string(), done.status, said));
        };
        for command in ["state", "start", "kill", "delete", "ps"] {
            tell(&[command, &id]);
        }
        tell(&["delete", "--force", &id]);
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        tell(&["create", "--bundle", &path, &id]);
        tell(&["start", &id]);
        tell(&["start", &id]);
        tell(&["delete", &id]);
        tell(&["kill", &id, "NOSUCH"]);
        tell(&["kill", &id, "KILL"]);
        runtime.wait_for(&id, "stopped");
        tell(&["kill", &id, "KILL"]);
        tell(&["start", &id]);
        tell(&["exec", &id, "true"]);
        tell(&["ps", &id]);
        tell(&["delete", &id]);
        tell(&["delete", &id]);
        tell(&["exec", &id, "true"]);
        seen
    });
}

#[test]
fn created_container_can_be_deleted_or_killed() {
    both(|runtime| {
        let bundle = busybox_shell("echo ran > /proc/self/fd/1");
        let id = new_id();
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        runtime.ok(&["delete", &id]);
        let mut seen = vec![runtime.status(&id)];
        for signal in ["KILL", "TERM"] {
            assert_eq!(runtime.create(&bundle, &id, &[]), 0);
            runtime.ok(&["kill", &id, signal]);
            runtime.wait_for(&id, "stopped");
            runtime.ok(&["delete", &id]);
            seen.push(runtime.status(&id));
        }
        seen
    });
}

#[test]
fn missing_program_fails_at_create() {
    both(|runtime| {
        let bundle = Bundle::new(&roots::busybox(), &["/no/such/program"]);
        let id = new_id();
        (runtime.create(&bundle, &id, &[]), runtime.status(&id))
    });
}

#[test]
fn exec_runs_beside_the_first_process() {
    both(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        let early = runtime.run(&["exec", &id, "echo", "early"]);
        runtime.ok(&["start", &id]);
        let mut seen = vec![early];
        let mut exec = |options: &[&str], script: &str| {
            let arguments = [&["exec"], options, &[&id, "sh", "-c", script]].concat();
            seen.push(process::run(&mut runtime.command(&arguments), b"typed\n"));
        };
        exec(&[], "echo out; echo err >&2; exit 7");
        exec(&[], "read line; echo $line; echo $PPID; cat /proc/1/comm");
        exec(&["--env", "A=b c", "--cwd", "/proc"], "echo $A; pwd; echo $HOME");
        exec(&["--user", "7:8", "-g", "9"], "id -u; id -g; id -G; pwd; echo $HOME");
        exec(&["--cap", "CAP_SYS_ADMIN"], "grep Cap /proc/self/status");
        exec(&["--no-new-privs"], "grep NoNewPrivs /proc/self/status");
        exec(&[], "kill -TERM $$");
        exec(&[], "kill -KILL $$");
        exec(&[], "(sleep 0.1; echo later) & wait; true | true; echo done");
        exec(&["--cwd", "/no/such"], "true");
        for done in &mut seen {
            // The words of a failure are each runtime's own.
            if done.status == 255 {
                done.stderr.clear();
            }
        }
        seen.push(Finished { stderr: String::new(), ..runtime.run(&["exec", &id, "no-such-program"]) });
        runtime.ok(&["delete", "--force", &id]);
        seen
    });
}

#[test]
fn exec_takes_a_process_from_a_file() {
    both(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        runtime.ok(&["start", &id]);
        let file = bundle.path().join("process.json");
        let process = json!({
            "terminal": false, "user": { "uid": 5, "gid": 6, "additionalGids": [7] }, "cwd": "/tmp",
            "args": ["/bin/sh", "-c", "id -u; id -g; pwd; echo $X"], "env": ["PATH=/bin", "X=y"],
        });
        fs::write(&file, process.to_string()).expect("the bundle is ours");
        let done = runtime.run(&["exec", "--process", &file.display().to_string(), &id]);
        runtime.ok(&["delete", "--force", &id]);
        done
    });
}

#[test]
fn process_of_a_pid_file_ends_as_the_container_does() {
    both(|runtime| {
        let id = new_id();
        let bundle = busybox_shell("trap 'exit 9' TERM; while :; do sleep 0.1; done");
        let path = bundle.path().display().to_string();
        let (file, other) = (bundle.path().join("pid"), bundle.path().join("exec-pid"));
        let name = file.display().to_string();
        let started =
            quiet(&mut runtime.command(&["run", "--detach", "--pid-file", &name, "--bundle", &path, &id]));
        let name = other.display().to_string();
        let exec = ["exec", "--detach", "--pid-file", &name, &id, "sh", "-c", "sleep 0.3; exit 4"];
        let joined = quiet(&mut runtime.command(&exec));
        let joined_end = end_of(read_pid(&other));
        // As engines do with what they started by exec.
        let exec = ["exec", "--detach", "--pid-file", &name, &id, "sleep", "100"];
        assert_eq!(quiet(&mut runtime.command(&exec)), 0);
        kill(Pid::from_raw(read_pid(&other)), Signal::SIGTERM).expect("it runs");
        let killed_end = end_of(read_pid(&other));
        runtime.ok(&["kill", &id]);
        let end = end_of(read_pid(&file));
        runtime.wait_for(&id, "stopped");
        runtime.ok(&["delete", &id]);
        (started, joined, joined_end, killed_end, end)
    });
}

#[test]
fn run_in_the_foreground_is_a_container_like_others() {
    both(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let path = bundle.path().display().to_string();
        let mut child = spawn_quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        runtime.wait_for(&id, "running");
        let done = runtime.ok(&["exec", &id, "echo", "inside"]);
        runtime.wait_ready(&id);
        runtime.ok(&["kill", &id, "USR1"]);
        let status = process::shell_status(child.wait().expect("it is ours"));
        let kept = quiet(&mut runtime.command(&[
            "run",
            "--keep",
            "--bundle",
            &busybox_shell("exit 6").path().display().to_string(),
            &id,
        ]));
        let state = runtime.status(&id);
        runtime.ok(&["delete", &id]);
        (done, status, kept, state)
    });
}

#[test]
fn kill_all_reaches_everybody() {
    both(|runtime| {
        let id = new_id();
        let bundle = busybox_shell(
            "(trap 'exit 0' TERM; : >/tmp/child; while :; do sleep 0.1; done) & child=$!; trap : TERM; \
             until test -e /tmp/child; do sleep 0.1; done; : >/tmp/ready; wait $child; wait $child; exit 5",
        );
        let file = bundle.path().join("pid");
        assert_eq!(runtime.create(&bundle, &id, &["--pid-file", &file.display().to_string()]), 0);
        runtime.ok(&["start", &id]);
        runtime.wait_ready(&id);
        runtime.ok(&["kill", "--all", &id, "15"]);
        let end = end_of(read_pid(&file));
        runtime.ok(&["delete", &id]);
        end
    });
}

#[test]
fn preserved_descriptors_arrive() {
    both(|runtime| {
        let (bundle, id) =
            (busybox_shell("read line <&3; echo $line; ls /proc/self/fd | grep -c '^[0-4]$'"), new_id());
        let path = bundle.path().display().to_string();
        let file = bundle.path().join("three");
        fs::write(&file, "third\n").expect("the bundle is ours");
        // A shell puts the file at 3.
        let script = format!("exec \"$@\" 3<{}", file.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(&runtime.program).arg("--root").arg(runtime.root.path());
        command.args(["run", "--preserve-fds", "1", "--bundle", &path, &id]);
        process::run(&mut command, b"")
    });
}

#[test]
fn pipes_end_with_the_container_not_with_its_supervisor() {
    both(|runtime| {
        let (bundle, id) = (busybox_shell("echo said; exec sleep 0.2 >&- 2>&-"), new_id());
        let path = bundle.path().display().to_string();
        // process::run reads to the end of both pipes.
        let done = process::run_within(
            &mut runtime.command(&["run", "--detach", "--bundle", &path, &id]),
            b"",
            Duration::from_secs(20),
        );
        runtime.wait_for(&id, "stopped");
        runtime.ok(&["delete", &id]);
        done
    });
}

/// Takes a terminal from a console socket.
fn receive_master(listener: &UnixListener) -> fs::File {
    let (stream, _) = listener.accept().expect("somebody connects");
    let mut name = [0; 64];
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut parts = [IoSliceMut::new(&mut name)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())
        .expect("a message comes");
    let fd = message.cmsgs().expect("it has rights").find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    fs::File::from(unsafe { OwnedFd::from_raw_fd(fd.expect("a descriptor")) })
}

/// Reads until `until` has come, or the end.
fn read_until(terminal: &mut fs::File, until: &str) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&text).contains(until) {
        match terminal.read(&mut buffer) {
            Ok(count) if count > 0 => text.extend_from_slice(&buffer[..count]),
            // EIO: the last process has closed it.
            _ => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn terminal_is_sent_to_the_console_socket() {
    both(|runtime| {
        let script = "stty size; tty; read line; echo got $line; read line";
        let bundle = busybox_shell(script).with(|config| {
            config["process"]["terminal"] = json!(true);
            config["process"]["consoleSize"] = json!({ "height": 31, "width": 77 });
        });
        let id = new_id();
        let socket = bundle.path().join("console");
        let name = socket.display().to_string();
        let listener = UnixListener::bind(&socket).expect("the bundle is ours");
        let refused = runtime.create(&bundle, &id, &[]);
        assert_eq!(runtime.create(&bundle, &id, &["--console-socket", &name]), 0);
        let mut master = receive_master(&listener);
        runtime.ok(&["start", &id]);
        let mut seen = vec![read_until(&mut master, "pts/0\r\n")];
        master.write_all(b"word\n").expect("it is open");
        seen.push(read_until(&mut master, "got word\r\n"));
        let exec = ["exec", "-t", "-d", "--console-socket", &name, &id, "sh", "-c", "tty; exit 3"];
        assert_eq!(quiet(&mut runtime.command(&exec)), 0);
        seen.push(read_until(&mut receive_master(&listener), "never"));
        master.write_all(b"end\n").expect("it is open");
        seen.push(read_until(&mut master, "never"));
        eventually("the container stops", || {
            reap_orphans();
            runtime.status(&id) == "stopped"
        });
        runtime.ok(&["delete", &id]);
        (refused, seen)
    });
}

#[test]
fn of_several_creates_with_one_id_one_wins() {
    // runc does not always hold that.
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let create = || runtime.create(&bundle, &id, &[]);
        let statuses: Vec<i32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it runs a command")).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 0).count(), 1, "{statuses:?}");
        assert_eq!(runtime.status(&id), "created");
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn hooks_run_at_their_moments() {
    both(|runtime| {
        let id = new_id();
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let log = dir.path().join("log");
        let hook = |name: &str| {
            let script = format!("grep -o '\"status\":\"[a-z]*\"' | sed 's/^/{name} /' >> {}", log.display());
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
        };
        let bundle = sleeper().with(|config| {
            config["hooks"] = json!({
                "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
                "poststart": hook("poststart"), "poststop": hook("poststop"),
            });
        });
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        runtime.ok(&["start", &id]);
        runtime.ok(&["delete", "--force", &id]);
        let text = fs::read_to_string(&log).unwrap_or_default();
        let names: Vec<String> =
            text.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
        names
    });
}

#[test]
fn log_is_written_in_the_format_that_was_asked_for() {
    both(|runtime| {
        let log = runtime.root.path().with_extension("log");
        let name = log.display().to_string();
        runtime.run(&["--log", &name, "--log-format", "json", "state", "nobody"]);
        let text = fs::read_to_string(&log).expect("a log");
        let _ = fs::remove_file(&log);
        let line: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON");
        (line["level"].clone(), line["msg"].as_str().unwrap_or_default().contains("does not exist"))
    });
}

#[test]
fn create_killed_at_any_moment_leaves_nothing_after_delete() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let path = bundle.path().display().to_string();
        for round in 0..60u64 {
            let mut child = spawn_quiet(&mut runtime.command(&["create", "--bundle", &path, &id]));
            thread::sleep(Duration::from_micros(round * 400));
            let _ = child.kill();
            let _ = child.wait();
            runtime.ok(&["delete", "--force", &id]);
            assert_eq!(runtime.ids(), 0, "round {round}");
        }
    });
}

#[test]
fn delete_killed_at_any_moment_can_be_repeated() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        for round in 0..30u64 {
            assert_eq!(runtime.create(&bundle, &id, &[]), 0);
            runtime.ok(&["start", &id]);
            let mut child = spawn_quiet(&mut runtime.command(&["delete", "--force", &id]));
            thread::sleep(Duration::from_micros(round * 400));
            let _ = child.kill();
            let _ = child.wait();
            runtime.ok(&["delete", "--force", &id]);
            assert_eq!(runtime.ids(), 0, "round {round}");
        }
    });
}

/// The supervisor's pid, as the pid file has it.
fn created(runtime: &Runtime, bundle: &Bundle, id: &str) -> Pid {
    let file = bundle.path().join("pid");
    assert_eq!(runtime.create(bundle, id, &["--pid-file", &file.display().to_string()]), 0);
    Pid::from_raw(read_pid(&file))
}

#[test]
fn supervisor_killed_in_any_state_takes_its_guests_along() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        for step in 0..4 {
            let supervisor = created(runtime, &bundle, &id);
            if step > 0 {
                runtime.ok(&["start", &id]);
            }
            if step > 1 {
                assert_eq!(quiet(&mut runtime.command(&["exec", "-d", &id, "sleep", "1000"])), 0);
            }
            let init = runtime.pid(&id);
            kill(supervisor, Signal::SIGKILL).expect("it runs");
            assert_eq!(end_of(supervisor.as_raw()), 137);
            let state = runtime.state(&id);
            assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
            assert_eq!(runtime.run(&["kill", &id, "KILL"]).status, 1);
            let options: &[&str] = if step == 3 { &["delete", "--force", &id] } else { &["delete", &id] };
            runtime.ok(options);
            reap_until_gone(init);
        }
    });
}

#[test]
fn first_process_killed_from_outside_is_seen() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let supervisor = created(runtime, &bundle, &id);
        runtime.ok(&["start", &id]);
        let mut exec = spawn_quiet(&mut runtime.command(&["exec", &id, "sleep", "1000"]));
        runtime.wait_inside(&id, "grep -q '100[0]' /proc/[0-9]*/cmdline");
        kill(runtime.pid(&id), Signal::SIGKILL).expect("it runs");
        assert_eq!(end_of(supervisor.as_raw()), 137);
        assert_eq!(process::shell_status(exec.wait().expect("it is ours")), 137);
        assert_eq!(runtime.status(&id), "stopped");
        runtime.ok(&["delete", &id]);
    });
}

#[test]
fn run_killed_in_the_foreground_frees_its_id() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let path = bundle.path().display().to_string();
        let mut child = spawn_quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        runtime.wait_for(&id, "running");
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(runtime.status(&id), "stopped");
        runtime.ok(&["delete", &id]);
        // delete --force of one that runs ends the command.
        let mut child = spawn_quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        runtime.wait_for(&id, "running");
        runtime.ok(&["delete", "--force", &id]);
        assert_eq!(process::shell_status(child.wait().expect("it is ours")), 137);
    });
}

#[test]
fn many_execs_leave_nothing_in_the_supervisor() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let supervisor = created(runtime, &bundle, &id);
        runtime.ok(&["start", &id]);
        let count = |what: &str| fs::read_dir(format!("/proc/{supervisor}/{what}")).expect("it runs").count();
        runtime.ok(&["exec", &id, "true"]);
        let before = (count("fd"), count("task"));
        for _ in 0..20 {
            runtime.ok(&["exec", &id, "sh", "-c", "true & wait"]);
            assert_eq!(quiet(&mut runtime.command(&["exec", "-d", &id, "true"])), 0);
        }
        // Descriptors of the guest shell's files may be cached; threads and listeners may not be left.
        eventually(&format!("{before:?} is all that it holds again"), || {
            count("task") <= before.1 && count("fd") <= before.0 + 2
        });
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn state_directory_with_a_long_name_serves() {
    ours(|runtime| {
        let long = runtime.root.path().join("x".repeat(200));
        let deep = Runtime {
            program: runtime.program.clone(),
            root: tempfile::tempdir_in(runtime.root.path()).expect("ours"),
        };
        fs::create_dir(&long).expect("it is ours");
        let (bundle, id) = (sleeper(), "y".repeat(200));
        let path = bundle.path().display().to_string();
        let mut command = Command::new(&runtime.program);
        command.arg("--root").arg(&long).args(["create", "--bundle", &path, &id]);
        assert_eq!(quiet(&mut command), 0);
        let mut command = Command::new(&runtime.program);
        command.arg("--root").arg(&long).args(["delete", "--force", &id]);
        assert_eq!(quiet(&mut command), 0);
        fs::remove_dir(&long).expect("it is empty");
        drop(deep);
    });
}

/// Nobody but its owner may speak to a supervisor; garbage does not disturb it.
#[test]
fn control_socket_survives_garbage() {
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        created(runtime, &bundle, &id);
        let socket = runtime.root.path().join(&id).join("control.sock");
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0{}", b"\x05\0\0\0[[[[[", b"\x01"] {
            let mut stream = UnixStream::connect(&socket).expect("it listens");
            stream.write_all(bytes).expect("it reads");
        }
        assert_eq!(runtime.status(&id), "created");
        runtime.ok(&["start", &id]);
        runtime.ok(&["delete", "--force", &id]);
    });
}
