//! Programs survive printing; bad ones are refused with their place.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::parse::parse;
use super::{Program, table_version};
use crate::grammar::{Engine, Generator, Selection};
use crate::random::Random;

fn generated(seed: u64) -> Program {
    let selection = Selection::new(&[], Engine::Sandbox).unwrap();
    let mut random = Random::new(seed);
    Generator::new(&selection, &mut random).program(8)
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(seed in any::<u64>()) {
        let program = generated(seed);
        let text = program.to_string();
        let again = parse(&text).map_err(|error| proptest::test_runner::TestCaseError::fail(format!("{error} in\n{text}")))?;
        prop_assert_eq!(&again, &program, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "(r[0-9] = )?[a-z0-9_]{1,8}\\([ -~]{0,40}\\)?") {
        let _ = parse(&text);
    }

    #[test]
    fn mutants_are_programs(seed in any::<u64>()) {
        let selection = Selection::new(&[], Engine::Sandbox).unwrap();
        let mut random = Random::new(seed);
        let (one, other) = (generated(seed), generated(!seed));
        let mutant = Generator::new(&selection, &mut random).mutate(&one, Some(&other));
        let again = parse(&mutant.to_string()).map_err(|error| proptest::test_runner::TestCaseError::fail(format!("{error}\n{mutant}")))?;
        prop_assert_eq!(again, mutant);
    }
}

#[test]
fn the_example_of_the_manual_is_read() {
    let text = "r0 = openat(AT_FDCWD, &\"a\", O_RDWR|O_CREAT, 0o600)\npipe2(&out[8 r1@0 r2@4], O_NONBLOCK)\n\
                t1 read(r1, &out[16], 16)\n+20ms\nwrite(r2, &b\"hello\", 5)\n";
    let program = parse(text).unwrap();
    assert_eq!(program.calls.len(), 4);
    assert_eq!(program.calls[3].after_ms, 20);
    assert!(program.to_string().contains("openat(AT_FDCWD, &\"a\", O_RDWR|O_CREAT, 0600)"), "{program}");
}

#[test]
fn faults_are_told_with_their_place() {
    let cases = [
        ("close(r9)", "line 1, column 7: no earlier call gives r9"),
        ("close(1)\nopn(1)", "line 2, column 1: there is no system call opn"),
        ("close(1, 2)", "line 1, column 8: close has 1 arguments; expected `)`, found `,`"),
        ("dup2(0, 1) x", "line 1, column 12: expected the end of the line, found `x`"),
        ("open(&\"a, 0, 0)", "line 1, column 7: this text has no end"),
        ("open(&\"a\", O_NOSUCH, 0)", "line 1, column 12: `O_NOSUCH` is not known here; names of OPEN are"),
        ("poll(&[pollfd{nothing: 1}], 1, 0)", "line 1, column 15: pollfd has no such field"),
        ("read(0, &out[99999999], 1)", "line 1, column 14: a length: at most 65536"),
    ];
    for (text, told) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), told, "{text}");
    }
}

#[test]
fn a_program_of_another_table_is_refused_by_name() {
    let error = parse("# palisade program, table 00000001\nopn(1)").unwrap_err().to_string();
    assert!(error.contains("written for table 00000001"), "{error}");
    assert!(parse(&format!("# palisade program, table {:08x}\nclose(1)", table_version())).is_ok());
}
