//! stress-ng with `--verify`, a second for each stressor: what passes in a chroot passes under Palisade. By hand, run all
//! stressors of a class with `stress-ng --class CLASS?`.

use integration::{roots, runner};

/// Stressors that the classes hold and that no test runs, with the reason.
const EXCLUDED: &[(&str, &str)] = &[
    ("binderfs", "a filesystem of devices"),
    ("bad-ioctl cpu-online memhotplug pci rtc watchdog", "devices and switches of the machine"),
    ("bigheap brk stack resources", "take all memory there is"),
    ("io-uring userfaultfd fanotify landlock lease dnotify ptrace", "calls that are refused"),
    ("aiol remap usersyscall", "calls that are missing: io_setup, remap_file_pages, syscall user dispatch"),
    ("netlink-proc netlink-task sockabuse sockdiag", "socket families that are missing"),
    ("sigio", "no SIGIO is raised"),
    ("sigpipe", "clones a process that shares its descriptors, which is refused"),
    ("tmpfs vm-segv", "a mount at a usual place, and ptrace"),
];

const PIPE: &str = "fifo pipe pipeherd ring-pipe sendfile splice tee vm-splice";
const MEMORY: &str =
    "context full madvise malloc membarrier memfd mincore mmap mprotect munmap null shm vm-addr zero";
const INTERRUPT: &str = "aio alarm clock fault itimer pidfd sigabrt sigchld sigfd sigfpe signal signest sigpending sigq \
    sigrt sigsegv sigsuspend sigtrap timer timerfd";
const OS: &str = "cap chroot dev env get getrandom loadavg personality procfs pty rlimit seal set sockfd sockpair \
    sysbadaddr sysinfo urandom vdso";

fn passes(stressors: &str) {
    for name in stressors.split_ascii_whitespace() {
        let excluded = EXCLUDED.iter().find(|(names, _)| names.split(' ').any(|other| other == name));
        assert!(excluded.is_none(), "{name} is excluded: {excluded:?}");
    }
    let control = runner::assert_same_script(
        &roots::everyday(),
        &format!(
            r#"for name in {stressors}; do
                said=$(stress-ng --verify --$name 1 --timeout 1s --temp-path /tmp 2>&1)
                status=$?
                case $said in *skipped*) echo $name skipped ;; *) echo $name $status ;; esac
                [ $status = 0 ] || echo "$said" >&2
            done"#
        ),
    );
    let passed = control.stdout.lines().filter(|line| line.ends_with(" 0")).count();
    assert_eq!(passed, stressors.split_ascii_whitespace().count(), "the control fails: {control:?}");
}

#[test]
fn pipes() {
    passes(PIPE);
}

#[test]
fn memory() {
    passes(MEMORY);
}

#[test]
fn interrupt_and_signal() {
    passes(INTERRUPT);
}

#[test]
fn os() {
    passes(OS);
}
