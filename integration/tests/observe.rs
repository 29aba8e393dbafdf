//! Who looks at a running container sees all of it, or is told how much is missing; and the container does not notice.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use integration::bundle::Bundle;
use integration::process;
use integration::runtime::{Runtime, busybox_shell, eventually, new_id, ours};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

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
