//! What the installed filters answer, against the table and against what the project promises.

use host_seccomp::{AUDIT_ARCH_X86_64, Call, Verdict, evaluate, ways};
use syscall_table::plan::Action;
use syscall_table::{Syscall, Ty};

use super::cves::{Reach, cve_table};
use super::{Filter, native, surface};

const ALLOW: Verdict = Verdict::Action(Action::Allow);
const MODES: [bool; 2] = [false, true];
const ENOSYS: u16 = 38;

/// The filter that a live guest has. Root reads it; others test what would be installed, and say so.
fn installed(strict: bool) -> Filter {
    let filter = Filter::installed(strict).expect("it compiles");
    match filter.read_back {
        Ok(same) => assert!(same, "the host has installed something else"),
        Err(errno) if rustix::process::geteuid().is_root() => {
            panic!(
                "root cannot read a guest's filter back: {errno}; CAP_SYS_ADMIN or CONFIG_CHECKPOINT_RESTORE is missing"
            )
        }
        Err(errno) => eprintln!("not root: the filter was compiled, not read back ({errno})"),
    }
    filter
}

fn native_rows(filter: &Filter) -> Vec<&'static Syscall> {
    syscall_table::SYSCALLS.iter().filter(|row| native::is_allowed(&filter.program, row.nr)).collect()
}

#[test]
fn installed_filter_lets_through_what_the_table_says_and_nothing_beside() {
    for strict in MODES {
        let filter = installed(strict);
        let plan = syscall_table::seccomp::plan(strict);
        for nr in 0..2048 {
            let planned = plan.iter().any(|rule| rule.nr == nr && rule.action == Action::Allow);
            assert_eq!(native::is_allowed(&filter.program, nr), planned, "call {nr}, strict {strict}");
        }
    }
}

#[test]
fn native_rows_stay_within_their_goals() {
    for (strict, most) in [(false, 45), (true, 25)] {
        let surface = surface(strict).expect("it compiles");
        assert!(surface.count("native") <= most, "{}", surface.table());
        assert_eq!(surface.count("native"), native_rows(&installed(strict)).len());
    }
}

#[test]
fn no_pointer_beyond_user_memory_passes_the_installed_filter() {
    for strict in MODES {
        let filter = installed(strict);
        for row in native_rows(&filter) {
            let pointers = row.args.iter().enumerate();
            for (at, arg) in pointers.filter(|(_, arg)| arg.ty.is_pointer() && !arg.optional) {
                for bad in [1 << 47, 0xffff_8880_0000_0000, 1 << 63, u64::MAX] {
                    let mut known = [None; 6];
                    known[at] = Some(bad);
                    let ways = ways(&filter.program, row.nr, &known).expect("it runs");
                    let passes = ways.iter().any(|way| way.verdict == ALLOW);
                    assert!(!passes, "{} with {} = {bad:#x}, strict {strict}", row.name, arg.name);
                }
            }
        }
    }
}

/// Flag words and enumerations of native rows that the filter leaves to the kernel, each with the reason.
const LEFT_TO_THE_KERNEL: &[(&str, &str)] = &[
    ("rt_sigprocmask how", "three values, checked before anything is done; hot"),
    ("clock_gettime clockid", "negative values name CPU clocks of the container's own processes"),
    ("clock_getres clockid", "as of clock_gettime"),
    ("clock_nanosleep clockid", "as of clock_gettime"),
    ("clock_nanosleep flags", "one bit counts, the others are not looked at"),
    ("futex_waitv clockid", "two values, checked before anything is done"),
    ("futex_wait clockid", "two values, checked before anything is done"),
    ("getrusage who", "four values"),
    ("mmap prot", "of anonymous memory; no bit names an object"),
    ("waitid options", "six bits, checked before anything is done"),
];

#[test]
fn flag_words_of_native_rows_are_checked_or_their_freedom_has_a_reason() {
    let filter = installed(false);
    let is_listed = |what: &str| LEFT_TO_THE_KERNEL.iter().any(|(listed, _)| *listed == what);
    let mut free = Vec::new();
    for row in native_rows(&filter) {
        let ways = ways(&filter.program, row.nr, &[None; 6]).expect("it runs");
        for (at, arg) in row.args.iter().enumerate() {
            if !matches!(arg.ty, Ty::Flags(_) | Ty::LongFlags(_) | Ty::Enum(_)) {
                continue;
            }
            let mut allowing = ways.iter().filter(|way| way.verdict == ALLOW);
            let is_checked = allowing.all(|way| way.asks.keys().any(|word| usize::from(word.arg) == at));
            let what = format!("{} {}", row.name, arg.name);
            if !is_checked && !is_listed(&what) {
                free.push(what);
            }
        }
    }
    assert!(free.is_empty(), "neither checked nor with a reason: {free:?}");
}

#[test]
fn foreign_architectures_are_killed_and_x32_does_not_exist() {
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    for strict in MODES {
        let filter = installed(strict);
        let verdict = |arch, nr| {
            let call = Call { nr, arch, instruction_pointer: 0, args: [0; 6] };
            evaluate(&filter.program, &call).expect("it runs").verdict
        };
        for nr in 0..2048 {
            assert_eq!(verdict(AUDIT_ARCH_I386, nr), Verdict::KillProcess, "{nr}");
            let enosys = Verdict::Action(Action::Errno(ENOSYS));
            assert_eq!(verdict(AUDIT_ARCH_X86_64, nr | 0x4000_0000), enosys, "{nr}");
        }
    }
}

#[test]
fn no_more_cves_are_exploitable_than_under_gvisor() {
    for strict in MODES {
        let table = cve_table(strict).expect("the data can be read");
        let [here, gvisor] = table.exploitable();
        assert!(here <= gvisor, "{}", table.table());
        let natively: Vec<_> = table
            .lines
            .iter()
            .filter(|line| line.reach >= Reach::Gated && line.reach <= Reach::Native)
            .collect();
        let ids: Vec<_> = natively.iter().map(|line| line.cve.id).collect();
        assert_eq!(
            ids,
            ["CVE-2022-29900"],
            "only the processor's own fault is reached without the supervisor"
        );
    }
}

#[test]
fn triggers_in_the_core_half_are_refused_by_the_filter() {
    let table = cve_table(false).expect("the data can be read");
    // The wait family, futex, timers: where the host's own implementation is in use beside.
    for id in ["CVE-2017-5123", "CVE-2026-43499", "CVE-2022-2585"] {
        let line = table.lines.iter().find(|line| line.cve.id == id).expect("it is listed");
        assert_eq!(line.reach, Reach::Nowhere, "{id}");
    }
}
