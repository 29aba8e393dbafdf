//! The table is complete, and the plan follows from it.

use crate::plan::{Action, Op};
use crate::seccomp::{POINTER_LIMIT, Verdict, judge, plan};
use crate::types::{Answer, Disposition, Syscall};
use crate::{SYSCALLS, by_name, by_nr};

fn row(name: &str) -> &'static Syscall {
    by_name(name).unwrap_or_else(|| panic!("no row {name}"))
}

fn decide(strict: bool, name: &str, args: [u64; 6]) -> Action {
    let rules = plan(strict);
    rules.iter().find(|rule| rule.name == name).map_or(Action::Notify, |rule| rule.decide(&args))
}

#[test]
fn every_number_of_linux_6_18_has_a_row() {
    for nr in (0..=336).chain(424..=469) {
        assert_eq!(by_nr(nr).map(|row| row.nr as i32), Some(nr), "number {nr}");
    }
    for nr in [-1, 337, 423, 470, 512, 547, 2047, 2048, i32::MAX, i32::MIN] {
        assert!(by_nr(nr).is_none(), "number {nr}");
    }
}

#[test]
fn names_agree_with_the_kernel_headers_of_this_machine() {
    let Ok(header) = std::fs::read_to_string("/usr/include/x86_64-linux-gnu/asm/unistd_64.h") else { return };
    for line in header.lines().filter_map(|line| line.strip_prefix("#define __NR_")) {
        let (name, nr) = line.split_once(' ').unwrap_or((line, ""));
        let Ok(nr) = nr.trim().parse::<i32>() else { continue };
        assert_eq!(by_nr(nr).map(|row| row.name), Some(name));
    }
}

#[test]
fn the_filter_answers_what_the_table_says() {
    for row in SYSCALLS {
        let rule = plan(false).into_iter().find(|rule| rule.nr == row.nr);
        let action = rule.map(|rule| rule.action);
        let expected = match row.disposition {
            Disposition::Emulate | Disposition::Gate => Action::Notify,
            Disposition::Native => Action::Allow,
            Disposition::Deny => Action::Errno(row.errno.map_or(0, |errno| errno.value)),
        };
        assert_eq!(action, Some(expected), "{}", row.name);
    }
}

#[test]
fn native_pointers_are_below_the_limit() {
    for rule in plan(false).iter().filter(|rule| rule.action == Action::Allow) {
        let row = row(rule.name);
        for (at, arg) in row.args.iter().enumerate().filter(|(_, arg)| arg.ty.is_pointer() && !arg.optional) {
            let checked = |all: &Vec<crate::plan::Condition>| {
                all.iter().any(|c| usize::from(c.arg) == at && c.op == Op::Lt(POINTER_LIMIT))
            };
            assert!(!rule.conditions.is_empty(), "{}", row.name);
            assert!(rule.conditions.iter().all(checked), "{}: {}", row.name, arg.name);
        }
        assert!(rule.conditions.iter().all(|all| !all.is_empty()), "{}: an empty alternative", row.name);
    }
}

#[test]
fn mmap_is_native_only_without_a_file() {
    let anonymous = [0, 4096, 3, 0x22, u64::MAX, 0];
    assert_eq!(decide(false, "mmap", anonymous), Action::Allow);
    assert_eq!(decide(false, "mmap", [0, 4096, 1, 2, 3, 0]), Action::Notify);
    assert_eq!(decide(false, "mmap", [0, 4096, 3, 0x40022, u64::MAX, 0]), Action::Notify);
    assert_eq!(decide(false, "mmap", [POINTER_LIMIT, 4096, 3, 0x22, u64::MAX, 0]), Action::Notify);
    assert_eq!(decide(true, "mmap", anonymous), Action::Notify);
}

#[test]
fn futex_operations_ignore_the_registers_that_they_do_not_use() {
    let junk = u64::MAX;
    assert_eq!(decide(false, "futex", [0x1000, 0x81, 1, junk, junk, junk]), Action::Allow);
    assert_eq!(decide(false, "futex", [0x1000, 0x80, 1, 0, junk, junk]), Action::Allow);
    assert_eq!(decide(false, "futex", [0x1000, 0x80, 1, junk, 0, 0]), Action::Notify);
    assert_eq!(decide(false, "futex", [0x1000, 0x84, 1, 5, 0x2000, 0]), Action::Allow);
    assert_eq!(decide(true, "futex", [0x1000, 0x81, 1, 0, 0, 0]), Action::Allow, "needed for progress");
    for pi in [2, 6, 7, 8, 11, 12, 13] {
        assert_eq!(decide(false, "futex", [0x1000, pi, 1, 0, 0x2000, 0]), Action::Notify, "operation {pi}");
        assert_eq!(judge(row("futex"), &[0x1000, pi, 1, 0, 0x2000, 0]), Verdict::Refuse);
    }
}

#[test]
fn the_supervisor_judges_as_the_kernel_reads_registers() {
    // The kernel takes 32 bits of an int; the filter may ask about the rest, the supervisor must not mind.
    assert_eq!(judge(row("madvise"), &[0x1000, 4096, 0xdead_0000_0004, 0, 0, 0]), Verdict::Admit);
    assert_eq!(judge(row("madvise"), &[0x1000, 4096, 9, 0, 0, 0]), Verdict::Refuse);
    assert_eq!(judge(row("mprotect"), &[u64::MAX, 4096, 1, 0, 0, 0]), Verdict::BadAddress);
    assert_eq!(judge(row("rt_sigaction"), &[2, u64::MAX, 0, 8, 0, 0]), Verdict::BadPointer);
    assert_eq!(judge(row("futex"), &[0x1000, 0, 0, u64::MAX, 0, 0]), Verdict::BadPointer);
    assert_eq!(judge(row("getrusage"), &[0, 0x1000, 0, 0, 0, 0]), Verdict::Admit);
}

#[test]
fn strict_leaves_only_what_progress_needs() {
    let native: Vec<_> = plan(true).iter().filter(|r| r.action == Action::Allow).map(|r| r.name).collect();
    // seccomp: a guest's own filter, translated and handed to the host thread under the key in its last argument.
    assert_eq!(
        native,
        [
            "rt_sigaction",
            "rt_sigprocmask",
            "rt_sigreturn",
            "sched_yield",
            "futex",
            "restart_syscall",
            "seccomp"
        ]
    );
}

#[test]
fn nothing_that_names_an_object_of_the_host_is_native() {
    use crate::types::Ty;
    let handled = ["mmap"]; // its condition excludes the descriptor
    for row in SYSCALLS.iter().filter(|row| row.disposition == Disposition::Native) {
        let object = row
            .args
            .iter()
            .any(|arg| matches!(arg.ty, Ty::Fd | Ty::FdOf(_) | Ty::DirFd | Ty::Path | Ty::Str));
        assert!(!object || handled.contains(&row.name), "{}", row.name);
    }
}

#[test]
fn fixed_answers_have_their_errno() {
    for row in SYSCALLS.iter().filter(|row| row.answer == Answer::Fixed) {
        assert!(row.errno.is_some_and(|errno| errno.value > 0), "{}", row.name);
    }
}

#[test]
fn json_has_every_row() -> Result<(), serde_json::Error> {
    let rows: Vec<&Syscall> = SYSCALLS.iter().collect();
    let value: serde_json::Value = serde_json::from_str(&crate::render::json(&rows)?)?;
    assert_eq!(value.as_array().map(Vec::len), Some(SYSCALLS.len()));
    Ok(())
}
