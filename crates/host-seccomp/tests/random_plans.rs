//! Random plans: the compiled program decides as the plan itself.

use host_seccomp::{AUDIT_ARCH_X86_64, Call, Error, Verdict, compile, evaluate};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::Index;
use syscall_table::plan::{Action, Condition, Op, Rule, UNKNOWN_NUMBER};

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Notify), Just(Action::Allow), (1u16..4096).prop_map(Action::Errno)]
}

/// Values near the edges of words and of user space, and any others.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..16,
        any::<u32>().prop_map(u64::from),
        any::<u64>(),
        (0u32..64, 0u64..3).prop_map(|(bit, below)| (1u64 << bit).wrapping_sub(below)),
        Just(u64::MAX),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        register().prop_map(Op::Eq),
        register().prop_map(|limit| Op::Lt(limit.max(1))),
        (register(), any::<u64>()).prop_map(|(mask, value)| Op::MaskedEq { mask, value: value & mask }),
        (register(), any::<u32>())
            .prop_map(|(mask, low)| Op::MaskedEq { mask: mask & 0xffff_ffff, value: mask & u64::from(low) }),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    (0u8..6, op()).prop_map(|(arg, op)| Condition { arg, op })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (action(), action(), vec(vec(condition(), 1..7), 0..4));
    btree_map(0u32..600, rule, 0..80).prop_map(|rules| {
        let rule =
            |(nr, (action, otherwise, conditions))| Rule { nr, name: "call", action, conditions, otherwise };
        rules.into_iter().map(rule).collect()
    })
}

/// Registers of the plan's own constants, where comparisons are decided.
fn tempting(rules: &[Rule], random: [u64; 6], picks: &[(Index, i8)]) -> [u64; 6] {
    let constants: Vec<u64> = rules
        .iter()
        .flat_map(|rule| rule.conditions.iter().flatten())
        .map(|condition| match condition.op {
            Op::Eq(value) | Op::Lt(value) | Op::MaskedEq { value, .. } => value,
        })
        .collect();
    let mut args = random;
    for (register, (pick, delta)) in args.iter_mut().zip(picks) {
        if !constants.is_empty() && *delta != 2 {
            *register = constants[pick.index(constants.len())].wrapping_add_signed(i64::from(*delta));
        }
    }
    args
}

fn expected(rules: &[Rule], nr: u32, args: &[u64; 6]) -> Verdict {
    if nr >= 0x4000_0000 {
        return Verdict::Action(Action::Errno(libc::ENOSYS as u16));
    }
    Verdict::Action(rules.iter().find(|rule| rule.nr == nr).map_or(UNKNOWN_NUMBER, |rule| rule.decide(args)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn compiled_program_decides_as_the_plan(
        rules in rules(),
        calls in vec((any::<[u64; 6]>(), vec((any::<Index>(), -1i8..3), 6)), 4),
    ) {
        let program = compile(&rules).unwrap();
        for (random, picks) in &calls {
            let args = tempting(&rules, *random, picks);
            for nr in (0..=600).chain(0x4000_0000..0x4000_0010).chain([0x3fff_ffff, u32::MAX]) {
                let mut call = Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: random[0], args };
                assert_eq!(evaluate(&program, &call).unwrap().verdict, expected(&rules, nr, &args), "{nr} {args:x?}");
                call.arch = random[1] as u32;
                assert_eq!(evaluate(&program, &call).unwrap().verdict, Verdict::KillProcess);
            }
        }
    }
}

fn rule(nr: u32, conditions: Vec<Vec<Condition>>) -> Rule {
    Rule { nr, name: "call", action: Action::Allow, conditions, otherwise: Action::Notify }
}

fn eq(arg: u8, value: u64) -> Condition {
    Condition { arg, op: Op::Eq(value) }
}

#[test]
fn jumps_beyond_255_instructions_work() {
    // Each number differs from its neighbours, so the tree itself grows past the reach of a branch; each
    // second rule has a block of its own, so the blocks do too.
    let rules: Vec<Rule> = (0..400u16)
        .map(|nr| {
            let conditions = if nr % 2 == 0 { vec![] } else { vec![vec![eq(0, u64::from(nr))]] };
            Rule { action: Action::Errno(nr + 1), ..rule(u32::from(nr), conditions) }
        })
        .collect();
    let program = compile(&rules).unwrap();
    assert!(program.len() > 2000);
    for nr in 0..400u32 {
        for first in [0, u64::from(nr)] {
            let args = [first, 0, 0, 0, 0, 0];
            let call = Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0, args };
            assert_eq!(evaluate(&program, &call).unwrap().verdict, expected(&rules, nr, &args));
        }
    }
}

#[test]
fn long_conjunctions_and_many_alternatives_work() {
    // Sixty comparisons: more than a branch can jump over.
    let mask =
        |bit: u64| Condition { arg: (bit % 6) as u8, op: Op::MaskedEq { mask: 1 << bit, value: 1 << bit } };
    let rules = [rule(9, vec![(0..60).map(mask).collect(), vec![eq(0, 7)], vec![eq(0, 8), eq(1, 9)]])];
    let program = compile(&rules).unwrap();
    for args in [[u64::MAX; 6], [7; 6], [8, 9, 0, 0, 0, 0], [8; 6], [u64::MAX ^ 1, 0, 0, 0, 0, 0]] {
        let call = Call { nr: 9, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0, args };
        assert_eq!(evaluate(&program, &call).unwrap().verdict, expected(&rules, 9, &args), "{args:x?}");
    }
}

#[test]
fn rules_with_the_same_conditions_share_a_block() {
    let distinct = compile(&[rule(1, vec![vec![eq(0, 1)]]), rule(3, vec![vec![eq(0, 2)]])]).unwrap();
    let shared = compile(&[rule(1, vec![vec![eq(0, 1)]]), rule(3, vec![vec![eq(0, 1)]])]).unwrap();
    assert!(shared.len() < distinct.len());
}

#[test]
fn mistakes_in_a_plan_are_named() {
    let error = |rules: &[Rule]| compile(rules).unwrap_err();
    assert_eq!(error(&[rule(3, vec![]), rule(3, vec![])]), Error::DuplicateNumber(3));
    assert_eq!(error(&[rule(0x4000_0000, vec![])]), Error::NumberOutOfRange("call", 0x4000_0000));
    assert_eq!(error(&[rule(3, vec![vec![eq(6, 0)]])]), Error::NoSuchArgument("call", 6));
    assert_eq!(error(&[rule(3, vec![vec![]])]), Error::EmptyAlternative("call"));
    let never = Condition { arg: 2, op: Op::MaskedEq { mask: 1, value: 2 } };
    assert_eq!(error(&[rule(3, vec![vec![never]])]), Error::NeverHolds("call", 2));
    let many: Vec<Rule> = (0..900).map(|nr| rule(nr, vec![vec![eq(0, u64::from(nr))]])).collect();
    assert!(matches!(error(&many), Error::TooLong(_)));
}
