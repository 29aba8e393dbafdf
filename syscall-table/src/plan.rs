//! The seccomp plan: what the filter of a guest has to decide, as plain data.
//!
//! [`seccomp::plan`](crate::seccomp::plan) derives it from the table; `host-seccomp` compiles it to BPF.
//! Nothing here knows BPF, and nothing in `host-seccomp` knows single system calls.

/// What the filter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `SECCOMP_RET_USER_NOTIF`: the supervisor decides.
    Notify,
    /// `SECCOMP_RET_ALLOW`: the host kernel performs the call.
    Allow,
    /// `SECCOMP_RET_ERRNO` with this number.
    Errno(u16),
    /// `SECCOMP_RET_KILL_PROCESS`.
    Kill,
    /// `SECCOMP_RET_TRAP`: SIGSYS, for a handler that says what was refused.
    Trap,
    /// `SECCOMP_RET_LOG`: performed, with a line in the kernel's log.
    Log,
}

/// A comparison of one 64-bit argument register, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// All 64 bits equal the value.
    Eq(u64),
    /// `register & mask == value`. An `int` argument is compared with a mask of 32 bits, because the
    /// kernel ignores the upper half of the register and libc leaves garbage there.
    MaskedEq {
        /// The bits that are looked at.
        mask: u64,
        /// What they have to be.
        value: u64,
    },
    /// The register is below the value.
    Lt(u64),
}

impl Op {
    /// What the filter computes for this register.
    pub fn holds(self, register: u64) -> bool {
        match self {
            Self::Eq(value) => register == value,
            Self::MaskedEq { mask, value } => register & mask == value,
            Self::Lt(limit) => register < limit,
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// What must hold for it.
    pub op: Op,
}

/// The filter's decision for one system call number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The x86_64 number.
    pub nr: u32,
    /// Linux's name.
    pub name: &'static str,
    /// The answer when `conditions` is empty, or when all comparisons of one alternative hold.
    pub action: Action,
    /// Alternatives (OR) of conjunctions (AND). Empty: `action` holds without looking at arguments.
    /// No alternative is itself empty.
    pub conditions: Vec<Vec<Condition>>,
    /// The answer when `conditions` is not empty and no alternative holds.
    pub otherwise: Action,
}

impl Rule {
    /// What the filter answers to these arguments. Tests compare the compiled filter with this.
    pub fn decide(&self, args: &[u64; 6]) -> Action {
        let holds = |c: &Condition| args.get(usize::from(c.arg)).is_some_and(|&v| c.op.holds(v));
        if self.conditions.is_empty() || self.conditions.iter().any(|all| all.iter().all(holds)) {
            self.action
        } else {
            self.otherwise
        }
    }
}

/// The answer to a number that no rule names: the supervisor gets it, answers ENOSYS and counts it.
pub const UNKNOWN_NUMBER: Action = Action::Notify;
