//! The seccomp plan of the table, and the same decision for calls that reach the supervisor.

use crate::SYSCALLS;
use crate::plan::{Action, Condition, Op, Rule};
use crate::types::{Disposition, Syscall, Ty};

/// The first address above user memory with four-level page tables. The filter is a second access_ok:
/// a native call with a pointer at or above it never reaches the host.
pub const POINTER_LIMIT: u64 = 1 << 47;

/// What the guest's filter decides, one rule for each number of the table. `strict` leaves native
/// only what a program cannot make progress without; the rest of the native rows is gated.
pub fn plan(strict: bool) -> Vec<Rule> {
    SYSCALLS.iter().map(|row| rule(row, strict)).collect()
}

fn rule(row: &Syscall, strict: bool) -> Rule {
    let notify = (Action::Notify, Vec::new());
    let (action, conditions) = match row.disposition {
        Disposition::Emulate | Disposition::Gate => notify,
        Disposition::Deny => (row.errno.map_or(Action::Notify, |e| Action::Errno(e.value)), Vec::new()),
        Disposition::Native if strict && !row.strict => notify,
        Disposition::Native => (Action::Allow, conditions(row)),
    };
    Rule { nr: row.nr, name: row.name, action, conditions, otherwise: Action::Notify }
}

/// The row's alternatives with the pointer checks that its argument types ask for.
pub fn conditions(row: &Syscall) -> Vec<Vec<Condition>> {
    let pointers: Vec<Condition> =
        pointer_args(row).map(|(arg, _)| Condition { arg: arg as u8, op: Op::Lt(POINTER_LIMIT) }).collect();
    let joined = |extra: &[Condition]| pointers.iter().chain(extra).copied().collect::<Vec<_>>();
    if !row.when.is_empty() {
        row.when.iter().map(|extra| joined(extra)).collect()
    } else if pointers.is_empty() {
        Vec::new()
    } else {
        vec![pointers]
    }
}

/// Positions of the pointers that the call always looks at.
fn pointer_args(row: &Syscall) -> impl Iterator<Item = (usize, Ty)> + '_ {
    let always =
        |(at, arg): (usize, &crate::Arg)| (arg.ty.is_pointer() && !arg.optional).then_some((at, arg.ty));
    row.args.iter().enumerate().filter_map(always)
}

/// What becomes of a native or checked call that the supervisor got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The host may perform it with these very registers.
    Admit,
    /// A pointer is not the caller's: EFAULT.
    BadPointer,
    /// An address is not the caller's: ENOMEM, as mprotect and mlock say it.
    BadAddress,
    /// No alternative of `when` holds: the row's errno.
    Refuse,
}

/// Decides as the filter would. Where the filter is coarser than the kernel (it compares whole
/// registers of an `int`), the supervisor's answer is the kernel's.
pub fn judge(row: &Syscall, args: &[u64; 6]) -> Verdict {
    for (at, ty) in pointer_args(row) {
        if args.get(at).is_none_or(|&value| value >= POINTER_LIMIT) {
            return if ty == Ty::Addr { Verdict::BadAddress } else { Verdict::BadPointer };
        }
    }
    let holds = |c: &Condition| {
        let (place, mask) =
            (usize::from(c.arg), row.args.get(usize::from(c.arg)).map_or(u64::MAX, |a| a.ty.mask()));
        args.get(place).is_some_and(|&value| c.op.holds(value & mask))
    };
    if row.when.is_empty() || row.when.iter().any(|all| all.iter().all(holds)) {
        return Verdict::Admit;
    }
    // An alternative that fails only by its pointers is a bad pointer, not an unknown operation.
    let but_pointers = |all: &&[Condition]| {
        all.iter().all(|c| c.op == Op::Lt(POINTER_LIMIT) || holds(c))
            && all.iter().any(|c| !matches!(c.op, Op::Lt(_)))
    };
    if row.when.iter().any(but_pointers) { Verdict::BadPointer } else { Verdict::Refuse }
}
