//! What a client that looks at a running container is told.

use serde::{Deserialize, Serialize};

/// Which calls a trace is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TraceFilter {
    /// Numbers of calls; empty: all.
    #[serde(default)]
    pub calls: Vec<i32>,
    /// A process by its id inside; `None`: all.
    #[serde(default)]
    pub pid: Option<i32>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It returned this.
    Value(i64),
    /// It failed with this errno.
    Errno(i32),
    /// The host performed it, or another in its place; its result was not seen.
    Host,
    /// A signal or the thread's end took it away while it waited.
    Interrupted,
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedCall {
    /// Counts the trace's calls from 0 on; a gap is as long as the number of those that were dropped.
    pub seq: u64,
    /// When it was received, in nanoseconds since 1970.
    pub at_ns: u64,
    /// From then until its answer; 0 where the trace began in between.
    pub duration_ns: u64,
    /// Ids inside the container.
    pub pid: i32,
    pub tid: i32,
    /// The thread's name.
    pub comm: String,
    pub nr: i32,
    pub args: [u64; 6],
    pub ending: Ending,
    /// As strace(1) prints it.
    pub text: String,
}

/// What a trace tells at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceBatch {
    /// In the order of their ends.
    pub calls: Vec<TracedCall>,
    /// Calls that found no room, in all so far.
    pub dropped: u64,
    /// The container has ended: nothing follows.
    pub ended: bool,
}
