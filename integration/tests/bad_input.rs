//! Bad input: one clear line that names the thing, a status that is not zero, nothing left behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::elf::{
    E_MACHINE, E_PHENTSIZE, E_PHNUM, E_PHOFF, Elf, P_ALIGN, P_FILESZ, P_MEMSZ, P_OFFSET, P_VADDR, PT_INTERP,
    PT_LOAD,
};
use integration::host_state::HostState;
use integration::process::{self, Finished};
use integration::{paths, roots};
use serde_json::json;
use tempfile::TempDir;

/// The tests of this file compare the host before and after, so they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `palisade` with `arguments`, which have to be refused in one line that names `thing`.
fn refused<S: AsRef<std::ffi::OsStr>>(arguments: &[S], thing: &str) {
    if paths::palisade_is_wanted() {
        refused_command(Command::new(paths::palisade()).args(arguments), thing);
    }
}

/// Runs a command that ends as `palisade`, which has to be refused in one line that names `thing`.
fn refused_command(command: &mut Command, thing: &str) {
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = HostState::now();
    let done = process::run_within(command, b"", Duration::from_secs(60));
    assert_one_line(&done, thing);
    before.assert_nothing_left(thing);
    drop(alone);
}

fn assert_one_line(done: &Finished, thing: &str) {
    assert!(!done.hung, "{done:?}");
    assert_ne!(done.status, 0, "{thing}: {done:?}");
    assert_eq!(done.stdout, "", "{done:?}");
    assert_eq!(done.stderr.lines().count(), 1, "one line: {done:?}");
    assert!(done.stderr.contains(thing), "the line names {thing}: {done:?}");
    assert!(!done.stderr.contains("panicked"), "{done:?}");
}

fn refused_bundle(bundle: &Path, thing: &str) {
    let bundle = bundle.to_str().expect("an ASCII path");
    refused(&["run", "--bundle", bundle, "bad-input"], thing);
}

/// A directory that the sandbox sees at /x.
fn volume() -> TempDir {
    tempfile::tempdir().expect("/tmp is writable")
}

/// Runs the program /x/`name` of `dir`: the host has to refuse it, and so has Palisade, naming it.
fn refused_program(dir: &TempDir, name: &str) {
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let native = process::run_native_status(&dir.path().join(name));
    assert_ne!(native, Some(0), "{name} runs on the host");
    let volume = format!("{}:/x:ro", dir.path().display());
    let program = format!("/x/{name}");
    if !paths::palisade_is_wanted() {
        return;
    }
    let before = HostState::now();
    let arguments = ["do", "--volume", &volume, "--", &program];
    let done =
        process::run_within(Command::new(paths::palisade()).args(arguments), b"", Duration::from_secs(60));
    // What the host kernel starts and then kills may be treated the same way.
    if done.status < 128 {
        assert_one_line(&done, &program);
    }
    assert!(!done.hung && done.status != 0 && !done.stderr.contains("panicked"), "{name}: {done:?}");
    before.assert_nothing_left(name);
    drop(alone);
}

fn refused_elf(name: &str, elf: &Elf) {
    let dir = volume();
    write_program(&dir, name, &elf.0);
    refused_program(&dir, name);
}

fn write_program(dir: &TempDir, name: &str, content: &[u8]) {
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(dir.path().join(name), content).expect("it is ours");
    fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn missing_bundle() {
    refused_bundle(Path::new("/no/such/bundle"), "/no/such/bundle");
}

#[test]
fn bundle_without_config() {
    let dir = volume();
    refused_bundle(dir.path(), "config.json");
}

#[test]
fn bundle_with_malformed_config() {
    let all =
        fs::read_to_string(Bundle::new(&roots::busybox(), &["/bin/true"]).config_path()).expect("it is ours");
    let half = &all[..all.len() / 2];
    for text in ["", "{", "[]", "null", half, "{\"ociVersion\": 7}", "\u{0}\u{1}"] {
        let dir = volume();
        fs::write(dir.path().join("config.json"), text).expect("it is ours");
        refused_bundle(dir.path(), "config.json");
    }
}

#[test]
fn bundle_with_bad_fields() {
    let base = || Bundle::new(&roots::busybox(), &["/bin/true"]);
    let file = volume();
    fs::write(file.path().join("f"), "").expect("it is ours");
    let bundles = [
        (base().with(|config| config["root"]["path"] = json!("/no/such/root")), "/no/such/root"),
        (base().with(|config| config["root"]["path"] = json!(file.path().join("f"))), "/f"),
        (base().with(|config| config["process"]["args"] = json!([])), "args"),
        (base().with(|config| config["process"]["args"] = json!(["/no/such/program"])), "/no/such/program"),
        (base().with(|config| config["process"]["cwd"] = json!("relative")), "cwd"),
        (base().with(|config| config["process"]["cwd"] = json!("/no/such/cwd")), "/no/such/cwd"),
        (base().with(|config| config["ociVersion"] = json!("99.0.0")), "99.0.0"),
        (
            base().with(|config| config["process"]["rlimits"][0]["type"] = json!("RLIMIT_NONSENSE")),
            "RLIMIT_NONSENSE",
        ),
        (
            base().with(|config| config["process"]["capabilities"]["effective"] = json!(["CAP_NONSENSE"])),
            "CAP_NONSENSE",
        ),
        (base().with(|config| config["mounts"][0]["type"] = json!("nonsensefs")), "nonsensefs"),
    ];
    for (bundle, thing) in &bundles {
        refused_bundle(bundle.path(), thing);
    }
}

#[test]
fn bad_ids() {
    let bundle = Bundle::new(&roots::busybox(), &["/bin/true"]);
    let path = bundle.path().to_str().expect("an ASCII path");
    for id in ["", "../escape", "a/b", "..", "with space", &"x".repeat(2000)] {
        refused(&["run", "--bundle", path, id], "id");
    }
}

#[test]
fn rootfs_that_is_no_directory() {
    refused(&["do", "--rootfs", "/no/such/root", "--", "true"], "/no/such/root");
    refused(&["do", "--rootfs", "/etc/passwd", "--", "true"], "/etc/passwd");
}

#[test]
fn bad_volumes() {
    for (volume, thing) in [
        ("/no/such/source:/x", "/no/such/source"),
        ("/tmp", "/tmp"),
        ("/tmp:relative", "relative"),
        ("/tmp:/x:nonsense", "nonsense"),
        (":/x", ":/x"),
        ("", "volume"),
    ] {
        refused(&["do", "--volume", volume, "--", "true"], thing);
    }
}

#[test]
fn bad_users_and_environment() {
    for user in ["no-such-user", "1:no-such-group", "-1", "4294967295", "1:2:3", ""] {
        let thing = if user.is_empty() { "user" } else { user };
        refused(&["do", &format!("--user={user}"), "--", "true"], thing);
    }
    refused(&["do", "--env", "=x", "--", "true"], "=x");
    refused(&["do", "--cwd", "/no/such/cwd", "--", "true"], "/no/such/cwd");
}

#[test]
fn missing_commands() {
    refused(&["do", "--", "/no/such/program"], "/no/such/program");
    refused(&["do", "--", "no-such-command"], "no-such-command");
    refused(&["do", "--", "/tmp"], "/tmp");
    refused(&["do", "--", "/etc/passwd"], "/etc/passwd");
}

#[test]
fn truncated_programs() {
    let whole = Elf::of_true();
    let length = whole.0.len();
    for (name, cut) in [
        ("four", 4),
        ("ident", 16),
        ("header", 63),
        ("no-headers", 64),
        ("few-headers", 200),
        ("half", length / 2),
    ] {
        refused_elf(name, &whole.clone().cut(cut));
    }
    let empty = volume();
    write_program(&empty, "empty", b"");
    refused_program(&empty, "empty");
}

#[test]
fn programs_of_other_machines() {
    // elf(5): 183 is EM_AARCH64, 3 is EM_386.
    refused_elf("aarch64", &Elf::of_true().set16(E_MACHINE, 183));
    refused_elf("i386", &Elf::of_true().set16(E_MACHINE, 3));
}

#[test]
fn programs_of_another_class_or_byte_order_do_no_harm() {
    // Linux does not look at these two bytes, so either answer is right; it only has to be a clean one.
    for (offset, value) in [(4, 1), (5, 2)] {
        let mut elf = Elf::of_true();
        elf.0[offset] = value;
        let dir = volume();
        write_program(&dir, "program", &elf.0);
        if paths::palisade_is_wanted() {
            let volume = format!("{}:/x:ro", dir.path().display());
            let mut command = Command::new(paths::palisade());
            let done = process::run(command.args(["do", "--volume", &volume, "--", "/x/program"]), b"");
            assert!(!done.hung && !done.stderr.contains("panicked"), "{done:?}");
        }
    }
}

#[test]
fn programs_with_overlapping_segments() {
    let elf = Elf::of_true();
    let (first, second) = (elf.header(PT_LOAD, 0), elf.header(PT_LOAD, 1));
    let start = elf.get64(first + P_VADDR);
    refused_elf("overlap", &elf.clone().set64(second + P_VADDR, start));
    refused_elf("backwards", &elf.clone().set64(first + P_VADDR, 0x10_0000));
}

#[test]
fn programs_with_huge_segments() {
    let elf = Elf::of_true();
    for (name, size) in [("tera", 1 << 47), ("exa", 1 << 62), ("all", u64::MAX)] {
        for index in [0, 3] {
            let header = elf.header(PT_LOAD, index);
            refused_elf(&format!("{name}-memory-{index}"), &elf.clone().set64(header + P_MEMSZ, size));
            refused_elf(
                &format!("{name}-file-{index}"),
                &elf.clone().set64(header + P_MEMSZ, size).set64(header + P_FILESZ, size),
            );
            refused_elf(
                &format!("{name}-offset-{index}"),
                &elf.clone().set64(header + P_OFFSET, size & !0xfff),
            );
            refused_elf(
                &format!("{name}-address-{index}"),
                &elf.clone().set64(header + P_VADDR, size & !0xfff),
            );
        }
    }
    let first = elf.header(PT_LOAD, 0);
    refused_elf("file-above-memory", &elf.clone().set64(first + P_MEMSZ, 1));
    refused_elf(
        "crooked",
        &elf.clone().set64(elf.header(PT_LOAD, 1) + P_OFFSET, 0x123).set64(first + P_ALIGN, 3),
    );
}

#[test]
fn programs_with_bad_headers() {
    let elf = Elf::of_true();
    refused_elf("many", &elf.clone().set16(E_PHNUM, 0xffff));
    refused_elf("none", &elf.clone().set16(E_PHNUM, 0));
    refused_elf("size", &elf.clone().set16(E_PHENTSIZE, 32));
    refused_elf("far", &elf.clone().set64(E_PHOFF, u64::MAX - 10));
    refused_elf("past-the-end", &elf.clone().set64(E_PHOFF, elf.0.len() as u64 - 5));
}

#[test]
fn programs_with_a_bad_interpreter() {
    let elf = Elf::of_true();
    let header = elf.header(PT_INTERP, 0);
    let at = usize::try_from(elf.get64(header + P_OFFSET)).expect("a small file");
    let mut missing = elf.clone();
    missing.0[at..at + 4].copy_from_slice(b"/no/");
    refused_elf("missing", &missing);
    let mut unterminated = elf.clone();
    let size = usize::try_from(elf.get64(header + P_FILESZ)).expect("a short name");
    unterminated.0[at + size - 1] = b'x';
    refused_elf("unterminated", &unterminated);
    refused_elf("long", &elf.clone().set64(header + P_FILESZ, 1 << 20));
    refused_elf("empty", &elf.clone().set64(header + P_FILESZ, 0));
    refused_elf("outside", &elf.clone().set64(header + P_OFFSET, 1 << 40));
}

#[test]
fn script_loops() {
    let dir = volume();
    write_program(&dir, "loop", format!("#!{}/loop\n", dir.path().display()).as_bytes());
    refused_program(&dir, "loop");
    write_program(&dir, "inside", b"#!/x/inside\n");
    refused_program(&dir, "inside");
    write_program(&dir, "missing", b"#!/no/such/interpreter\n");
    refused_program(&dir, "missing");
    write_program(&dir, "bare", b"#!\n");
    refused_program(&dir, "bare");
}

#[test]
fn second_sandbox_under_one_id() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = HostState::now();
    let bundle = Bundle::new(&roots::busybox(), &["/bin/sh", "-c", "echo up; read line; echo $line"]);
    let mut command = Command::new(paths::palisade());
    command.args(["run", "--bundle"]).arg(bundle.path()).arg("twice");
    use std::io::{BufRead, BufReader, Write};
    let mut first = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(first.stdout.take().expect("a pipe")).lines();
    assert_eq!(output.next().expect("a line").expect("text"), "up");
    let mut again = Command::new(paths::palisade());
    again.args(["run", "--bundle"]).arg(bundle.path()).arg("twice");
    assert_one_line(&process::run_within(&mut again, b"", Duration::from_secs(60)), "twice");
    // The first one has not suffered.
    first.stdin.take().expect("a pipe").write_all(b"well\n").expect("it reads");
    assert_eq!(output.next().expect("a line").expect("text"), "well");
    assert!(first.wait().expect("it ends").success());
    before.assert_nothing_left("the second one");
    // And the id is free again.
    let mut third = Command::new(paths::palisade());
    third.args(["run", "--bundle"]).arg(bundle.path()).arg("twice");
    assert_eq!(process::run(&mut third, b"again\n").stdout, "up\nagain\n");
    drop(alone);
}

#[test]
fn killed_supervisor_takes_everything_with_it() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = HostState::now();
    let mut child = Command::new(paths::palisade())
        .args(["do", "--", "sh", "-c", "sleep 1000 & echo up; sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut up = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut up).expect("it says so");
    let start = Instant::now();
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    before.assert_nothing_left("a killed supervisor");
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(alone);
}

fn status_of(arguments: &[&str]) -> i32 {
    process::run_within(Command::new(paths::palisade()).args(arguments), b"", Duration::from_secs(60)).status
}

#[test]
fn statuses_of_failures_are_those_of_env() {
    if !paths::palisade_is_wanted() {
        return;
    }
    // env(1): 125 for itself, 126 for a command that can't be run, 127 for one that is not found.
    assert_eq!(status_of(&["do", "--rootfs", "/no/such/root", "--", "true"]), 125);
    assert_eq!(status_of(&["do", "--no-such-flag"]), 125);
    assert_eq!(status_of(&["do", "--", "/etc/passwd"]), 126);
    assert_eq!(status_of(&["do", "--", "/etc"]), 126);
    assert_eq!(status_of(&["do", "--", "no-such-command"]), 127);
    assert_eq!(status_of(&["do", "--", "/no/such/command"]), 127);
}

#[test]
fn unsupported_fields_are_refused_by_name() {
    let base = || Bundle::new(&roots::busybox(), &["/bin/true"]);
    let refuse = |path: &[&str], value: serde_json::Value| {
        let bundle = base().with(|config| {
            let mut at = config;
            for name in path {
                at = &mut at[*name];
            }
            *at = value;
        });
        refused_bundle(bundle.path(), &path.join("."));
    };
    refuse(&["linux", "seccomp"], json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x" }));
    refuse(&["linux", "devices"], json!([{ "path": "/dev/sda", "type": "b", "major": 8, "minor": 0 }]));
    refuse(&["linux", "sysctl"], json!({ "kernel.no_such_sysctl": "1" }));
    refuse(&["linux", "sysctl"], json!({ "kernel.ostype": "Minix" }));
    refuse(&["linux", "namespaces"], json!([{ "type": "pid", "path": "/proc/1/ns/pid" }]));
    refuse(&["linux", "namespaces"], json!([{ "type": "user" }]));
    refuse(&["linux", "uidMappings"], json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]));
    refuse(&["linux", "timeOffsets"], json!({ "monotonic": { "secs": 1 } }));
    refuse(&["linux", "mountLabel"], json!("label"));
    refuse(&["linux", "intelRdt"], json!({ "closID": "x" }));
    refuse(&["linux", "resources", "unified"], json!({ "no/such": "1" }));
    refuse(&["process", "apparmorProfile"], json!("some-profile"));
    refuse(&["process", "selinuxLabel"], json!("label"));
    refuse(&["process", "oomScoreAdj"], json!(1001));
}

#[test]
fn failed_starts_leave_no_mount_points() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let root = volume();
    fs::create_dir(root.path().join("bin")).expect("it is ours");
    fs::copy(roots::busybox().join("bin/busybox"), root.path().join("bin/busybox")).expect("it is ours");
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(root.path()).expect("it is ours").flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    };
    // Writable: made for the start, and removed when it fails.
    let bundle =
        Bundle::new(root.path(), &["/bin/none"]).with(|config| config["root"]["readonly"] = json!(false));
    refused_bundle(bundle.path(), "/bin/none");
    assert_eq!(names(), ["bin"]);
    // Read-only: made in memory.
    let bundle = Bundle::new(root.path(), &["/bin/busybox", "ls", "/"]);
    let done = process::run(
        Command::new(paths::palisade()).args(["run", "--bundle"]).arg(bundle.path()).arg("points"),
        b"",
    );
    assert_eq!((done.stdout.as_str(), done.status), ("bin\ndev\nproc\nsys\ntmp\n", 0), "{done:?}");
    assert_eq!(names(), ["bin"]);
}

#[test]
fn one_of_many_starts_under_one_id_wins() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = HostState::now();
    let bundle = Bundle::new(&roots::busybox(), &["/bin/sh", "-c", "echo up; sleep 1"]);
    let start = || {
        let mut command = Command::new(paths::palisade());
        command.args(["run", "--bundle"]).arg(bundle.path()).arg("crowd");
        process::run_within(&mut command, b"", Duration::from_secs(60))
    };
    let all: Vec<Finished> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it runs a command")).collect()
    });
    assert_eq!(all.iter().filter(|done| done.status == 0 && done.stdout == "up\n").count(), 1, "{all:?}");
    all.iter().filter(|done| done.status != 0).for_each(|done| assert_one_line(done, "crowd"));
    before.assert_nothing_left("a crowd");
    drop(alone);
}

#[test]
fn id_of_a_killed_sandbox_is_free_again() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let bundle = Bundle::new(&roots::busybox(), &["/bin/sh", "-c", "echo up; read line"]);
    for _ in 0..2 {
        let mut command = Command::new(paths::palisade());
        command.args(["run", "--bundle"]).arg(bundle.path()).arg("killed");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut up = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut up).expect("it says so");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
    let mut command = Command::new(paths::palisade());
    command.args(["run", "--bundle"]).arg(bundle.path()).arg("killed");
    assert_eq!(process::run(&mut command, b"\n").stdout, "up\n");
    drop(alone);
}

#[test]
fn host_without_a_namespace() {
    for limit in ["max_user_namespaces", "max_pid_namespaces", "max_mnt_namespaces"] {
        if paths::palisade_is_wanted() {
            // The limits of a user namespace hold for those below it, where everybody may set them.
            let script = format!("echo 0 >/proc/sys/user/{limit} && exec \"$0\" do -- true");
            let mut command = Command::new("unshare");
            command.args(["-U", "-r", "sh", "-c", &script]).arg(paths::palisade());
            refused_command(&mut command, "raise sysctl user.max_user_namespaces");
        }
    }
}

/// Has the program of `command` find that the host lacks a system call, or forbids it.
fn without_call(command: &mut Command, number: libc::c_long, errno: i32) -> &mut Command {
    let number = u32::try_from(number).expect("a system call");
    let refusal = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    // seccomp_data begins with the number. Load it; if it is this one, refuse; else allow.
    let program =
        [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, refusal), (6, 0, 0, libc::SECCOMP_RET_ALLOW)];
    let install = move || {
        let mut filter = program.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: numbers alone.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the kernel copies the program, which lives until the call returns.
        let result =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: two system calls, which any child of a process with threads may make.
    unsafe { command.pre_exec(install) }
}

#[test]
fn host_without_a_system_call() {
    let cases = [
        (libc::SYS_seccomp, libc::ENOSYS, "cannot install the seccomp filter"),
        (libc::SYS_seccomp, libc::EPERM, "no outer seccomp filter"),
        (libc::SYS_clone, libc::EPERM, "allow unprivileged user namespaces"),
        (libc::SYS_memfd_create, libc::ENOSYS, "create the loader's sealed memfd"),
        (libc::SYS_pidfd_getfd, libc::EPERM, "kernel.yama.ptrace_scope"),
        (libc::SYS_pidfd_getfd, libc::ENOSYS, "pidfd_getfd"),
        (libc::SYS_process_vm_readv, libc::ENOSYS, "run `palisade doctor`"),
        (libc::SYS_openat2, libc::ENOSYS, "run `palisade doctor`"),
        (libc::SYS_execveat, libc::ENOSYS, "run `palisade doctor`"),
        (libc::SYS_pivot_root, libc::EPERM, "cannot make a root directory for the supervisor"),
    ];
    for (number, errno, thing) in cases {
        if paths::palisade_is_wanted() {
            let mut command = Command::new(paths::palisade());
            refused_command(without_call(command.args(["do", "--", "true"]), number, errno), thing);
        }
    }
}

#[test]
fn host_with_few_descriptors() {
    if paths::palisade_is_wanted() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 256 && exec \"$0\" do -- true"]).arg(paths::palisade());
        refused_command(&mut command, "the hard limit of open files is 256");
    }
}

#[test]
fn trace_file_that_cannot_be_made() {
    refused(&["do", "--strace=/no/such/dir/trace", "--", "true"], "/no/such/dir/trace");
    refused(&["do", "--strace=/tmp", "--", "true"], "--strace=/tmp");
}

#[test]
fn full_and_closed_outputs_are_the_programs_matter() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let palisade = paths::palisade();
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        process::run(command.args(["-c", script]).env("P", &palisade), b"")
    };
    let full = shell("$P do -- /bin/echo hi > /dev/full");
    assert_eq!((full.status, full.stderr.contains("No space left on device")), (1, true), "{full:?}");
    assert_eq!(shell("$P do -- sh -c 'echo hi; exit 4' >&-").status, 4);
    assert_eq!(shell("$P do -- sh -c 'read x; exit 5' <&-").status, 5);
    assert_eq!(shell("$P do -- sh -c 'echo hi >&2; exit 6' 2>&-").status, 6);
    assert_eq!(shell("$P syscalls > /dev/full").status, 125);
    assert_eq!(shell("$P syscalls | head -n 1 > /dev/null").stderr, "");
}
