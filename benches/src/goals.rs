//! The figures in the order of the report, and the goal that each has.

/// What a figure of Palisade is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most so many times the bare notification round trip of the same run.
    TimesFloor(f64),
    /// At most so many times the native figure.
    TimesNative(f64),
    /// At most so many times the native figure, and one round trip.
    TimesNativeAndFloor(f64),
    /// Only reported.
    None,
}

impl Goal {
    /// The figure that the goal allows at most.
    pub(crate) fn bound(self, native: f64, floor: f64) -> Option<f64> {
        match self {
            Goal::TimesFloor(factor) => Some(factor * floor),
            Goal::TimesNative(factor) => Some(factor * native),
            Goal::TimesNativeAndFloor(factor) => Some(factor * native + floor),
            Goal::None => None,
        }
    }

    /// The goal in words.
    pub(crate) fn text(self) -> String {
        match self {
            Goal::TimesFloor(factor) => format!("{factor} x floor"),
            Goal::TimesNative(factor) => format!("{factor} x native"),
            Goal::TimesNativeAndFloor(factor) => format!("{factor} x native + floor"),
            Goal::None => "report".to_owned(),
        }
    }
}

/// Names as `probe` knows them.
pub(crate) const FIGURES: &[(&str, Goal)] = &[
    ("null", Goal::TimesFloor(1.25)),
    ("pread-1", Goal::TimesFloor(2.0)),
    ("pread-4k", Goal::TimesFloor(2.0)),
    ("pread-64k", Goal::TimesNativeAndFloor(3.0)),
    ("stat", Goal::TimesFloor(1.6)),
    ("open", Goal::TimesFloor(1.6)),
    ("close", Goal::TimesFloor(1.6)),
    ("pipe-write-read", Goal::TimesFloor(3.2)),
    ("fork-exit-wait", Goal::TimesNative(1.5)),
    ("vfork-exec-true", Goal::TimesNative(1.6)),
    ("posix-spawn-true", Goal::None),
    ("page-fault", Goal::TimesNative(1.05)),
    ("mmap-munmap", Goal::TimesNative(1.2)),
    ("futex-ping-pong", Goal::TimesNative(1.1)),
    ("sigsegv", Goal::TimesNative(1.1)),
    ("pipe-ping-pong", Goal::None),
    ("null-two-threads", Goal::None),
    ("null-two-processes", Goal::None),
];

/// `palisade run` of /bin/true, as a share of runc's.
pub(crate) const START_SHARE_OF_RUNC: f64 = 0.35;

/// `palisade create`, `start`, exit of /bin/true and `delete`, as a share of runc's.
pub(crate) const LIFE_SHARE_OF_RUNC: f64 = 0.4;

/// PSS of supervisor and helpers of an idle sandbox.
pub(crate) const IDLE_PSS_KIB: u64 = 5 * 1024;

/// Each workload's time, as a multiple of runc's.
pub(crate) const MACRO_EACH_OF_RUNC: f64 = 1.5;

/// No workload's time is a larger multiple of runc's.
pub(crate) const MACRO_WORST_OF_RUNC: f64 = 2.5;
/// `ctr run` through containerd.
pub(crate) const CTR_RUN_SHARE_OF_RUNC: f64 = 0.7;
/// PSS of shim and supervisor of a pod with one idle container.
pub(crate) const POD_PSS_KIB: u64 = 12 * 1024;
