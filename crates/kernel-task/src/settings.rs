//! Settings of a process that its children inherit: those that /proc shows and takes, and whether it has its
//! session's terminal.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

/// A user or session id that says: none (AUDIT_UID_UNSET, AUDIT_SID_UNSET).
pub const UNSET: u32 = u32::MAX;

/// What a core dump of a new process would hold (MMF_DUMP_FILTER_DEFAULT, include/linux/mm_types.h).
const COREDUMP_FILTER: u32 = 0x33;

/// Of the first process (include/linux/init_task.h).
pub const TIMER_SLACK_NS: u64 = 50_000;

/// Inherited settings.
#[derive(Debug)]
pub struct Settings {
    /// -1000 to 1000; kept, without effect on the host.
    pub oom_score_adj: AtomicI32,
    /// Who logged in (pam_loginuid(8)), by the container's ids; [`UNSET`] at first.
    pub login_uid: AtomicU32,
    /// The number of that login; [`UNSET`] at first.
    pub session_id: AtomicU32,
    /// PR_SET_TIMERSLACK of its first thread, which the host knows as well.
    pub timer_slack_ns: AtomicU64,
    /// core(5): kept, no core is ever dumped.
    pub coredump_filter: AtomicU32,
    /// It gave up the terminal of its session, which the others keep.
    pub(crate) without_terminal: AtomicBool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            oom_score_adj: AtomicI32::new(0),
            login_uid: AtomicU32::new(UNSET),
            session_id: AtomicU32::new(UNSET),
            timer_slack_ns: AtomicU64::new(TIMER_SLACK_NS),
            coredump_filter: AtomicU32::new(COREDUMP_FILTER),
            without_terminal: AtomicBool::new(false),
        }
    }
}

impl Settings {
    /// Those of a child that is made now.
    pub(crate) fn inherited(&self) -> Self {
        let Self { oom_score_adj, login_uid, session_id, timer_slack_ns, coredump_filter, without_terminal } =
            self;
        Self {
            oom_score_adj: AtomicI32::new(oom_score_adj.load(Ordering::Relaxed)),
            login_uid: AtomicU32::new(login_uid.load(Ordering::Relaxed)),
            session_id: AtomicU32::new(session_id.load(Ordering::Relaxed)),
            timer_slack_ns: AtomicU64::new(timer_slack_ns.load(Ordering::Relaxed)),
            coredump_filter: AtomicU32::new(coredump_filter.load(Ordering::Relaxed)),
            without_terminal: AtomicBool::new(without_terminal.load(Ordering::Relaxed)),
        }
    }
}
