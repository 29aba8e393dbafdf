//! stress-ng with `--verify`: of the stressors of a class, as stress-ng itself has them, those that pass in a chroot pass
//! under Palisade. Each runs for one second, or for three with `INTEGRATION_FULL=1`. This stress-ng has no class "signal":
//! what it has of signals is in the class "interrupt".

use std::env;
use std::time::Duration;

use integration::roots;
use integration::suite::Suite;

/// After which a class hangs.
const CLASS_LIMIT: Duration = Duration::from_secs(900);

/// The classes in the order in which they take their stressors: many are in several.
const CLASSES: &[&str] = &["pipe", "filesystem", "interrupt", "scheduler", "memory", "os"];

/// Stressors that no test runs, with the reason.
const EXCLUDED: &[(&str, &str)] = &[
    ("binderfs", "a filesystem of devices"),
    ("bad-ioctl cpu-online efivar loop memhotplug pci rtc watchdog", "devices and switches of the machine"),
    ("bind-mount sysinval", "stress-ng itself holds it for dangerous and wants to be asked twice"),
    ("bigheap brk mlockmany oom-pipe resources stack", "take all memory there is"),
    ("cyclic softlockup", "take a processor with a real-time policy"),
    ("apparmor idle-page klog kvm plugin quota reboot swap", "the machine's own affairs"),
    (
        "af-alg dccp icmp-flood ping-sock rawpkt rawsock rawudp sock sockmany tun udp udp-flood",
        "need a network",
    ),
    ("netlink-proc netlink-task sockabuse sockdiag", "socket families that are missing"),
    ("fanotify io-uring key landlock ptrace userfaultfd vm-segv", "calls that are refused"),
    ("dnotify", "F_NOTIFY is missing"),
    ("remap usersyscall", "calls that are missing: remap_file_pages, syscall user dispatch"),
    ("opcode x86syscall", "random instructions, and calls past the table, measured on the host's kernel"),
    ("tmpfs", "looks for a tmpfs at a usual place"),
];

fn passes(class: &str) {
    let full = env::var_os("INTEGRATION_FULL").is_some();
    let earlier: Vec<_> = CLASSES.iter().take_while(|&&other| other != class).copied().collect();
    let excluded: Vec<_> = EXCLUDED.iter().map(|(names, _)| *names).collect();
    let script = include_str!("../scripts/stress.sh");
    let seconds = if full { "3" } else { "1" };
    let words = ["bash", "-c", script, "stress.sh", seconds, class, &earlier.join(" "), &excluded.join(" ")];
    let argv = words.map(str::to_owned).to_vec();
    Suite { root: &roots::everyday(), argv, limit: CLASS_LIMIT }.assert_passes_as_under_control();
}

#[test]
fn pipe() {
    passes("pipe");
}

#[test]
fn filesystem() {
    passes("filesystem");
}

#[test]
fn interrupt_and_signal() {
    passes("interrupt");
}

#[test]
fn scheduler() {
    passes("scheduler");
}

#[test]
fn memory() {
    passes("memory");
}

#[test]
fn os() {
    passes("os");
}
