//! Credentials: per thread, their capabilities, and what exec makes of them (credentials(7), capabilities(7)).

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use integration::guest::scratch::Scratch;
use integration::guest::{self, in_child};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::unistd::{Uid, chown};

fn main() -> ExitCode {
    guest::main(checks![
        threads_have_credentials_of_their_own,
        new_thread_has_its_makers_credentials,
        child_has_the_forking_threads_credentials,
        libc_changes_all_threads,
        change_of_ids_makes_undumpable,
        leaving_root_clears_capabilities,
        keepcaps_keeps_permitted,
        effective_follows_the_effective_uid,
        fsuid_moves_file_capabilities,
        capset_rules,
        capget_versions,
        bounding_set_drops_for_good,
        ambient_needs_permitted_and_inheritable,
        ambient_survives_exec,
        securebits_lock,
        noroot_exec_gives_no_capabilities,
        setuid_file_changes_the_effective_id,
        setgid_file_changes_the_effective_group,
        no_new_privs_stops_setuid_files,
        file_capabilities_are_gained,
        file_capabilities_obey_the_bounding_set,
        file_capabilities_need_a_valid_value,
        writing_and_chown_drop_file_capabilities,
    ])
}

/// A user who is nobody here.
const USER: u32 = 4321;
const CAP_CHOWN: u32 = 0;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_SETUID: u32 = 7;
const CAP_NET_BIND_SERVICE: u32 = 10;
const V1: u32 = 0x1998_0330;
const V2: u32 = 0x2007_1026;
const V3: u32 = 0x2008_0522;

fn bit(cap: u32) -> u64 {
    1 << cap
}

/// A line of the calling thread's status.
fn status(name: &str) -> String {
    let text = fs::read_to_string("/proc/thread-self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the line exists").trim().to_owned()
}

fn set(name: &str) -> u64 {
    u64::from_str_radix(&status(name), 16).expect("a set")
}

fn euid() -> i64 {
    raw!(SYS_geteuid).expect("geteuid")
}

/// effective, permitted, inheritable.
fn capget() -> [u64; 3] {
    let header = [V3, 0];
    let mut data = [0_u32; 6];
    raw!(SYS_capget, header.as_ptr(), data.as_mut_ptr()).expect("capget");
    [0, 1, 2].map(|at| u64::from(data[at]) | u64::from(data[at + 3]) << 32)
}

fn capset(sets: [u64; 3]) -> nix::Result<()> {
    let header = [V3, 0];
    let mut data = [0_u32; 6];
    for (at, set) in sets.into_iter().enumerate() {
        data[at] = set as u32;
        data[at + 3] = (set >> 32) as u32;
    }
    raw!(SYS_capset, header.as_ptr(), data.as_ptr()).map(drop)
}

fn prctl(op: i32, arg: u64) -> nix::Result<i64> {
    raw!(SYS_prctl, op, arg, 0_u64, 0_u64, 0_u64)
}

fn ambient(command: i32, cap: u32) -> nix::Result<i64> {
    raw!(SYS_prctl, libc::PR_CAP_AMBIENT, command, u64::from(cap), 0_u64, 0_u64)
}

fn become_user() {
    raw!(SYS_setgroups, 0, 0).expect("setgroups");
    raw!(SYS_setresgid, USER, USER, USER).expect("setresgid");
    raw!(SYS_setresuid, USER, USER, USER).expect("setresuid");
}

fn threads_have_credentials_of_their_own() {
    let (tell, wait) = mpsc::channel::<()>();
    let (say, hear) = mpsc::channel();
    let other = thread::spawn(move || {
        raw!(SYS_setresuid, USER, USER, USER).expect("setresuid");
        say.send(()).expect("send");
        wait.recv().expect("recv");
        (euid(), status("Uid"))
    });
    hear.recv().expect("recv");
    assert_eq!((euid(), status("Uid")), (0, "0\t0\t0\t0".to_owned()));
    fs::read("/etc/shadow").expect("root reads it");
    tell.send(()).expect("send");
    assert_eq!(other.join().expect("join"), (i64::from(USER), format!("{USER}\t{USER}\t{USER}\t{USER}")));
}

fn new_thread_has_its_makers_credentials() {
    let grandchild = thread::spawn(|| {
        raw!(SYS_setfsuid, USER).expect("setfsuid");
        thread::spawn(|| raw!(SYS_setfsuid, USER).expect("setfsuid")).join().expect("join")
    });
    assert_eq!(grandchild.join().expect("join"), i64::from(USER));
    let sibling = thread::spawn(|| raw!(SYS_setfsuid, u32::MAX).expect("setfsuid"));
    assert_eq!(sibling.join().expect("join"), 0);
}

fn child_has_the_forking_threads_credentials() {
    let status = thread::spawn(|| {
        raw!(SYS_setresuid, USER, USER, USER).expect("setresuid");
        in_child(|| i32::from(euid() != i64::from(USER)))
    });
    assert_eq!(status.join().expect("join"), 0);
    assert_eq!(in_child(|| i32::from(euid() != 0)), 0);
}

fn libc_changes_all_threads() {
    let (tell, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        wait.recv().expect("recv");
        euid()
    });
    nix::unistd::setuid(Uid::from_raw(USER)).expect("setuid");
    tell.send(()).expect("send");
    assert_eq!(other.join().expect("join"), i64::from(USER));
}

fn change_of_ids_makes_undumpable() {
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, 0), Ok(1));
    raw!(SYS_setresuid, -1, USER, -1).expect("setresuid");
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, 0), Ok(0));
    assert_eq!(prctl(libc::PR_SET_DUMPABLE, 2), Err(Errno::EINVAL));
    prctl(libc::PR_SET_DUMPABLE, 1).expect("prctl");
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, 0), Ok(1));
    raw!(SYS_setresuid, -1, USER, USER).expect("setresuid");
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, 0), Ok(1));
}

fn leaving_root_clears_capabilities() {
    assert_ne!(capget()[0], 0);
    raw!(SYS_setresuid, USER, USER, USER).expect("setresuid");
    assert_eq!(capget(), [0; 3]);
}

fn keepcaps_keeps_permitted() {
    let [_, permitted, _] = capget();
    prctl(libc::PR_SET_KEEPCAPS, 1).expect("prctl");
    assert_eq!(prctl(libc::PR_SET_KEEPCAPS, 2), Err(Errno::EINVAL));
    raw!(SYS_setresuid, USER, USER, USER).expect("setresuid");
    assert_eq!(capget(), [0, permitted, 0]);
    capset([bit(CAP_CHOWN), permitted, 0]).expect("capset");
    assert_eq!(set("CapEff"), bit(CAP_CHOWN));
}

fn effective_follows_the_effective_uid() {
    let all = capget();
    raw!(SYS_setresuid, -1, USER, -1).expect("setresuid");
    assert_eq!(capget(), [0, all[1], all[2]]);
    raw!(SYS_setresuid, -1, 0, -1).expect("setresuid");
    assert_eq!(capget(), [all[1], all[1], all[2]]);
}

fn fsuid_moves_file_capabilities() {
    assert_ne!(set("CapEff") & bit(CAP_DAC_OVERRIDE), 0);
    assert_eq!(raw!(SYS_setfsuid, USER), Ok(0));
    assert_eq!(set("CapEff") & bit(CAP_DAC_OVERRIDE), 0);
    assert_ne!(set("CapEff") & bit(CAP_SETUID), 0);
    assert_eq!(fs::read("/etc/shadow").expect_err("no right").raw_os_error(), Some(libc::EACCES));
    assert_eq!(raw!(SYS_setfsuid, 0), Ok(i64::from(USER)));
    assert_ne!(set("CapEff") & bit(CAP_DAC_OVERRIDE), 0);
}

fn capset_rules() {
    let [_, permitted, _] = capget();
    let some = bit(CAP_CHOWN) | bit(CAP_SETUID);
    assert_eq!(capset([some, bit(CAP_CHOWN), 0]), Err(Errno::EPERM));
    capset([some, some, bit(CAP_CHOWN)]).expect("capset");
    assert_eq!(capget(), [some, some, bit(CAP_CHOWN)]);
    assert_eq!(capset([some, permitted, 0]), Err(Errno::EPERM));
    assert_eq!(capset([some, some, bit(CAP_DAC_OVERRIDE)]), Err(Errno::EPERM));
    // Capabilities that do not exist are dropped without a word.
    capset([some | 1 << 63, some | 1 << 63, 0]).expect("capset");
    assert_eq!(capget(), [some, some, 0]);
    let header = [V3, 1];
    let data = [0_u32; 6];
    assert_eq!(raw!(SYS_capset, header.as_ptr(), data.as_ptr()), Err(Errno::EPERM));
}

fn capget_versions() {
    let all = capget();
    let mut data = [0xeeee_eeee_u32; 6];
    raw!(SYS_capget, [V1, 0].as_ptr(), data.as_mut_ptr()).expect("capget");
    assert_eq!((u64::from(data[0]), data[3]), (all[0] & 0xffff_ffff, 0xeeee_eeee));
    raw!(SYS_capget, [V2, 0].as_ptr(), data.as_mut_ptr()).expect("capget");
    assert_ne!(data[3], 0xeeee_eeee);
    let mut header = [7_u32, 0];
    assert_eq!(raw!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()), Err(Errno::EINVAL));
    assert_eq!(header[0], V3);
    header = [7, 0];
    assert_eq!(raw!(SYS_capget, header.as_mut_ptr(), 0), Ok(0));
    let init = [V3, 1];
    raw!(SYS_capget, init.as_ptr(), data.as_mut_ptr()).expect("of another process");
    assert_eq!(raw!(SYS_capget, [V3, u32::MAX].as_ptr(), data.as_mut_ptr()), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_capget, [V3, 9_999_999].as_ptr(), data.as_mut_ptr()), Err(Errno::ESRCH));
}

fn bounding_set_drops_for_good() {
    let cap = u64::from(CAP_NET_BIND_SERVICE);
    assert_eq!(prctl(libc::PR_CAPBSET_READ, cap), Ok(1));
    prctl(libc::PR_CAPBSET_DROP, cap).expect("prctl");
    assert_eq!(prctl(libc::PR_CAPBSET_READ, cap), Ok(0));
    assert_eq!(prctl(libc::PR_CAPBSET_READ, 200), Err(Errno::EINVAL));
    assert_eq!(prctl(libc::PR_CAPBSET_DROP, 200), Err(Errno::EINVAL));
    let shown = run_status(Path::new("/bin/grep"), "CapEff");
    assert_eq!(shown & bit(CAP_NET_BIND_SERVICE), 0);
    assert_ne!(shown & bit(CAP_CHOWN), 0);
    become_user();
    assert_eq!(prctl(libc::PR_CAPBSET_DROP, 1), Err(Errno::EPERM));
}

/// The set that a `grep` program sees in its own status.
fn run_status(grep: &Path, name: &str) -> u64 {
    let output = std::process::Command::new(grep)
        .args([&format!("^{name}:"), "/proc/self/status"])
        .output()
        .expect("grep runs");
    let text = String::from_utf8(output.stdout).expect("text");
    u64::from_str_radix(text.split_whitespace().nth(1).expect("a value"), 16).expect("a set")
}

fn ambient_needs_permitted_and_inheritable() {
    assert_eq!(ambient(libc::PR_CAP_AMBIENT_RAISE, CAP_CHOWN), Err(Errno::EPERM));
    let [effective, permitted, _] = capget();
    capset([effective, permitted, bit(CAP_CHOWN)]).expect("capset");
    ambient(libc::PR_CAP_AMBIENT_RAISE, CAP_CHOWN).expect("raise");
    assert_eq!(ambient(libc::PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), Ok(1));
    assert_eq!(set("CapAmb"), bit(CAP_CHOWN));
    assert_eq!(ambient(libc::PR_CAP_AMBIENT_RAISE, 200), Err(Errno::EINVAL));
    assert_eq!(ambient(9, CAP_CHOWN), Err(Errno::EINVAL));
    assert_eq!(ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, CAP_SETUID), Err(Errno::EINVAL));
    // What is inheritable no longer is ambient no longer.
    capset([effective, permitted, 0]).expect("capset");
    assert_eq!(set("CapAmb"), 0);
    capset([effective, permitted, bit(CAP_CHOWN)]).expect("capset");
    ambient(libc::PR_CAP_AMBIENT_RAISE, CAP_CHOWN).expect("raise");
    ambient(libc::PR_CAP_AMBIENT_LOWER, CAP_CHOWN).expect("lower");
    assert_eq!(ambient(libc::PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), Ok(0));
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0).expect("clear");
}

fn ambient_survives_exec() {
    prctl(libc::PR_SET_KEEPCAPS, 1).expect("prctl");
    become_user();
    let [_, permitted, _] = capget();
    capset([0, permitted, bit(CAP_CHOWN)]).expect("capset");
    ambient(libc::PR_CAP_AMBIENT_RAISE, CAP_CHOWN).expect("raise");
    let grep = Path::new("/bin/grep");
    for name in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(run_status(grep, name), bit(CAP_CHOWN), "{name}");
    }
}

fn securebits_lock() {
    const NOROOT: u64 = 1;
    const NOROOT_LOCKED: u64 = 2;
    const KEEP_CAPS_LOCKED: u64 = 1 << 5;
    assert_eq!(prctl(libc::PR_GET_SECUREBITS, 0), Ok(0));
    assert_eq!(prctl(libc::PR_SET_SECUREBITS, 1 << 12), Err(Errno::EPERM));
    prctl(libc::PR_SET_SECUREBITS, NOROOT | NOROOT_LOCKED | KEEP_CAPS_LOCKED).expect("prctl");
    assert_eq!(prctl(libc::PR_SET_SECUREBITS, NOROOT_LOCKED | KEEP_CAPS_LOCKED), Err(Errno::EPERM));
    assert_eq!(prctl(libc::PR_SET_SECUREBITS, NOROOT), Err(Errno::EPERM));
    assert_eq!(prctl(libc::PR_SET_KEEPCAPS, 1), Err(Errno::EPERM));
    assert_eq!(prctl(libc::PR_GET_SECUREBITS, 0), Ok(0x23));
}

fn noroot_exec_gives_no_capabilities() {
    prctl(libc::PR_SET_SECUREBITS, 1).expect("prctl");
    assert_eq!(run_status(Path::new("/bin/grep"), "CapPrm"), 0);
}

/// A copy of a program with these attributes, in a directory that others may enter.
fn program(scratch: &Scratch, source: &str, owner: [u32; 2], mode: u32) -> std::path::PathBuf {
    fs::set_permissions(scratch.dir(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let path = scratch.at("program");
    fs::copy(source, &path).expect("copy");
    chown(&path, Some(owner[0].into()), Some(owner[1].into())).expect("chown");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    path
}

fn output(program: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().expect("it runs");
    String::from_utf8(output.stdout).expect("text")
}

fn status_of(grep: &Path, name: &str) -> String {
    let line = output(grep, &[&format!("^{name}:"), "/proc/self/status"]);
    line.split_once(":\t").expect("a line").1.trim_end().to_owned()
}

fn setuid_file_changes_the_effective_id() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 0], 0o4755);
    assert_eq!(
        in_child(|| {
            become_user();
            assert_eq!(status_of(&grep, "Uid"), format!("{USER}\t0\t0\t0"));
            assert_eq!(status_of(&grep, "Gid"), format!("{USER}\t{USER}\t{USER}\t{USER}"));
            assert_ne!(run_status(&grep, "CapEff"), 0);
            0
        }),
        0
    );
    let grep = program(&scratch, "/bin/grep", [77, 0], 0o4755);
    assert_eq!(status_of(&grep, "Uid"), "0\t77\t77\t77");
    // Root's real id gives what it gives, but nothing effective.
    assert_eq!(run_status(&grep, "CapEff"), 0);
    assert_ne!(run_status(&grep, "CapPrm"), 0);
}

fn setgid_file_changes_the_effective_group() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 88], 0o2755);
    assert_eq!(status_of(&grep, "Gid"), "0\t88\t88\t88");
    // Without the group's x it means something else.
    let grep = program(&scratch, "/bin/grep", [0, 88], 0o2745);
    assert_eq!(status_of(&grep, "Gid"), "0\t0\t0\t0");
}

fn no_new_privs_stops_setuid_files() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 88], 0o6755);
    assert_eq!(raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 1_u64, 0_u64, 0_u64), Err(Errno::EINVAL));
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).expect("prctl");
    assert_eq!(prctl(libc::PR_SET_NO_NEW_PRIVS, 0), Err(Errno::EINVAL));
    assert_eq!((prctl(libc::PR_GET_NO_NEW_PRIVS, 0), status("NoNewPrivs").as_str()), (Ok(1), "1"));
    become_user();
    assert_eq!(status_of(&grep, "Uid"), format!("{USER}\t{USER}\t{USER}\t{USER}"));
    assert_eq!(status_of(&grep, "Gid"), format!("{USER}\t{USER}\t{USER}\t{USER}"));
    set_file_capabilities(&grep, bit(CAP_CHOWN), true).expect_err("the user may not");
}

/// Sets security.capability, version 2.
fn set_file_capabilities(path: &Path, permitted: u64, effective: bool) -> nix::Result<()> {
    let mut value = Vec::new();
    value.extend((0x0200_0000_u32 | u32::from(effective)).to_le_bytes());
    for word in [permitted as u32, 0, (permitted >> 32) as u32, 0] {
        value.extend(word.to_le_bytes());
    }
    set_xattr(path, &value)
}

fn set_xattr(path: &Path, value: &[u8]) -> nix::Result<()> {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
    let name = c"security.capability";
    raw!(SYS_setxattr, path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), 0).map(drop)
}

fn has_xattr(path: &Path) -> bool {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
    let name = c"security.capability";
    raw!(SYS_getxattr, path.as_ptr(), name.as_ptr(), 0, 0).is_ok()
}

fn file_capabilities_are_gained() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 0], 0o755);
    let caps = bit(CAP_CHOWN) | bit(CAP_SETUID);
    set_file_capabilities(&grep, caps, true).expect("setxattr");
    become_user();
    for (name, expected) in [("CapEff", caps), ("CapPrm", caps), ("CapInh", 0), ("CapAmb", 0)] {
        assert_eq!(run_status(&grep, name), expected, "{name}");
    }
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).expect("prctl");
    assert_eq!(run_status(&grep, "CapPrm"), 0);
}

fn file_capabilities_obey_the_bounding_set() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 0], 0o755);
    set_file_capabilities(&grep, bit(CAP_CHOWN), false).expect("setxattr");
    assert_eq!(
        in_child(|| {
            become_user();
            assert_eq!((run_status(&grep, "CapEff"), run_status(&grep, "CapPrm")), (0, bit(CAP_CHOWN)));
            0
        }),
        0
    );
    prctl(libc::PR_CAPBSET_DROP, u64::from(CAP_CHOWN)).expect("prctl");
    become_user();
    assert_eq!(run_status(&grep, "CapPrm"), 0);
    // An effective bit that can't be had refuses the exec.
    drop(scratch);
}

fn file_capabilities_need_a_valid_value() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 0], 0o755);
    for value in [&[1, 0, 0, 2][..], &[0; 20], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let stored = set_xattr(&grep, value);
        assert!(stored.is_err() == (value.len() != 20 || value[3] != 2), "{value:?}: {stored:?}");
    }
    set_file_capabilities(&grep, bit(CAP_CHOWN), true).expect("setxattr");
    assert!(has_xattr(&grep));
}

fn writing_and_chown_drop_file_capabilities() {
    let scratch = Scratch::new();
    let grep = program(&scratch, "/bin/grep", [0, 0], 0o755);
    set_file_capabilities(&grep, bit(CAP_CHOWN), true).expect("setxattr");
    chown(&grep, Some(Uid::from_raw(USER)), None).expect("chown");
    assert!(!has_xattr(&grep));
    set_file_capabilities(&grep, bit(CAP_CHOWN), true).expect("setxattr");
    use std::io::Write;
    fs::OpenOptions::new().append(true).open(&grep).expect("open").write_all(b"x").expect("write");
    assert!(!has_xattr(&grep));
}
