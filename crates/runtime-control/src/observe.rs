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

/// How much is counted of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Depth {
    /// How many, how they ended, how long they took.
    Counts,
    /// Also where their time went, and on which paths.
    Parts,
}

/// Upper ends of the buckets of durations: 1 µs times powers of two, up to 8 s; one more bucket has the rest.
pub const BUCKETS: usize = 24;

/// The bucket of a duration.
#[must_use]
pub fn bucket_of(ns: u64) -> usize {
    let micros = ns.div_ceil(1000);
    let power = micros.max(1).next_power_of_two().trailing_zeros();
    usize::try_from(power).unwrap_or(BUCKETS).min(BUCKETS)
}

/// The upper end of a bucket; `None` for the last.
#[must_use]
pub fn upper_end_ns(bucket: usize) -> Option<u64> {
    (bucket < BUCKETS).then(|| 1000 << bucket)
}

/// What was counted of a container since somebody first asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// When that was, in nanoseconds since 1970.
    pub since_ns: u64,
    pub calls: Vec<CallStats>,
    /// Paths that calls named, by the time that these took; only with [`Depth::Parts`].
    pub paths: Vec<PathStats>,
    pub now: Now,
}

/// What a container holds at this moment, and what is always counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// Calls that wait.
    pub parked: u64,
    pub processes: u64,
    pub threads: u64,
    /// Open descriptors; of those that share a table once.
    pub descriptors: u64,
    /// Calls of the native kind that were refused for their registers.
    pub gate_refusals: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Who looks at its calls.
    pub observers: u64,
}

/// The calls of one number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallStats {
    pub nr: i32,
    /// That returned a value.
    pub succeeded: u64,
    /// That the host performed, whose result was not seen.
    pub by_host: u64,
    pub interrupted: u64,
    /// That failed, by errno: its number and name, and how many.
    pub failed: Vec<(i32, String, u64)>,
    /// By duration, waiting included: see [`upper_end_ns`].
    pub buckets: Vec<u64>,
    pub total_ns: u64,
    pub parts: Parts,
}

impl CallStats {
    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        let failed: u64 = self.failed.iter().map(|(_, _, count)| count).sum();
        self.succeeded + self.by_host + self.interrupted + failed
    }
}

/// Where the time went; 0 without [`Depth::Parts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// Until the thread was found and the handler ran.
    pub entry_ns: u64,
    /// In the handler, with what follows.
    pub run_ns: u64,
    pub host_calls: u64,
    pub host_ns: u64,
    /// Copies from and to guest memory.
    pub copies: u64,
    pub copy_ns: u64,
    /// Giving the answer, which wakes the guest.
    pub answer_ns: u64,
}

/// Calls that named one path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStats {
    /// Empty: all for which there was no room.
    pub path: String,
    pub count: u64,
    pub total_ns: u64,
}

/// What a container is doing at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    pub processes: Vec<ProcessState>,
    /// The longest first.
    pub parked: Vec<ParkedCall>,
    /// Locks on files, in words.
    pub locks: Vec<String>,
    /// Handlers of calls that panicked lately, in words.
    pub panics: Vec<String>,
    /// What the first process reaches.
    pub mounts: Vec<MountPlace>,
}

/// A process, and what it has open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessState {
    pub pid: i32,
    pub ppid: i32,
    pub host_pid: i32,
    pub comm: String,
    pub exe: String,
    /// Those that have made a call.
    pub threads: Vec<i32>,
    pub files: Vec<OpenFile>,
    /// How many more there are.
    pub more_files: u64,
}

/// A descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFile {
    pub fd: i32,
    pub path: String,
    /// As in /proc/pid/fdinfo.
    pub flags: u32,
}

/// A call that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedCall {
    pub pid: i32,
    pub tid: i32,
    pub comm: String,
    pub call: String,
    pub waits_for: String,
    pub for_ns: u64,
}

/// A mount, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPlace {
    pub source: String,
    pub point: String,
    pub flags: String,
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bucket_of, upper_end_ns};

    #[test]
    fn durations_lie_below_the_end_of_their_bucket_and_above_the_one_before() {
        for ns in [0, 1, 999, 1000, 1001, 2000, 2001, 5_000_000, 8_388_608_000, u64::MAX / 2] {
            let bucket = bucket_of(ns);
            assert!(upper_end_ns(bucket).is_none_or(|end| ns <= end), "{ns}");
            assert!(bucket == 0 || upper_end_ns(bucket - 1).is_some_and(|end| ns > end), "{ns}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS);
    }
}
