//! Runs the loader program on real executables, on the host kernel, under a supervisor in miniature.

mod support;

use std::fs;
use std::path::Path;

use guest_loader::protocol::{
    EVENT_ATTACH, EVENT_CONTINUED, EVENT_EXITED, EVENT_STOPPED, FAILED_PLAN, FAILED_RESERVE,
};
use support::elf::{self, Elf};
use support::supervisor::{Guest, Outcome, compile, run};

const ENV: &[(&str, &str)] = &[("LC_ALL", "C"), ("COLOUR", "green")];

fn exec(exe: &Elf, argv: &[&str]) -> Outcome {
    run(&Guest { exe, plan: elf::plan(exe).encode().unwrap(), argv, env: ENV, under_init: false })
}

/// Prints what the kernel's ABI promises to a new image, and dies if memory is not as the file says.
const PROBE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>
extern char __executable_start, **environ;
int data[3] = {1, 2, 3};
char bss[300000];
int main(int argc, char **argv) {
    char *heap = sbrk(4096);
    for (int i = 0; i < argc; i++) printf("argv %s\n", argv[i]);
    for (int i = 0; environ[i]; i++) printf("env %s\n", environ[i]);
    for (size_t i = 0; i < sizeof bss; i++) if (bss[i]) return 2;
    memset(heap, 1, 4096);
    memset(bss, 1, sizeof bss);
    printf("execfn %s\nids %lu %lu %lu %lu %lu\n", (char *)getauxval(AT_EXECFN),
           getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID), getauxval(AT_SECURE));
    printf("start %#lx\n", (unsigned long)&__executable_start);
    printf("random %d vdso %d\n", getauxval(AT_RANDOM) != 0, getauxval(AT_SYSINFO_EHDR) != 0);
    double x = atof("1.5");
    return data[2] == 3 && x == 1.5 && (unsigned long)__builtin_frame_address(0) % 16 == 0 ? 42 : 3;
}
"#;

fn check_probe(name: &str, flags: &[&str]) -> Option<String> {
    let path = compile(name, PROBE, flags)?;
    let exe = elf::read(&path);
    let outcome = exec(&exe, &["zero", "one", ""]);
    assert_eq!(outcome.status, 42, "{outcome:?}");
    let expected = format!(
        "argv zero\nargv one\nargv \nenv LC_ALL=C\nenv COLOUR=green\nexecfn {}\n\
         ids 1001 1002 1003 1004 0\nstart ",
        path.display()
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (page, code) = outcome.signal_page.as_ref().unwrap();
    // The stub, and nothing else.
    assert!(page.is_multiple_of(4096) && code[..64].iter().any(|&byte| byte != 0));
    assert!(code[256..].iter().all(|&byte| byte == 0));
    let (head, tail) = outcome.stdout.split_at(expected.len());
    assert_eq!(sorted(head), sorted(&expected));
    assert_eq!(outcome.arguments, b"zero\0one\0\0");
    let (start, rest) = tail.split_once('\n').unwrap();
    assert_eq!(rest, "random 1 vdso 1\n");
    Some(start.to_owned())
}

#[test]
fn dynamic_pie_runs_with_the_auxv_of_the_plan() {
    let exe = elf::read(Path::new("/bin/true"));
    let guest = Guest {
        exe: &exe,
        plan: elf::plan(&exe).encode().unwrap(),
        argv: &["true"],
        env: &[("LD_SHOW_AUXV", "1")],
        under_init: false,
    };
    let outcome = run(&guest);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let value = |key: &str| {
        let line = outcome.stdout.lines().find(|line| line.starts_with(&format!("{key}:")));
        line.unwrap_or_else(|| panic!("no {key} in {}", outcome.stdout)).split_whitespace().last().unwrap()
    };
    assert_eq!(value("AT_EXECFN"), "/bin/true");
    assert_eq!([value("AT_UID"), value("AT_EUID")], ["1001", "1002"]);
    assert_eq!([value("AT_GID"), value("AT_EGID")], ["1003", "1004"]);
    assert_eq!(value("AT_SECURE"), "0");
    assert_eq!(value("AT_PHENT"), "56");
    assert_eq!(value("AT_PHNUM"), exe.phnum.to_string());
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let bias = hex(value("AT_PHDR")) - exe.phdr;
    assert_eq!(bias % 4096, 0);
    assert_eq!(hex(value("AT_ENTRY")), exe.object.entry + bias);
    assert_ne!(hex(value("AT_BASE")), 0);
    assert_ne!(hex(value("AT_SYSINFO_EHDR")), 0);
}

#[test]
fn dynamic_pie_finds_its_memory_as_the_file_says() {
    check_probe("probe-pie", &["-pie", "-fPIE"]);
}

#[test]
fn static_pie_runs_without_interpreter() {
    check_probe("probe-static-pie", &["-static-pie", "-fPIE"]);
}

#[test]
fn static_and_dynamic_non_pie_stay_at_their_addresses() {
    for (name, flags) in [("probe-static", ["-static", "-no-pie"]), ("probe-fixed", ["-no-pie", "-no-pie"])] {
        assert!(check_probe(name, &flags).is_none_or(|start| start == "0x400000"));
    }
}

#[test]
fn large_segment_alignment_is_respected() {
    let flags = ["-static-pie", "-fPIE", "-Wl,-z,max-page-size=0x200000"];
    let Some(start) = check_probe("probe-aligned", &flags) else { return };
    let start = u64::from_str_radix(start.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(start % 0x20_0000, 0);
}

#[test]
fn gaps_between_segments_are_not_mapped() {
    let source = r#"
    #include <sys/mman.h>
    extern char __executable_start, end;
    int main(void) {
        int holes = 0;
        for (char *p = &__executable_start; p < &end; p += 4096) holes += msync(p, 4096, MS_ASYNC) != 0;
        return holes > 100 ? 7 : 1;
    }"#;
    let flags = ["-static-pie", "-fPIE", "-Wl,-z,max-page-size=0x200000"];
    let Some(path) = compile("probe-gaps", source, &flags) else { return };
    assert_eq!(exec(&elf::read(&path), &["x"]).status, 7);
}

#[test]
fn script_gets_interpreter_argument_and_path() {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("script");
    fs::write(&script, "#!/bin/sh -e\necho \"$0|$1|$2|$#|$-\"\n").unwrap();
    let script = script.to_str().unwrap();
    let exe = elf::read(Path::new("/bin/sh"));
    let mut plan = elf::plan(&exe);
    plan.execfn = script.as_bytes().to_vec();
    plan.argv_prefix = vec![b"/bin/sh".to_vec(), b"-e".to_vec(), script.as_bytes().to_vec()];
    let argv = &["ignored", "one", "two words"];
    let outcome = run(&Guest { exe: &exe, plan: plan.encode().unwrap(), argv, env: ENV, under_init: false });
    assert_eq!((outcome.stdout.as_str(), outcome.status), (&*format!("{script}|one|two words|2|e\n"), 0));
    let expected = format!("/bin/sh\0-e\0{script}\0one\0two words\0");
    assert_eq!(outcome.arguments, expected.as_bytes());
}

#[test]
fn many_long_arguments_survive() {
    let exe = elf::read(Path::new("/bin/echo"));
    let long = "x".repeat(40_000);
    let argv: Vec<&str> = ["echo", &long, "end"].into_iter().chain(vec!["y"; 1000]).collect();
    let outcome = exec(&exe, &argv);
    assert_eq!(outcome.stdout, argv[1..].join(" ") + "\n");
}

#[test]
fn exec_stack_is_granted() {
    let source = r#"
    int main(void) {
        volatile unsigned char code[] = {0xb8, 9, 0, 0, 0, 0xc3};
        return ((int (*)(void))code)();
    }"#;
    let Some(path) = compile("probe-stack", source, &["-static", "-z", "execstack"]) else { return };
    let exe = elf::read(&path);
    let mut plan = elf::plan(&exe);
    plan.exec_stack = true;
    let encoded = plan.encode().unwrap();
    let status = run(&Guest { exe: &exe, plan: encoded, argv: &["x"], env: ENV, under_init: false }).status;
    assert_eq!(status, 9);
    assert_eq!(exec(&exe, &["x"]).status, 128 + libc::SIGSEGV);
}

#[test]
fn fixed_object_over_an_existing_mapping_is_reported() {
    let mut exe = elf::read(Path::new("/bin/true"));
    exe.object.placement = guest_loader::Placement::Fixed;
    // From the first megabyte to the end of user space: over loader, stack and vDSO.
    exe.object.segments.iter_mut().for_each(|segment| segment.vaddr += 0x10_0000);
    let last = exe.object.segments.last_mut().unwrap();
    last.mem_len = 0x7fff_ffff_e000 - last.vaddr;
    let outcome = exec(&exe, &["true"]);
    assert_eq!(outcome.failure, Some([FAILED_RESERVE, libc::EEXIST as u64, 0]));
    assert_eq!(outcome.status, 127);
}

#[test]
fn foreign_plan_is_refused() {
    let exe = elf::read(Path::new("/bin/true"));
    let mut plan = elf::plan(&exe).encode().unwrap();
    plan[0] ^= 1;
    let outcome = run(&Guest { exe: &exe, plan, argv: &["true"], env: ENV, under_init: false });
    assert_eq!(outcome.failure.map(|failure| failure[0]), Some(FAILED_PLAN));
}

#[test]
fn init_reports_stop_continue_and_exit_of_its_main_child() {
    let exe = elf::read(Path::new("/bin/sh"));
    let script = "(sleep 0.05; exit 3) & kill -STOP $$; wait; echo $#; exit 7";
    let argv = &["sh", "-c", script, "sh", "a", "b"];
    let plan = elf::plan(&exe).encode().unwrap();
    let outcome = run(&Guest { exe: &exe, plan, argv, env: &[("PATH", "/bin:/usr/bin")], under_init: true });
    let stopped = (EVENT_STOPPED, 0x7f | (libc::SIGSTOP as u64) << 8);
    let events = [(EVENT_ATTACH, 0), stopped, (EVENT_CONTINUED, 0xffff), (EVENT_EXITED, 7 << 8)];
    assert_eq!(outcome.events, events);
    assert_eq!((outcome.stdout.as_str(), outcome.status), ("2\n", 7));
}

#[test]
fn init_exits_with_the_signal_of_its_main_child() {
    let exe = elf::read(Path::new("/bin/sh"));
    let plan = elf::plan(&exe).encode().unwrap();
    let outcome =
        run(&Guest { exe: &exe, plan, argv: &["sh", "-c", "kill -TERM $$"], env: ENV, under_init: true });
    assert_eq!(outcome.status, 128 + libc::SIGTERM);
    assert_eq!(outcome.events, [(EVENT_ATTACH, 0), (EVENT_EXITED, libc::SIGTERM as u64)]);
}
