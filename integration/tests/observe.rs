//! Who looks at a running container sees all of it, or is told how much is missing; and the container does not notice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use integration::bundle::Bundle;
use integration::process;
use integration::runtime::{Runtime, busybox_shell, debian_shell, eventually, new_id, ours};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Calls without end, of several processes.
fn busy() -> Bundle {
    busybox_shell(": >/tmp/ready; for i in 1 2; do while :; do : </etc/passwd; done & done; wait")
}

fn run_detached(runtime: &Runtime, bundle: &Bundle) -> String {
    let id = new_id();
    let status = process::shell_status(
        integration::runtime::spawn_quiet(
            runtime.command(&["run", "--detach", "--bundle"]).arg(bundle.path()).arg(&id),
        )
        .wait()
        .expect("it is ours"),
    );
    assert_eq!(status, 0);
    id
}

fn spawn(command: &mut Command) -> Child {
    process::default_signals();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Ends a command as ^C does; all that it wrote after `seen`.
fn interrupt(
    mut child: Child,
    mut out: BufReader<std::process::ChildStdout>,
    seen: &mut Vec<String>,
) -> String {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    seen.extend(rest.lines().map(str::to_owned));
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("it is ours").success(), "{said}");
    said
}

/// Calls and drops of a trace in JSON, whose numbers must be whole.
fn check_numbers(lines: &[String]) -> (u64, u64) {
    let (mut next, mut calls, mut missing, mut dropped) = (0, 0, 0, 0);
    for line in lines {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Some(count) = object["dropped"].as_u64() {
            dropped += count;
            continue;
        }
        let seq = object["seq"].as_u64().expect("a number");
        // Two threads may finish calls at a time, of which the later one is taken first at most once in a batch.
        missing += seq.saturating_sub(next);
        next = next.max(seq + 1);
        calls += 1;
    }
    assert!(
        calls + dropped >= next && missing <= dropped + 8,
        "{calls} calls, {dropped} dropped, {missing} of {next} missing"
    );
    (calls, dropped)
}

#[test]
fn traces_come_and_go_under_load_and_lose_nothing_uncounted() {
    ours(|runtime| {
        let bundle = busy();
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        // More often than there may be observers at a time.
        for round in 0..20 {
            let options = ["trace", "--format", "json", &id];
            let mut child = spawn(&mut runtime.command(&options));
            let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
            let mut lines = Vec::new();
            while lines.len() < 200 {
                let mut line = String::new();
                assert!(out.read_line(&mut line).expect("text") > 0, "the trace ended by itself");
                lines.push(line);
            }
            if round % 4 == 3 {
                // Who vanishes without a word is no trouble, either.
                child.kill().and_then(|()| child.wait()).expect("it is ours");
                continue;
            }
            let said = interrupt(child, out, &mut lines);
            let (calls, dropped) = check_numbers(&lines);
            assert!(said.contains(&format!("{calls} calls traced, {dropped} dropped")), "{said}");
        }
        assert_eq!(runtime.status(&id), "running");
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn slow_reader_stalls_nobody_and_is_told_what_it_missed() {
    ours(|runtime| {
        let bundle = busy();
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let mut slow = spawn(&mut runtime.command(&["trace", "--format", "json", &id]));
        let mut out = BufReader::new(slow.stdout.take().expect("a pipe"));
        let mut first = String::new();
        out.read_line(&mut first).expect("text");
        // It reads nothing more, and the container goes on: another trace sees more calls than there are rings for.
        let mut other = spawn(&mut runtime.command(&[
            "trace",
            "--format",
            "json",
            "--syscalls",
            "openat,open,close",
            &id,
        ]));
        let mut lines = BufReader::new(other.stdout.take().expect("a pipe")).lines();
        for _ in 0..60_000 {
            let line = lines.next().expect("the trace goes on").expect("text");
            assert!(line.contains("open") || line.contains("close") || line.contains("dropped"), "{line}");
        }
        other.kill().and_then(|()| other.wait()).expect("it is ours");
        let mut seen = vec![first];
        let mut line = String::new();
        while !seen.last().is_some_and(|line| line.starts_with("{\"dropped\"")) {
            line.clear();
            assert!(out.read_line(&mut line).expect("text") > 0, "nothing was dropped");
            seen.push(line.clone());
        }
        interrupt(slow, out, &mut seen);
        let (_, dropped) = check_numbers(&seen);
        assert!(dropped > 0);
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn end_of_a_container_ends_its_traces_with_the_last_call() {
    ours(|runtime| {
        let bundle = busybox_shell(
            ": >/tmp/ready; while ! test -e /tmp/go; do sleep 0.05; done; exec cat /nothing-there",
        );
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let file = runtime.root.path().with_extension("trace.json");
        let path = file.display().to_string();
        let mut traced =
            spawn(&mut runtime.command(&["trace", "--format", "perfetto", "--output", &path, &id]));
        // Attached as soon as it has written something.
        eventually("the trace begins", || std::fs::metadata(&file).is_ok_and(|it| it.len() > 0));
        runtime.ok(&["exec", &id, "touch", "/tmp/go"]);
        assert!(traced.wait().expect("it is ours").success());
        let text = std::fs::read_to_string(&file).expect("a file");
        std::fs::remove_file(&file).expect("it is ours");
        let timeline: Value = serde_json::from_str(&text).expect("JSON");
        let events = timeline["traceEvents"].as_array().expect("a list");
        let has = |word: &str| {
            events.iter().any(|event| event["args"]["call"].as_str().is_some_and(|call| call.contains(word)))
        };
        assert!(has("/nothing-there") && has("exit_group("), "{text}");
        runtime.wait_for(&id, "stopped");
        let refused = runtime.run(&["trace", &id]);
        assert!(refused.status != 0 && refused.stderr.contains("has stopped"), "{refused:?}");
        runtime.ok(&["delete", &id]);
    });
}

#[test]
fn bad_words_give_one_line() {
    ours(|runtime| {
        for (words, said) in [
            (vec!["trace", "no-such-id"], "does not exist"),
            (vec!["trace", "--syscalls", "opne", "x"], "no system call has this name"),
            (vec!["trace", "a", "b"], "name one container"),
            (vec!["metrics", "no-such-id"], "does not exist"),
            (vec!["profile", "no-such-id"], "does not exist"),
            (vec!["profile", "--duration", "soon", "x"], "write a time"),
            (vec!["metrics-server", "--listen", "nowhere"], "invalid value 'nowhere'"),
            (vec!["metrics-server", "--listen", "192.0.2.1:80"], "choose another address"),
            (vec!["trace", "do", "--no-such-option", "x"], "unexpected argument"),
            (vec!["trace", "-o", "/no/such/dir/x", "do", "true"], "cannot be created"),
        ] {
            let done = runtime.run(&words);
            assert_ne!(done.status, 0, "{words:?}");
            let first = done.stderr.lines().next().unwrap_or_default();
            assert!(first.contains(said) && done.stdout.is_empty(), "{words:?}: {done:?}");
        }
    });
}

/// A program of this test's own, killed with this value.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A GET; the body.
fn http(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// A metrics server on a port of its choice, and its address.
fn metrics_server(runtime: &Runtime) -> (Background, String) {
    let root = runtime.root.path().display().to_string();
    let mut command = Command::new(&runtime.program);
    command.args(["metrics-server", "--listen", "127.0.0.1:0", "--root", &root]);
    let mut server = spawn(&mut command);
    let mut line = String::new();
    BufReader::new(server.stderr.take().expect("a pipe")).read_line(&mut line).expect("text");
    let address = line
        .trim()
        .strip_prefix("palisade: metrics at http://")
        .and_then(|rest| rest.strip_suffix("/metrics"));
    (Background(server), address.unwrap_or_else(|| panic!("{line}")).to_owned())
}

#[test]
fn prometheus_scrapes_what_a_container_does() {
    ours(|runtime| {
        let bundle = busy();
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let (_server, address) = metrics_server(runtime);
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let config = dir.path().join("prometheus.yml");
        let scrape = json!({ "scrape_configs": [{
            "job_name": "palisade", "scrape_interval": "1s", "static_configs": [{ "targets": [address] }],
        }] });
        std::fs::write(&config, scrape.to_string()).expect("it is ours");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let own = format!("127.0.0.1:{port}");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display())).arg(format!("--web.listen-address={own}"));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        process::default_signals();
        let prometheus = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let _prometheus = Background(prometheus.expect("prometheus is installed"));
        let ask = |query: &str| -> Option<f64> {
            let body = http(&own, &format!("/api/v1/query?query={query}"))?;
            let answer: Value = serde_json::from_str(&body).ok()?;
            answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
        };
        for (query, least) in [
            ("sum(palisade_calls_total%7Bcall=~%22open%7Copenat%22,result=%22ok%22%7D)", 100.0),
            ("palisade_up", 1.0),
            ("sum(palisade_call_duration_seconds_count)", 100.0),
            ("histogram_quantile(0.5,sum%20by(le)(palisade_call_duration_seconds_bucket))", 1e-7),
            ("palisade_processes", 3.0),
            ("palisade_supervisor_resident_bytes", 100_000.0),
        ] {
            eventually(query, || ask(query).is_some_and(|value| value >= least));
        }
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn metrics_are_well_formed_and_count_only_while_somebody_asks() {
    ours(|runtime| {
        let bundle = busybox_shell(": >/tmp/ready; while ! test -e /tmp/go; do sleep 0.05; done");
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let first = runtime.ok(&["metrics", &id]).stdout;
        assert!(!first.contains("call=\"execve\""), "counted before anybody asked: {first}");
        runtime.ok(&["exec", &id, "true"]);
        let text = runtime.ok(&["metrics", &id]).stdout;
        assert!(text.contains("palisade_calls_total{") && text.contains("result=\"ok\""), "{text}");
        let checked = process::run(Command::new("promtool").args(["check", "metrics"]), text.as_bytes());
        assert_eq!(checked.status, 0, "{checked:?}");
        let profile = runtime.ok(&["profile", "--duration", "200ms", "--format", "json", &id]).stdout;
        let profile: Value = serde_json::from_str(&profile).expect("JSON");
        assert!(profile["now"]["processes"].as_u64().is_some_and(|count| count >= 1), "{profile}");
        // Only the metrics' own counter is left.
        let left = runtime.ok(&["metrics", &id]).stdout;
        assert!(
            left.lines().any(|line| line.starts_with("palisade_observers{") && line.ends_with(" 1")),
            "{left}"
        );
        runtime.ok(&["exec", &id, "touch", "/tmp/go"]);
        runtime.wait_for(&id, "stopped");
        for words in [["metrics", &id], ["profile", &id]] {
            let done = runtime.run(&words);
            assert!(done.status != 0 && done.stderr.contains("has stopped"), "{done:?}");
        }
        runtime.ok(&["delete", &id]);
    });
}

#[test]
fn profile_says_where_the_time_of_a_program_goes() {
    ours(|runtime| {
        let words =
            ["profile", "--format", "json", "do", "sh", "-c", "for i in 1 2 3 4 5; do cat /etc/passwd; done"];
        let done = runtime.ok(&words);
        let profile: Value =
            serde_json::from_str(&done.stderr).unwrap_or_else(|error| panic!("{error}: {done:?}"));
        let calls = profile["calls"].as_array().expect("a list");
        let execve = calls.iter().find(|call| call["name"] == "execve").expect("it executes");
        assert!(execve["succeeded"].as_u64().unwrap() + execve["byHost"].as_u64().unwrap() >= 2, "{execve}");
        let sum = |field: &str| calls.iter().map(|call| call["parts"][field].as_u64().unwrap()).sum::<u64>();
        assert!(sum("copies") > 0 && sum("hostCalls") > 0 && sum("answerNs") > 0);
        assert!(sum("runNs") >= sum("hostNs") + sum("copyNs"));
        let paths = profile["paths"].as_array().expect("a list");
        assert!(paths.iter().any(|path| path["path"] == "/etc/passwd"), "{paths:?}");
    });
}

#[test]
fn dashboard_asks_for_metrics_that_exist() {
    let deploy = integration::paths::package_dir().parent().expect("the workspace").join("deploy");
    let text = std::fs::read_to_string(deploy.join("grafana-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 6));
    let known = runtime_watch::prometheus::text(&[]);
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for word in text.split(|character| !is_name(character)).filter(|word| word.starts_with("palisade_")) {
        let base = word.trim_end_matches("_bucket");
        assert!(known.contains(&format!("# TYPE {base} ")), "{word}");
    }
}

/// Lines of events, each of which is as the schema says.
fn checked_events(text: &str) -> Vec<Value> {
    let deploy = integration::paths::package_dir().parent().expect("the workspace").join("deploy");
    let path = deploy.join("security-events.schema.json");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let schema = compiler.compile(path.to_str().expect("UTF-8"), &mut schemas).expect("the schema is one");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (at, event) in events.iter().enumerate() {
        if let Err(error) = schemas.validate(event, schema) {
            panic!("{error}\n{event}");
        }
        assert_eq!(event["seq"], at, "{event}");
    }
    events
}

#[test]
fn security_events_tell_what_a_container_did() {
    ours(|runtime| {
        let volume = tempfile::tempdir().expect("/tmp is writable");
        let script = "echo a >/tmp/outside; echo b >/volume/inside; cat </etc/passwd >/dev/null; \
                      nc local:/tmp/nobody </dev/null; su nobody -s /bin/sh -c 'id; echo x >/etc/passwd'; \
                      setuidgid nobody cat /etc/shadow; exit 0";
        let mount = json!({ "destination": "/volume", "type": "bind", "source": volume.path(), "options": ["rbind", "rw"] });
        let bundle = busybox_shell(script).with(|config| {
            config["mounts"].as_array_mut().expect("a list").push(mount.clone());
            config["process"]["capabilities"] = Value::Null;
        });
        let (file, id) = (volume.path().join("events"), new_id());
        let words = [
            "run",
            "--security-events",
            &file.display().to_string(),
            "--bundle",
            &bundle.path().display().to_string(),
            &id,
        ];
        let done = runtime.run(&words);
        assert_eq!(done.status, 0, "{done:?}");
        let events = checked_events(&std::fs::read_to_string(&file).expect("events"));
        let has = |what: &str, holds: &dyn Fn(&Value) -> bool| {
            assert!(events.iter().any(|event| event["type"] == what && holds(event)), "{what}: {events:#?}");
        };
        has("exec", &|event| {
            event["path"].as_str().is_some_and(|path| path.contains("busybox") || path.contains("sh"))
        });
        has("exec", &|event| event["argv"][0].as_str().is_some_and(|name| name.contains("cat")));
        has("open-write", &|event| event["path"] == "/tmp/outside" && event["created"] == true);
        assert!(
            !events.iter().any(|event| event["type"] == "open-write" && event["path"] == "/volume/inside")
        );
        assert!(!events.iter().any(|event| event["path"] == "/etc/passwd" && event["type"] == "open-write"));
        assert!(events.iter().all(|event| event["container"] == id.as_str()));
    });
}

#[test]
fn reader_of_security_events_that_does_not_read_stalls_nobody() {
    ours(|runtime| {
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let socket = dir.path().join("socket");
        let to = format!("unix:{}", socket.display());
        let bundle = busybox_shell("i=0; while [ $i -lt 20000 ]; do : >/tmp/x; i=$((i+1)); done");
        let (path, id) = (bundle.path().display().to_string(), new_id());
        let words = ["run", "--security-events", &to, "--bundle", &path, &id];
        let refused = runtime.run(&words);
        assert!(refused.status != 0 && refused.stderr.contains("nobody listens there"), "{refused:?}");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("it is ours");
        let done = runtime.run(&words);
        assert_eq!(done.status, 0, "{done:?}");
        let (mut stream, _) = listener.accept().expect("it has connected");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        // The last line may be cut: its reader did not take it in time.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let events = checked_events(whole);
        assert!(events.len() < 20_000 && events.len() > 100, "{}", events.len());
    });
}

#[test]
fn monitor_streams_events_and_says_how_many_it_dropped() {
    ours(|runtime| {
        let bundle = busybox_shell(": >/tmp/ready; while :; do : >/tmp/x; done");
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let mut child = spawn(&mut runtime.command(&["monitor", &id]));
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut text = String::new();
        // It reads nothing until more has happened than there is room for.
        let calls = |runtime: &Runtime| -> f64 {
            let metrics = runtime.ok(&["metrics", &id]).stdout;
            let wanted = |line: &&str| line.starts_with("palisade_calls_total{") && line.contains("\"open");
            metrics
                .lines()
                .filter(wanted)
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        let before = calls(runtime);
        eventually("the container goes on", || calls(runtime) > before + 30_000.0);
        while !text.contains("\"dropped\"") {
            text.push_str(&lines.next().expect("it goes on").expect("text"));
            text.push('\n');
        }
        checked_events(&text);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
        drop(lines);
        assert!(child.wait().expect("it is ours").success());
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn debug_names_what_calls_wait_for_and_who_holds_locks() {
    ours(|runtime| {
        let bundle = debian_shell(
            "flock /tmp/lock sleep 1000 & sleep 0.3; flock /tmp/lock true & : >/tmp/ready; wait",
        );
        let id = run_detached(runtime, &bundle);
        runtime.wait_ready(&id);
        let mut seen = Value::Null;
        eventually("a call waits for the lock", || {
            seen =
                serde_json::from_str(&runtime.ok(&["debug", "--format", "json", &id]).stdout).expect("JSON");
            let parked = seen["parked"].as_array().expect("a list");
            parked.iter().any(|call| call["waitsFor"] == "a lock on /tmp/lock")
        });
        assert!(seen["locks"][0].as_str().is_some_and(|lock| lock.starts_with("exclusive")), "{seen}");
        let open = |process: &Value| {
            process["files"]
                .as_array()
                .is_some_and(|files| files.iter().any(|file| file["path"] == "/tmp/lock"))
        };
        assert!(seen["processes"].as_array().is_some_and(|all| all.iter().any(open)), "{seen}");
        assert!(
            seen["mounts"].as_array().is_some_and(|all| all.iter().any(|mount| mount["point"] == "/proc")),
            "{seen}"
        );
        let text = runtime.ok(&["debug", "--stacks", &id]).stdout;
        assert!(text.contains("for a lock on /tmp/lock") && !text.contains("mount:"), "{text}");
        let root = runtime.root.path().display().to_string();
        let top = process::run(
            Command::new(&runtime.program).args(["top", "--once", "--interval", "0.2", "--root", &root]),
            b"",
        );
        assert!(top.status == 0 && top.stdout.contains(&id), "{top:?}");
        let screen = process::run(Command::new(&runtime.program).args(["top", "--root", &root]), b"");
        assert!(screen.status != 0 && screen.stderr.lines().count() == 1, "{screen:?}");
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn manual_has_a_page_for_each_command_and_shells_can_complete() {
    ours(|runtime| {
        let dir = tempfile::tempdir().expect("/tmp is writable");
        runtime.ok(&["man", &dir.path().display().to_string()]);
        let help = runtime.ok(&["--help"]).stdout;
        let commands =
            help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("commands");
        let words = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names: Vec<&str> = words.filter_map(|line| line.split_whitespace().next()).collect();
        assert!(names.contains(&"trace") && names.len() > 20, "{help}");
        let bash = runtime.ok(&["completions", "bash"]).stdout;
        for name in names.iter().filter(|name| **name != "help") {
            assert!(dir.path().join(format!("palisade-{name}.1")).is_file(), "{name}");
            assert!(bash.contains(name), "{name}");
        }
        assert_eq!(process::run(Command::new("bash").arg("-n"), bash.as_bytes()).status, 0);
    });
}
