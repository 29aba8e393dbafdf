//! An interactive bash on a terminal that the test holds: on the host first, then in a sandbox.

use integration::paths;
use integration::pty::Terminal;
use integration::runner::{Runner, Sandbox};

const BASH: &[&str] = &["bash", "--norc", "--noprofile", "--noediting", "-i"];

/// The prompt; no command line here contains it.
const PROMPT: &str = "%> ";

/// Runs a dialogue with a bash on the host, then with one in a sandbox on the host's root.
fn dialogue(talk: impl Fn(&mut Terminal)) {
    let mut runners = vec![Runner::Native];
    if paths::palisade_is_wanted() {
        runners.push(Runner::Palisade(Sandbox::default()));
    }
    for runner in runners {
        println!("--- {runner:?}");
        let mut terminal = Terminal::start(runner.command(BASH));
        terminal.type_line("PS1='%''> '");
        terminal.expect(PROMPT);
        talk(&mut terminal);
    }
}

/// Types a command and gives what it printed.
fn ask(terminal: &mut Terminal, line: &str) -> String {
    terminal.type_line(line);
    let shown = terminal.expect(PROMPT);
    // The first line is the echo of what was typed.
    shown.split_once("\r\n").map_or(String::new(), |(_, output)| output.to_owned())
}

/// Types a command that goes on running, and waits until it does.
fn start(terminal: &mut Terminal, line: &str) {
    terminal.type_line(&format!("echo go''ing; {line}"));
    terminal.expect("going\r\n");
    // Between the echo and the program there is a fork and an exec.
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn control_c_interrupts_the_foreground() {
    dialogue(|terminal| {
        start(terminal, "sleep 1000");
        terminal.type_text("\x03");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "echo $?"), "130\r\n");
    });
}

#[test]
fn control_backslash_quits() {
    dialogue(|terminal| {
        ask(terminal, "ulimit -c 0");
        start(terminal, "sleep 1000");
        terminal.type_text("\x1c");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "echo $?"), "131\r\n");
    });
}

#[test]
fn control_z_stops_and_fg_continues() {
    dialogue(|terminal| {
        start(terminal, "sleep 1000");
        terminal.type_text("\x1a");
        terminal.expect("Stopped");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "echo $?"), "148\r\n");
        assert!(ask(terminal, "jobs").contains("Stopped"));
        terminal.type_line("fg");
        terminal.expect("sleep 1000\r\n");
        std::thread::sleep(std::time::Duration::from_millis(200));
        terminal.type_text("\x03");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "jobs; echo none"), "none\r\n");
    });
}

#[test]
fn background_job_keeps_running() {
    dialogue(|terminal| {
        ask(terminal, "sleep 1000 &");
        assert!(ask(terminal, "jobs").contains("Running"));
        ask(terminal, "kill %1");
        assert!(ask(terminal, "wait; echo waited").contains("waited"));
    });
}

#[test]
fn background_read_from_the_terminal_stops() {
    dialogue(|terminal| {
        ask(terminal, "cat &");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(ask(terminal, "jobs").contains("Stopped"));
        ask(terminal, "kill -9 %1");
    });
}

#[test]
fn window_size_is_seen_and_followed() {
    dialogue(|terminal| {
        assert_eq!(ask(terminal, "stty size"), "24 80\r\n");
        ask(terminal, "trap 'echo win''ch' WINCH");
        terminal.resize(40, 100);
        std::thread::sleep(std::time::Duration::from_millis(300));
        terminal.type_line("");
        terminal.expect("winch");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "stty size"), "40 100\r\n");
        assert_eq!(ask(terminal, "stty rows 30 cols 90; stty size"), "30 90\r\n");
    });
}

#[test]
fn raw_mode_passes_every_byte() {
    dialogue(|terminal| {
        start(terminal, "stty raw -echo; dd bs=1 count=5 2>/dev/null | od -An -tx1; stty sane");
        terminal.type_text("\x03\r\x1a\x7fq");
        terminal.expect(" 03 0d 1a 7f 71");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "echo cooked"), "cooked\r\n");
    });
}

#[test]
fn settings_are_those_of_a_fresh_terminal() {
    let seen = std::cell::RefCell::new(Vec::new());
    dialogue(|terminal| {
        seen.borrow_mut().push(ask(terminal, "stty -a; stty -echo; stty -a | grep -c -- -echo; stty echo"))
    });
    let seen = seen.into_inner();
    assert!(seen[0].contains("speed 38400 baud; rows 24; columns 80;"), "{}", seen[0]);
    assert!(seen.iter().all(|settings| *settings == seen[0]), "{seen:#?}");
}

#[test]
fn line_editing_of_the_terminal() {
    dialogue(|terminal| {
        start(terminal, "cat");
        terminal.type_text("abX\x7fc\r");
        terminal.expect("\r\nabc\r\n");
        terminal.type_text("gone\x15kept\r");
        terminal.expect("\r\nkept\r\n");
        terminal.type_text("\x04");
        terminal.expect(PROMPT);
    });
}

#[test]
fn descriptors_are_the_terminal() {
    dialogue(|terminal| {
        assert_eq!(ask(terminal, "test -t 0 -a -t 1 -a -t 2; echo $?"), "0\r\n");
        assert!(ask(terminal, "tty").starts_with("/dev/pts/"));
        assert_eq!(ask(terminal, "echo through >/dev/tty"), "through\r\n");
        assert_eq!(
            ask(
                terminal,
                "python3 -c 'import os; print(os.get_terminal_size(), os.tcgetpgrp(0) == os.getpgrp())'"
            ),
            "os.terminal_size(columns=80, lines=24) True\r\n"
        );
        assert!(ask(terminal, "ps -o tty= -p $$").starts_with("pts/"));
    });
}

#[test]
fn exit_status_and_end_of_input() {
    dialogue(|terminal| {
        terminal.type_line("exit 7");
        assert_eq!(terminal.wait(), 7);
    });
    dialogue(|terminal| {
        ask(terminal, "(exit 9)");
        terminal.type_text("\x04");
        assert_eq!(terminal.wait(), 9);
    });
    dialogue(|terminal| {
        terminal.type_line("kill -9 $$");
        assert_eq!(terminal.wait(), 137);
    });
}

#[test]
fn hang_up_ends_the_session() {
    dialogue(|terminal| {
        start(terminal, "exec sleep 1000");
        terminal.hang_up();
        assert_eq!(terminal.wait(), 129);
    });
}

#[test]
fn large_output_arrives_whole() {
    dialogue(|terminal| {
        let shown = ask(terminal, "seq 1 20000 | md5sum; seq 1 20000");
        assert_eq!(shown.lines().count(), 20001);
        assert!(shown.ends_with("19999\r\n20000\r\n"));
    });
}

/// Runs a dialogue with an interactive bash on the host; `run` stands for what starts a program, nothing or
/// a sandbox.
fn on_the_host(talk: impl Fn(&mut Terminal, &str)) {
    let mut prefixes = vec![String::new()];
    if paths::palisade_is_wanted() {
        let command = Runner::Palisade(Sandbox::default()).command::<&str>(&[]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        prefixes.push(words.join(" "));
    }
    for prefix in prefixes {
        println!("--- {prefix:?}");
        let mut terminal = Terminal::start(Runner::Native.command(BASH));
        terminal.type_line("PS1='%''> '");
        terminal.expect(PROMPT);
        ask(&mut terminal, &format!("RUN='{prefix}'"));
        talk(&mut terminal, "$RUN ");
    }
}

/// Types a command that shows nothing, and waits until it runs.
fn start_quietly(terminal: &mut Terminal, line: &str) {
    terminal.type_line(line);
    terminal.expect("\r\n");
    std::thread::sleep(std::time::Duration::from_millis(500));
}

#[test]
fn control_z_stops_the_program_for_the_shell_outside() {
    on_the_host(|terminal, run| {
        for program in ["sleep 1000", "cat", "bash -c 'sleep 1000; echo after'"] {
            start_quietly(terminal, &format!("{run}{program}"));
            terminal.type_text("\x1a");
            terminal.expect("Stopped");
            terminal.expect(PROMPT);
            assert_eq!(ask(terminal, "echo $?"), "148\r\n");
            assert!(ask(terminal, "stty -a").contains("isig icanon iexten echo"));
            start_quietly(terminal, "fg");
            std::thread::sleep(std::time::Duration::from_millis(300));
            terminal.type_text("\x03");
            terminal.expect(PROMPT);
            assert_eq!(ask(terminal, "echo $?"), "130\r\n");
        }
    });
}

#[test]
fn background_program_runs_until_it_reads() {
    on_the_host(|terminal, run| {
        ask(terminal, &format!("{run}sleep 0.5 &"));
        assert!(ask(terminal, "jobs").contains("Running"));
        assert!(ask(terminal, "wait; echo ended").contains("ended"));
        ask(terminal, &format!("{run}cat &"));
        std::thread::sleep(std::time::Duration::from_millis(1000));
        assert!(ask(terminal, "jobs").contains("Stopped"));
        start_quietly(terminal, "fg");
        terminal.type_line("seen");
        terminal.expect("seen\r\nseen\r\n");
        terminal.type_text("\x04");
        terminal.expect(PROMPT);
    });
}

#[test]
fn typed_ahead_stays_for_the_shell_outside() {
    on_the_host(|terminal, run| {
        start_quietly(terminal, &format!("{run}sleep 1"));
        terminal.type_line("echo typed''ahead");
        terminal.expect("typedahead\r\n");
        terminal.expect(PROMPT);
    });
}

#[test]
fn terminal_is_used_without_standard_input() {
    on_the_host(|terminal, run| {
        assert_eq!(
            ask(terminal, &format!("echo piped | {run}sh -c 'cat; test -t 1 && echo tty'")),
            "piped\r\ntty\r\n"
        );
        assert_eq!(
            ask(terminal, &format!("{run}sh -c 'test -t 0 && echo in; test -t 1 || echo out' | cat")),
            "in\r\nout\r\n"
        );
        start_quietly(terminal, &format!("{run}bash -c 'sleep 1000; echo after' </dev/null"));
        terminal.type_text("\x03");
        terminal.expect(PROMPT);
        assert_eq!(ask(terminal, "echo $?"), "130\r\n");
    });
}

#[test]
fn timed_reads_end_with_their_time() {
    dialogue(|terminal| {
        let empty = "stty -icanon min 0 time 3; dd count=1 2>/dev/null | wc -c; stty sane";
        assert_eq!(ask(terminal, empty), "0\r\n");
        start(terminal, "stty -icanon -echo min 5 time 2; dd count=1 2>/dev/null | wc -c; stty sane");
        terminal.type_text("ab");
        terminal.expect("2\r\n");
        terminal.expect(PROMPT);
    });
}

#[test]
fn output_in_the_background_stops_under_tostop() {
    dialogue(|terminal| {
        ask(terminal, "stty tostop; echo shown &");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(ask(terminal, "jobs").contains("Stopped"));
        terminal.type_line("fg");
        terminal.expect("shown\r\n");
        terminal.expect(PROMPT);
    });
}
