//! Signals by name or number, as `kill` takes them.

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

/// The last real-time signal.
const LAST: i32 = 64;

/// The number of `KILL`, `SIGKILL`, `kill` or `9`.
pub(super) fn parse(text: &str) -> Result<i32> {
    if let Ok(number) = text.parse::<i32>() {
        if !(0..=LAST).contains(&number) {
            bail!("unknown signal {text:?}: numbers go from 0 to {LAST}");
        }
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let known = Signal::iterator().find(|signal| signal.as_str() == name);
    match known {
        Some(signal) => Ok(signal as i32),
        None if name == "SIGCLD" => Ok(Signal::SIGCHLD as i32),
        None if name == "SIGPOLL" => Ok(Signal::SIGIO as i32),
        None => bail!("unknown signal {text:?}: give a name as in signal(7), or a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers_are_signals() {
        for (text, number) in [("KILL", 9), ("SIGKILL", 9), ("term", 15), ("sighup", 1), ("0", 0), ("64", 64)]
        {
            assert_eq!(parse(text).ok(), Some(number), "{text}");
        }
        for text in ["", "SIG", "NOSUCH", "-1", "65", "9x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
