//! Podman and Docker over runc, the control, and over Palisade: what users type has to come out the same. And the
//! configurations of engines, as `palisade install` writes them.

use std::fs;
use std::path::Path;
use std::process::Command;

use integration::engines::{Engine, IMAGE};
use integration::host_state::HostState;
use integration::paths;
use integration::process::{self, Finished};
use integration::pty::Terminal;
use integration::runtime::{alone, eventually, new_id};

/// The runtimes by the names that engines know.
fn runtimes() -> Vec<&'static str> {
    if paths::palisade_is_wanted() { vec!["runc", "palisade"] } else { vec!["runc"] }
}

/// A container's whole life; what was to be seen of it.
fn life(engine: &Engine, runtime: &str) -> Vec<Finished> {
    let mut seen = Vec::new();
    let mut tell = |input: &str, arguments: &[&str]| {
        seen.push(process::run(&mut engine.with_runtime(runtime, arguments), input.as_bytes()));
    };
    let run = ["run", "--rm", "--network", "none", "--hostname", "box"];
    let once = |options: &[&'static str], script: &'static str| {
        [&run[..], options, &[IMAGE, "/bin/sh", "-c", script]].concat()
    };
    tell("", &once(&[], "id -u; hostname; pwd; echo err >&2; exit 42"));
    tell("typed\n", &once(&["-i"], "read line; echo got $line"));
    let options = ["-e", "A=b c", "-w", "/tmp", "-u", "7:8", "--read-only", "--tmpfs", "/tmp:rw,size=64k"];
    tell("", &once(&options, "echo $A; pwd; id -u; id -g; touch /x /tmp/x; ls /tmp"));
    tell(
        "",
        &once(&["--tmpfs", "/etc:rw"], "ls -l /etc | sed 's/  */ /g' | cut -d' ' -f1-4; cat /etc/group"),
    );
    tell("", &once(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], "grep CapEff /proc/self/status"));
    tell(
        "",
        &once(
            &["--memory", "64m", "--pids-limit", "40"],
            "cat /proc/1/comm; ls -d /dev/null /dev/pts /dev/shm",
        ),
    );
    tell("", &once(&[], "exec /no/such"));

    let name = new_id();
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let start = ["run", "-d", "--name", &name, "--network", "none", IMAGE, "/bin/sh", "-c", script];
    let started = process::run(&mut engine.with_runtime(runtime, &start), b"");
    assert_eq!(started.status, 0, "{runtime}: {started:?}");
    eventually("it writes", || engine.must(&["logs", &name]).stdout == "up\n");
    let mut tell = |input: &str, arguments: &[&str]| {
        seen.push(process::run(&mut engine.with_runtime(runtime, arguments), input.as_bytes()));
    };
    let inspect = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", &name];
    tell("", &["exec", &name, "sh", "-c", "echo out; echo err >&2; exit 5"]);
    tell(
        "typed\n",
        &[
            "exec",
            "-i",
            "-e",
            "X=y",
            "-w",
            "/bin",
            "-u",
            "3",
            &name,
            "sh",
            "-c",
            "read l; echo $l $X; pwd; id -u",
        ],
    );
    tell("", &["pause", &name]);
    tell("", &inspect);
    tell("", &["unpause", &name]);
    tell("", &["stop", "-t", "60", &name]);
    tell("", &["logs", &name]);
    tell("", &inspect);
    tell("", &["rm", &name]);
    for done in &mut seen {
        // Names and ids.
        done.stdout = done.stdout.replace(&name, "NAME");
        // Engines wrap what a runtime says.
        if [125, 126, 127].contains(&done.status) {
            done.stderr.clear();
        }
    }
    seen
}

/// With terminals: of a first process, and of one beside it.
fn terminals(engine: &Engine, runtime: &str) -> Vec<String> {
    let name = new_id();
    // An engine sets the size while the program starts; until then busybox's stty prints none.
    let script = "until s=$(stty size 2>/dev/null) && [ \"$s\" ]; do sleep 0.1; done; echo $s; tty; read line; echo got $line; exit 4";
    let run = ["run", "-it", "--rm", "--name", &name, "--network", "none", IMAGE, "/bin/sh", "-c", script];
    let mut terminal = Terminal::start(engine.with_runtime(runtime, &run));
    let mut seen = vec![terminal.expect("/dev/pts/0")];
    let mut beside =
        Terminal::start(engine.with_runtime(runtime, &["exec", "-it", &name, "sh", "-c", "tty; exit 6"]));
    beside.expect("/dev/pts/");
    seen.push(beside.wait().to_string());
    terminal.type_line("word");
    terminal.expect("got word");
    seen.push(terminal.wait().to_string());
    seen
}

fn same_under_both(engine: Engine) {
    let all: Vec<_> =
        runtimes().into_iter().map(|name| (life(&engine, name), terminals(&engine, name))).collect();
    println!("{:#?}", all[0]);
    for ours in all.iter().skip(1) {
        for (control, ours) in all[0].0.iter().zip(&ours.0) {
            assert_eq!(control, ours);
        }
        assert_eq!(all[0].1, ours.1);
    }
    engine.finish();
}

#[test]
fn podman_does_the_same_over_palisade_as_over_runc() {
    let _alone = alone();
    let before = HostState::now();
    same_under_both(Engine::podman());
    before.assert_nothing_left("podman");
}

#[test]
fn docker_does_the_same_over_palisade_as_over_runc() {
    let _alone = alone();
    let before = HostState::now();
    same_under_both(Engine::docker());
    before.assert_nothing_left("docker");
}

fn palisade(words: &[&str], config: &Path) -> Finished {
    process::run(Command::new(paths::palisade()).args(words).arg("--config").arg(config), b"")
}

#[test]
fn installation_shows_the_difference_and_can_be_taken_back() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let dir = tempfile::tempdir().expect("/tmp is writable");
    for (engine, old) in [
        (
            "containerd",
            "version = 2\n# mine\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"x\"\n",
        ),
        ("docker", "{\n  \"debug\": true\n}\n"),
        ("podman", "# mine\n[engine]\nevents_logger = \"file\"\n"),
    ] {
        let config = dir.path().join(engine);
        let text = || fs::read_to_string(&config).expect("it is there");
        fs::write(&config, old).expect("it is ours");
        let dry = palisade(&["install", engine, "--dry-run"], &config);
        assert!(dry.status == 0 && dry.stderr.contains("\n+") && dry.stderr.contains("palisade"), "{dry:?}");
        assert_eq!(text(), old);
        let done = palisade(&["install", engine], &config);
        assert!(
            done.status == 0
                && done.stderr.starts_with(dry.stderr.split("not written").next().unwrap_or("?"))
        );
        assert_eq!(done.stdout.contains("kind: RuntimeClass"), engine == "containerd", "{done:?}");
        let installed = text();
        assert_ne!(installed, old);
        assert_eq!(
            fs::read_to_string(dir.path().join(format!("{engine}.palisade-backup"))).expect("a backup"),
            old
        );
        let again = palisade(&["install", engine], &config);
        assert!(again.status == 0 && again.stderr.contains("nothing to do"), "{again:?}");
        assert_eq!(text(), installed);
        assert_eq!(palisade(&["uninstall", engine], &config).status, 0);
        assert_eq!(text().trim_end(), old.trim_end());
        let again = palisade(&["uninstall", engine], &config);
        assert!(again.status == 0 && again.stderr.contains("nothing to do"), "{again:?}");
        // Where there is none yet, one is made, and goes again.
        let fresh = dir.path().join("new").join(engine);
        assert_eq!(palisade(&["install", engine], &fresh).status, 0);
        assert_eq!(palisade(&["uninstall", engine], &fresh).status, 0);
    }
    for (engine, text) in [
        ("containerd", "version = \"two\"\n"),
        ("containerd", "[[[\n"),
        ("docker", "{\"runtimes\": []}"),
        ("docker", "\u{0}"),
        ("podman", "engine = 3\n"),
    ] {
        let config = dir.path().join("bad");
        fs::write(&config, text).expect("it is ours");
        let done = palisade(&["install", engine], &config);
        assert_eq!((done.status, done.stderr.lines().count()), (1, 1), "{done:?}");
        assert!(done.stderr.contains("/bad: "), "{done:?}");
        assert_eq!(fs::read_to_string(&config).expect("it is there"), text);
    }
    let done = palisade(&["install", "docker"], dir.path());
    assert!(done.status == 1 && done.stderr.contains("is not a file"), "{done:?}");
}

#[test]
fn containerd_takes_the_configuration() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let dir = tempfile::tempdir().expect("/tmp is writable");
    let config = dir.path().join("config.toml");
    assert_eq!(palisade(&["install", "containerd"], &config).status, 0);
    let dump = process::run(Command::new("containerd").arg("-c").arg(&config).args(["config", "dump"]), b"");
    let table = "containerd.runtimes.palisade]";
    let ours = dump.stdout.split(table).nth(1).unwrap_or_else(|| panic!("{dump:?}"));
    let shim = paths::palisade().with_file_name("containerd-shim-palisade-v1");
    assert!(ours.contains("runtime_type = \"io.containerd.palisade.v1\""), "{ours}");
    assert!(ours.contains(&format!("runtime_path = \"{}\"", shim.display())), "{ours}");
}
