//! Programs judged by the kernel's interpreter of guests' filters, against rules applied by hand.

use abi_linux::seccomp::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};
use kernel_task::seccomp::program::{CallData, Program};
use proptest::prelude::{Just, any, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{compile, number_of};

fn program(profile: Value) -> Program {
    let code = compile(&serde_json::from_value(profile).unwrap()).unwrap();
    Program::new(code).unwrap()
}

fn judge(program: &Program, name: &str, args: &[u64]) -> u32 {
    let mut all = [0; 6];
    all.iter_mut().zip(args).for_each(|(to, from)| *to = *from);
    let nr = number_of(name).unwrap().cast_signed();
    program.run(&CallData { nr, instruction_pointer: 0, args: all })
}

#[test]
fn listed_calls_pass_and_others_get_the_default() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["read", "write", "socketcall", "no_such_call", "openat2"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
        ],
    }));
    assert_eq!(judge(&program, "read", &[]), SECCOMP_RET_ALLOW);
    assert_eq!(judge(&program, "close", &[]), SECCOMP_RET_ERRNO | 1);
    assert_eq!(judge(&program, "ptrace", &[]), SECCOMP_RET_KILL_PROCESS);
    assert_eq!(judge(&program, "clone3", &[]), SECCOMP_RET_ERRNO | 38);
    // Newer than what the profile knows of.
    assert_eq!(judge(&program, "statmount", &[]), SECCOMP_RET_ERRNO | 38);
}

#[test]
fn first_matching_conditions_count() {
    let masked = json!({ "index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" });
    let equal = |value: u64| json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked] },
            { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [equal(0)] },
            { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [equal(0xffff_ffff)] },
            // Two conditions for one argument are two rules to runc.
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [equal(1), equal(2)] },
        ],
    }));
    assert_eq!(judge(&program, "clone", &[0x0120_0011]), SECCOMP_RET_ALLOW);
    assert_eq!(judge(&program, "clone", &[0x1000_0000]), SECCOMP_RET_ERRNO | 1);
    assert_eq!(judge(&program, "personality", &[0xffff_ffff]), SECCOMP_RET_ALLOW);
    assert_eq!(judge(&program, "personality", &[0x1_0000_0000]), SECCOMP_RET_ERRNO | 1);
    assert_eq!(
        [1, 2, 3].map(|family| judge(&program, "socket", &[family])),
        [SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 1]
    );
}

#[test]
fn all_calls_at_once_fit() {
    let names: Vec<&str> = syscall_table::SYSCALLS.iter().map(|row| row.name).collect();
    let odd: Vec<&str> = names.iter().copied().filter(|name| name.len() % 2 == 1).collect();
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": odd, "action": "SCMP_ACT_ERRNO", "errnoRet": 7 }],
    }));
    for name in names {
        let wanted = if name.len() % 2 == 1 { SECCOMP_RET_ERRNO | 7 } else { SECCOMP_RET_ALLOW };
        assert_eq!(judge(&program, name, &[]), wanted, "{name}");
    }
}

#[test]
fn what_cannot_be_honoured_is_named() {
    for (profile, field) in [
        (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "linux.seccomp.defaultAction"),
        (json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x" }), "linux.seccomp.listenerPath"),
        (
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000 }),
            "linux.seccomp.defaultAction",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }
            ] }),
            "linux.seccomp.syscalls.args.index",
        ),
    ] {
        let error = compile(&serde_json::from_value(profile).unwrap()).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

fn holds(op: &str, arg: u64, value: u64, two: u64) -> bool {
    match op {
        "SCMP_CMP_NE" => arg != value,
        "SCMP_CMP_LT" => arg < value,
        "SCMP_CMP_LE" => arg <= value,
        "SCMP_CMP_EQ" => arg == value,
        "SCMP_CMP_GE" => arg >= value,
        "SCMP_CMP_GT" => arg > value,
        _ => arg & value == two & value,
    }
}

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

proptest! {
    #[test]
    fn conditions_compare_all_64_bits(
        first in 0..7usize,
        second in 0..7usize,
        value in prop_oneof![any::<u64>(), 0..4u64, Just(0x1_0000_0000), Just(u64::MAX)],
        two in any::<u64>(),
        high in proptest::option::of(any::<u32>()),
        low in proptest::option::of(any::<u32>()),
    ) {
        // Equal halves are the interesting ones.
        let arg = u64::from(high.unwrap_or((value >> 32) as u32)) << 32 | u64::from(low.unwrap_or(value as u32));
        let condition = |index: usize, op: usize| {
            json!({ "index": index, "value": value, "valueTwo": two, "op": OPERATORS[op] })
        };
        let program = program(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{
                "names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9,
                "args": [condition(1, first), condition(4, second)],
            }],
        }));
        let both = holds(OPERATORS[first], arg, value, two) && holds(OPERATORS[second], value, value, two);
        let wanted = if both { SECCOMP_RET_ERRNO | 9 } else { SECCOMP_RET_ALLOW };
        assert_eq!(judge(&program, "write", &[0, arg, 0, 0, value]), wanted);
    }
}
