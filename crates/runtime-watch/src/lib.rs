//! Looks at all sandboxes of this machine, from outside: finds them, asks their supervisors, reads their cgroups.
//!
//! [`sample`] is one look, [`prometheus`] writes it down. `palisade metrics` uses them, and so do the programs of this
//! crate, which are siblings of `palisade`: what they need beyond, no supervisor has to carry.
#![forbid(unsafe_code)]

pub mod prometheus;
pub mod rates;
pub mod sample;
