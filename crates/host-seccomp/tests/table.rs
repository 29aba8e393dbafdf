//! The filter of the real table, decided both ways for every rule.

use host_seccomp::{AUDIT_ARCH_X86_64, Call, SockFilter, Verdict, compile, disassemble, evaluate};
use syscall_table::plan::{Action, Condition, Op, Rule, UNKNOWN_NUMBER};
use syscall_table::seccomp::plan;

const X32_BIT: u32 = 0x4000_0000;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
const ENOSYS: Verdict = Verdict::Action(Action::Errno(libc::ENOSYS as u16));

fn run(program: &[SockFilter], nr: u32, args: [u64; 6]) -> (Verdict, usize) {
    let call = Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0x40_1000, args };
    let result = evaluate(program, &call).unwrap();
    (result.verdict, result.steps)
}

/// A register that passes the comparison, and the nearest that does not.
fn both_sides(op: Op) -> (u64, Option<u64>) {
    match op {
        Op::Eq(value) => (value, Some(value ^ 1 << 63)),
        Op::MaskedEq { mask: 0, .. } => (u64::MAX, None),
        Op::MaskedEq { mask, value } => (value | !mask, Some(value ^ 1 << mask.trailing_zeros())),
        Op::Lt(limit) => (limit - 1, Some(limit)),
    }
}

/// Arguments that satisfy one alternative. A later comparison of the same register must not undo an
/// earlier one, so bits are only taken over where a mask asks for them.
fn satisfying(all: &[Condition]) -> [u64; 6] {
    let mut args = [0u64; 6];
    for Condition { arg, op } in all {
        let register = &mut args[usize::from(*arg)];
        match *op {
            Op::Eq(value) => *register = value,
            Op::MaskedEq { mask, value } => *register = (*register & !mask) | value,
            Op::Lt(_) => {}
        }
    }
    args
}

fn check_rule(program: &[SockFilter], rule: &Rule) {
    let expect = |args| {
        assert_eq!(run(program, rule.nr, args).0, Verdict::Action(rule.decide(&args)), "{args:x?} {rule:?}")
    };
    expect([0; 6]);
    expect([u64::MAX; 6]);
    for all in &rule.conditions {
        let good = satisfying(all);
        assert_eq!(rule.decide(&good), rule.action, "cannot satisfy {all:?} of {}", rule.name);
        expect(good);
        for Condition { arg, op } in all {
            let (inside, outside) = both_sides(*op);
            for register in [Some(inside), outside].into_iter().flatten() {
                let mut args = good;
                args[usize::from(*arg)] = register;
                expect(args);
            }
        }
    }
}

#[test]
fn each_rule_allows_what_it_should_and_nothing_beside() {
    for strict in [false, true] {
        let rules = plan(strict);
        let program = compile(&rules).unwrap();
        rules.iter().for_each(|rule| check_rule(&program, rule));
    }
}

#[test]
fn numbers_without_a_rule_get_the_default_and_x32_gets_enosys() {
    let rules = plan(false);
    let program = compile(&rules).unwrap();
    let named = |nr: u32| rules.iter().any(|rule| rule.nr == nr);
    for nr in (0..2000).chain([X32_BIT - 1]).filter(|nr| !named(*nr)) {
        assert_eq!(run(&program, nr, [0; 6]).0, Verdict::Action(UNKNOWN_NUMBER), "{nr}");
    }
    for nr in (X32_BIT..X32_BIT + 600).chain([0x7fff_ffff, 0x8000_0000, u32::MAX]) {
        assert_eq!(run(&program, nr, [0; 6]).0, ENOSYS, "{nr:#x}");
    }
}

#[test]
fn foreign_architecture_kills() {
    let program = compile(&plan(false)).unwrap();
    for nr in (0..600).chain([X32_BIT, u32::MAX]) {
        let call = Call { nr, arch: AUDIT_ARCH_I386, instruction_pointer: 0, args: [0; 6] };
        assert_eq!(evaluate(&program, &call).unwrap().verdict, Verdict::KillProcess);
    }
}

#[test]
fn no_pointer_beyond_user_space_reaches_a_call_with_pointer_checks() {
    // The second access_ok: wherever the plan bounds a register, one beyond the bound is never allowed.
    let rules = plan(false);
    let program = compile(&rules).unwrap();
    let bounded = |c: &&Condition| matches!(c.op, Op::Lt(limit) if limit <= 1 << 47);
    for rule in &rules {
        for all in &rule.conditions {
            for Condition { arg, .. } in all.iter().filter(bounded) {
                for bad in [1 << 47, u64::MAX, 0xffff_8000_0000_0000, 1 << 63] {
                    let mut args = satisfying(all);
                    args[usize::from(*arg)] = bad;
                    assert_eq!(run(&program, rule.nr, args).0, Verdict::Action(rule.decide(&args)));
                }
            }
        }
    }
}

/// The figures are for ARCHITECTURE.md: `cargo test -p host-seccomp --test table -- --nocapture`.
#[test]
fn hot_calls_take_few_instructions() {
    let rules = plan(false);
    let program = compile(&rules).unwrap();
    println!("{} rules, {} instructions, {} bytes", rules.len(), program.len(), program.len() * 8);
    for rule in &rules {
        let steps = run(&program, rule.nr, [0; 6]).1;
        let worst = rule.conditions.iter().map(|all| run(&program, rule.nr, satisfying(all)).1).max();
        let hot = [
            "read",
            "write",
            "close",
            "fstat",
            "pread64",
            "getppid",
            "openat",
            "newfstatat",
            "futex",
            "mmap",
            "munmap",
            "mprotect",
            "brk",
            "rt_sigprocmask",
            "rt_sigaction",
            "wait4",
            "clone",
            "gettid",
        ];
        if hot.contains(&rule.name) {
            println!("{:16} {:?}: {steps}, as allowed: {worst:?}", rule.name, rule.action);
        }
        // Prologue, tree, return.
        if rule.conditions.is_empty() {
            assert!(steps <= 14, "{}: {steps}", rule.name);
        }
        assert!(steps.max(worst.unwrap_or(0)) <= 80, "{}: {steps} {worst:?}", rule.name);
    }
}

#[test]
fn listing_names_the_calls() {
    let rules = plan(false);
    let text = disassemble(&compile(&rules).unwrap(), &rules);
    assert!(
        text.starts_with(
            "   0: ld arch\n   1: jeq 0xc000003e ? 3 : 2\n   2: ret KILL_PROCESS\n   3: ld nr\n"
        )
    );
    assert!(text.contains("ret USER_NOTIF"));
    assert!(!text.contains("unknown"), "{text}");
}
