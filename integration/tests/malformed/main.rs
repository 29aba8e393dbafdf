//! Socket calls with malformed arguments: what they answer on the host, in a network namespace with lo alone, they answer
//! inside, by either kind of network.

mod known;

use std::path::Path;
use std::process::Command;

use integration::paths;
use integration::process;
use integration::runner::{ENVIRONMENT, Runner, Sandbox};

const GUEST: &str = env!("CARGO_BIN_EXE_guest_malformed");
const MOUNT: &str = "/t";

fn answers(mut command: Command) -> Vec<String> {
    let done = process::run(&mut command, b"");
    assert!(done.status == 0 && !done.hung, "{:?} {}", done.status, done.stderr);
    done.stdout.lines().map(str::to_owned).collect()
}

/// Whether the answer to what a line asks is known to differ.
fn is_known(network: &str, line: &str) -> bool {
    let Some((_, asked)) = line.split_once(' ') else { return false };
    let applies = |of: &str| of.is_empty() || of == network;
    if known::LINES.iter().any(|(of, words)| applies(of) && asked.starts_with(words)) {
        return true;
    }
    let words: Vec<&str> = asked.splitn(4, ' ').collect();
    let [operation, level, name, _] = words[..] else { return false };
    let is_it = |known: &known::Options| {
        applies(known.network) && known.operation == operation && Ok(known.level) == level.parse()
    };
    let names = known::OPTIONS.iter().filter(|known| is_it(known)).flat_map(|known| known.names);
    name.parse().is_ok_and(|name: i32| names.into_iter().any(|known| *known == name))
}

fn compare(network: &'static str) {
    let program = Path::new(GUEST);
    let (dir, name) = (program.parent().expect("a directory"), program.file_name().expect("a name"));
    let native = answers(Runner::Native.command(&[GUEST]));
    assert!(native.len() > 10_000, "only {} answers", native.len());
    if !paths::palisade_is_wanted() {
        return;
    }
    let sandbox = Sandbox::default().with_volume(dir, MOUNT).with_option(format!("--network={network}"));
    let inside = Runner::Palisade(sandbox).command(&[format!("{MOUNT}/{}", name.to_string_lossy())]);
    let mut command = Command::new(dir.join("with_loopback"));
    command.arg(inside.get_program()).args(inside.get_args()).env_clear().envs(ENVIRONMENT.iter().copied());
    let ours = answers(command);
    assert_eq!(native.len(), ours.len(), "it asked as much");
    let is_known = |line: &str| is_known(network, line);
    let differ = native.iter().zip(&ours).filter(|(native, ours)| native != ours && !is_known(native));
    let differ: Vec<_> = differ.collect();
    for (native, ours) in differ.iter().take(40) {
        println!("host:   {native}\ninside: {ours}");
    }
    assert!(differ.is_empty(), "{} of {} answers differ with {network}", differ.len(), native.len());
}

#[test]
fn malformed_calls_are_answered_as_by_linux_on_the_loopback_in_memory() {
    compare("none");
}

#[test]
fn malformed_calls_are_answered_as_by_linux_on_sockets_of_the_host() {
    compare("host");
}
