//! Ways out of a sandbox, tried from inside. Each check passes when the way is shut.
//!
//! `guest_escape` runs those that hold under any Linux (the host's own, runc's), `guest_escape inside` also those that
//! only Palisade promises, `guest_escape exhaust NAME` uses up a resource, says `full`, and waits for its input's end.
//! ESCAPE_ROUNDS says how often races are run (`cargo xtask soak races`: a million), ESCAPE_HOST_PID names a
//! process of the host, ESCAPE_VOLUME a directory that lies on the host.

mod entry;
mod exhaust;
mod filters;
mod frames;
mod ids;
mod loader;
mod namespaces;
mod objects;
mod paths;
mod races;

use std::process::ExitCode;

use integration::guest::{self, Check};

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut checks: Vec<Check> = [frames::PORTABLE, ids::PORTABLE, races::PORTABLE, paths::PORTABLE].concat();
    match words.first().map(String::as_str) {
        Some("exhaust") => return exhaust::run(&words.split_off(1)),
        Some("inside") => {
            words.remove(0);
            let more = [
                entry::INSIDE,
                filters::INSIDE,
                ids::INSIDE,
                loader::INSIDE,
                namespaces::INSIDE,
                objects::INSIDE,
            ];
            checks.extend(more.concat());
        }
        _ => {}
    }
    guest::run(&checks, &words)
}

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How often a race is run.
fn rounds() -> usize {
    setting("ESCAPE_ROUNDS", 1000)
}
