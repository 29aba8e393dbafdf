use abi_linux::Errno;
use abi_linux::seccomp::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SockFilter};
use proptest::prelude::*;

use super::program::{CallData, Program, op};
use super::{Filter, Mode, host, strict_for_host};

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

fn call(nr: i32, arg0: u64) -> CallData {
    CallData { nr, instruction_pointer: 0x1234_5678_9abc, args: [arg0, 0, 0, 0, 0, 0] }
}

fn program(code: &[SockFilter]) -> Program {
    Program::new(code.to_vec()).unwrap()
}

/// ERRNO(13) for `nr`, else ALLOW.
fn denies(nr: u32, answer: u32) -> Program {
    program(&[
        insn(op::LD_W_ABS, 0, 0, 0),
        insn(op::JEQ, 0, 1, nr),
        insn(op::RET_K, 0, 0, answer),
        insn(op::RET_K, 0, 0, SECCOMP_RET_ALLOW),
    ])
}

#[test]
fn the_most_restrictive_filter_counts() {
    let first = Filter::on_top_of(None, denies(5, SECCOMP_RET_ERRNO | 13)).unwrap();
    let second = Filter::on_top_of(Some(first), denies(5, SECCOMP_RET_ERRNO | 1)).unwrap();
    assert_eq!(second.run(&call(5, 0)), SECCOMP_RET_ERRNO | 1);
    let third = Filter::on_top_of(Some(second), denies(6, SECCOMP_RET_KILL_PROCESS)).unwrap();
    assert_eq!(third.run(&call(5, 0)), SECCOMP_RET_ERRNO | 1);
    assert_eq!(third.run(&call(6, 0)), SECCOMP_RET_KILL_PROCESS);
    let mode = Mode::Filter(third);
    assert!(mode.allows(&call(7, 0)) && !mode.allows(&call(6, 0)));
}

#[test]
fn arguments_and_arithmetic() {
    let code = [
        insn(op::LDX_IMM, 0, 0, 3),
        insn(op::LD_W_ABS, 0, 0, 20),
        insn(op::ALU | op::MUL | op::X, 0, 0, 0),
        insn(op::STX, 0, 0, 7),
        insn(op::ST, 0, 0, 8),
        insn(op::LD_MEM, 0, 0, 8),
        insn(op::RET_A, 0, 0, 0),
    ];
    assert_eq!(program(&code).run(&call(0, 5 << 32)), 15);
    let by_zero =
        [insn(op::LD_IMM, 0, 0, 9), insn(op::ALU | op::DIV | op::X, 0, 0, 0), insn(op::RET_A, 0, 0, 0)];
    assert_eq!(program(&by_zero).run(&call(0, 0)), 0);
}

#[test]
fn what_linux_refuses_is_refused() {
    let ret = insn(op::RET_K, 0, 0, 0);
    for code in [
        vec![],
        vec![insn(op::LD_IMM, 0, 0, 0)],
        vec![insn(op::LD_W_ABS, 0, 0, 2), ret],
        vec![insn(op::LD_W_ABS, 0, 0, 64), ret],
        vec![insn(0x28, 0, 0, 0), ret],
        vec![insn(op::JA, 0, 0, 1), ret],
        vec![insn(op::JEQ, 1, 0, 0), ret],
        vec![insn(op::LD_MEM, 0, 0, 0), ret],
        vec![insn(op::ST, 0, 0, 16), ret],
        vec![insn(op::ALU | op::DIV, 0, 0, 0), ret],
        vec![insn(op::ALU | op::LSH, 0, 0, 32), ret],
        vec![insn(0x94, 0, 0, 1), ret],
        // Written on one of two ways only.
        vec![insn(op::JEQ, 0, 1, 0), insn(op::ST, 0, 0, 1), insn(op::LD_MEM, 0, 0, 1), ret],
        vec![ret; 4097],
    ] {
        assert_eq!(Program::new(code.clone()).err(), Some(Errno::EINVAL), "{code:?}");
    }
    assert!(Program::new(vec![ret; 4096]).is_ok());
}

#[test]
fn a_chain_is_bounded_and_dropped_without_recursion() {
    let ret = |count| program(&vec![insn(op::RET_K, 0, 0, SECCOMP_RET_ALLOW); count]);
    let mut chain = None;
    let mut count = 0;
    while let Ok(longer) = Filter::on_top_of(chain.clone(), ret(1)) {
        chain = Some(longer);
        count += 1;
    }
    assert_eq!(count, (32768 - 1) / 5 + 1);
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(chain)).unwrap().join().unwrap();
}

/// As the host runs it: the program for a call that is not the loader's.
fn as_host(program: &Program, data: &CallData) -> u32 {
    Program::new(host::translate(program).unwrap()).unwrap().run(data)
}

#[test]
fn the_loaders_calls_pass() {
    let kill = program(&[insn(op::RET_K, 0, 0, SECCOMP_RET_KILL_PROCESS)]);
    for nr in 1024..1028 {
        assert_eq!(as_host(&kill, &call(nr, 0)), SECCOMP_RET_ALLOW);
    }
    let mut exec = call(322, 63);
    assert_eq!(as_host(&kill, &exec), SECCOMP_RET_KILL_PROCESS);
    exec.args[4] = 0x1000;
    assert_eq!(as_host(&kill, &exec), SECCOMP_RET_ALLOW);
    exec.args[0] = 62;
    assert_eq!(as_host(&kill, &exec), SECCOMP_RET_KILL_PROCESS);
    for nr in [1023, 1028, 0, -1] {
        assert_eq!(as_host(&kill, &call(nr, 0)), SECCOMP_RET_KILL_PROCESS);
    }
}

#[test]
fn strict_mode_ends_native_calls() {
    let strict = Program::new(strict_for_host(&[9, 11, 15])).unwrap();
    assert_eq!(strict.run(&call(0, 0)), SECCOMP_RET_ALLOW);
    assert_eq!(strict.run(&call(15, 0)), SECCOMP_RET_ALLOW);
    assert_eq!(strict.run(&call(3, 0)), SECCOMP_RET_ALLOW);
    assert_eq!(strict.run(&call(11, 0)), 0);
}

fn any_code() -> impl Strategy<Value = Vec<SockFilter>> {
    let codes = prop::sample::select(vec![
        0x20u16, 0x80, 0x81, 0, 1, 0x60, 0x61, 2, 3, 4, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c,
        0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0xa4, 0xac, 5, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45,
        0x4d, 6, 0x16, 7, 0x87,
    ]);
    let code = prop_oneof![8 => codes, 1 => any::<u16>()];
    let k = prop_oneof![4 => (0u32..16).prop_map(|word| word * 4), 2 => 0u32..40, 1 => any::<u32>()];
    let one = (code, 0u8..6, 0u8..6, k).prop_map(|(code, jt, jf, k)| SockFilter { code, jt, jf, k });
    prop::collection::vec(one, 1..40).prop_map(|mut code| {
        code.push(SockFilter { code: op::RET_A, jt: 0, jf: 0, k: 0 });
        code
    })
}

proptest! {
    /// Any bytes are refused or run to an end, and the host's version answers the same but for LOG and TRACE.
    #[test]
    fn translation_keeps_the_answer(code in any_code(), nr: i32, ip: u64, args: [u64; 6]) {
        let data = CallData { nr, instruction_pointer: ip, args };
        if let Ok(program) = Program::new(code) {
            let own = host::answer_for_host(program.run(&data));
            let expected = if host::is_exempt(&data) { SECCOMP_RET_ALLOW } else { own };
            prop_assert_eq!(as_host(&program, &data), expected);
        }
    }
}
