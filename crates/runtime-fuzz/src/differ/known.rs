//! Known differences between Palisade and Linux: each as narrow as possible, with its reason.

use crate::program::{Call, Program};

/// A difference that is no finding.
#[derive(Debug)]
pub struct Known {
    /// The key of the difference: the call and what differs; `*` at an end stands for anything.
    pub key: &'static str,
    /// Whether it holds for this call of the program.
    pub when: fn(&Call, &Program) -> bool,
    /// Why it is so.
    pub reason: &'static str,
}

/// All of them; COMPAT.md shows the list.
pub const KNOWN: &[Known] = &[];

/// The known difference that this is.
pub fn find(call: &Call, key: &str, program: &Program) -> Option<&'static Known> {
    KNOWN.iter().find(|known| is_like(known.key, key) && (known.when)(call, program))
}

fn is_like(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => {
            key.starts_with(head) && key.ends_with(tail) && key.len() >= head.len() + tail.len()
        }
        None => pattern == key,
    }
}
