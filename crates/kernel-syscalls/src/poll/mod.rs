//! Waiting for many files: poll(2), select(2), epoll(7).
//!
//! [`wait`] registers a call with every file it waits for and with its deadline; [`mask`] is the signal mask
//! that some of the calls take.

pub(crate) mod epoll;
pub(crate) mod mask;
pub(crate) mod pollfds;
pub(crate) mod select;
mod wait;
