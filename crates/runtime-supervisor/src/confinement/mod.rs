//! What the supervisor gives up before it answers a guest, so that a guest that takes it over gains little.
//!
//! [`confine`] runs while the process has one thread. It keeps a few capabilities, sets no_new_privs, and installs a
//! filter ([`rules`]) that leaves it the host calls that it needs; what is not in the list kills the process. Whoever
//! still has to make guests then starts a `Maker` first.
//!
//! With `PALISADE_REFUSED=FILE` (`-`: standard error) in the environment a refused call is named there in one line
//! before the process ends. With `PALISADE_REFUSED=log` it is performed, and in the kernel's log: that is for finding out
//! what a change needs. Both are the operator's word: guests and their configuration have no say in this environment.

#[cfg(test)]
mod payload_test;
pub(crate) mod rules;

use std::os::fd::OwnedFd;

use abi_linux::Errno;
use host_sys::child::{prctl, set_limit};
use host_sys::confine;
use platform_notify::home::{Home, HostRoot};
use runtime_oci::{ContainerSpec, NetworkMode};
use syscall_table::plan::{Action, Rule};

use crate::container::instruction;
use crate::error::Error;
use rules::{HostRule, RULES, SOCKETS};

/// The environment variable that names a file for what is refused.
pub const REPORT_REFUSED: &str = "PALISADE_REFUSED";

/// A capability that is kept, and why.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub name: &'static str,
    number: u8,
    pub reason: &'static str,
}

const fn kept(name: &'static str, number: u8, reason: &'static str) -> Kept {
    Kept { name, number, reason }
}

/// The capabilities that stay; of the root user only. Over its guests the supervisor has all others, too, since it owns
/// their user namespace (user_namespaces(7)).
pub const CAPABILITIES: &[Kept] = &[
    kept("CAP_CHOWN", 0, "chown(2) in the container's files"),
    kept("CAP_DAC_OVERRIDE", 1, "files of the container belong to any user"),
    kept("CAP_DAC_READ_SEARCH", 2, "linkat(2) of an unnamed file"),
    kept("CAP_FOWNER", 3, "chmod(2), utimes(2) of files of any user"),
    kept("CAP_FSETID", 4, "set-group-ID bits of files in the container"),
    kept("CAP_SYS_NICE", 23, "setpriority(2) of guests, process.scheduler"),
    kept("CAP_SYS_RESOURCE", 24, "limits and OOM scores of guests"),
    kept("CAP_SETFCAP", 31, "file capabilities in the container"),
];

/// And for a sandbox with the host's network.
pub const NET_CAPABILITIES: &[Kept] = &[
    kept("CAP_NET_BIND_SERVICE", 10, "ports below net.ipv4.ip_unprivileged_port_start"),
    kept("CAP_NET_ADMIN", 12, "lo of a fresh network namespace, and its sysctls"),
    kept("CAP_NET_RAW", 13, "raw ICMP sockets, where they were asked for"),
    kept(
        "CAP_SYS_ADMIN",
        21,
        "setns(2) into the container's network namespace; the filter leaves it no other use",
    ),
];

/// Which sockets the supervisor may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    None,
    Inet,
}

impl Sockets {
    /// What a container needs.
    pub(crate) fn of(spec: &ContainerSpec) -> Self {
        let none = spec.network.mode == NetworkMode::None && spec.network.publish.is_empty();
        if none { Self::None } else { Self::Inet }
    }
}

/// PR_SET_NO_NEW_PRIVS of include/uapi/linux/prctl.h.
const PR_SET_NO_NEW_PRIVS: i32 = 38;
/// RLIMIT_CORE: a dump would hold what guests wrote.
const RLIMIT_CORE: u32 = 4;

/// Confines the process, which must have one thread, for good.
pub(crate) fn confine(sockets: Sockets, report: Report) -> Result<(), Error> {
    set_limit(RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    let more = if sockets == Sockets::Inet { NET_CAPABILITIES } else { &[] };
    let mask = CAPABILITIES.iter().chain(more).fold(0, |mask, kept| mask | 1 << kept.number);
    confine::keep_capabilities(mask).map_err(failed("drop capabilities"))?;
    prctl(PR_SET_NO_NEW_PRIVS, 1).map_err(failed("set no_new_privs"))?;
    let refused = match report {
        Report::File(file) => {
            confine::report_refused_calls(file).map_err(failed("report refused calls"))?;
            Action::Trap
        }
        Report::KernelLog => Action::Log,
        Report::No => Action::Kill,
    };
    let program = program(sockets, refused)?;
    confine::filter_all_threads(&program).map_err(failed("install the supervisor's filter"))
}

fn failed(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Confinement { what, errno }
}

/// Moves the process into a root directory of its own, before it makes a container. From then on it reaches by name only
/// what is hung there.
pub(crate) fn leave(host_root: HostRoot) -> Result<Home, Error> {
    Home::leave(host_root).map_err(failed("make a root directory"))
}

/// What the supervisor may write in its /proc it has written.
pub(crate) fn settle(home: &Home) -> Result<(), Error> {
    home.seal().map_err(failed("write-protect /proc"))
}

/// Who is told of a refused call.
pub(crate) enum Report {
    No,
    File(OwnedFd),
    /// And the call is performed.
    KernelLog,
}

impl Report {
    /// As the environment says. Files are opened: before the process leaves them.
    pub(crate) fn wanted() -> Self {
        let Some(path) = std::env::var_os(REPORT_REFUSED) else { return Self::No };
        if path == "log" {
            return Self::KernelLog;
        }
        let file = if path == "-" {
            rustix::stdio::stderr().try_clone_to_owned()
        } else {
            std::fs::File::options().create(true).append(true).open(path).map(OwnedFd::from)
        };
        file.map_or(Self::No, Self::File)
    }
}

/// The supervisor's filter.
fn program(sockets: Sockets, refused: Action) -> Result<Vec<platform_notify::Instruction>, Error> {
    let program =
        host_seccomp::compile_with(&plan(sockets, refused), refused, refused).map_err(Error::Filter)?;
    Ok(program.iter().map(instruction).collect())
}

/// The rules as a plan.
fn plan(sockets: Sockets, refused: Action) -> Vec<Rule> {
    let mut rules: Vec<Rule> = RULES.iter().filter_map(|rule| rule_of(rule, refused)).collect();
    let more = if sockets == Sockets::Inet { SOCKETS } else { &[] };
    for wider in more.iter().filter_map(|rule| rule_of(rule, refused)) {
        match rules.iter_mut().find(|rule| rule.nr == wider.nr) {
            Some(rule) if !wider.conditions.is_empty() => {
                rule.action = wider.action;
                rule.conditions.extend(wider.conditions);
            }
            Some(rule) => *rule = wider,
            None => rules.push(wider),
        }
    }
    rules
}

fn rule_of(rule: &HostRule, refused: Action) -> Option<Rule> {
    let row = syscall_table::SYSCALLS.iter().find(|row| row.name == rule.call)?;
    Some(Rule {
        nr: row.nr,
        name: row.name,
        action: rule.instead.map_or(Action::Allow, Action::Errno),
        conditions: rule.when.iter().map(|all| all.to_vec()).collect(),
        otherwise: refused,
    })
}

/// Signals, ptrace and abstract sockets then reach only this process and what it starts, where the host has Landlock.
pub(crate) fn scope() {
    if let Err(error) = confine::scope_to_descendants() {
        tracing::debug!(%error, "no Landlock: signals are not scoped");
    }
}

#[cfg(test)]
mod tests {
    use super::rules::{RULES, SOCKETS};
    use super::{Action, Sockets, plan, program};
    use host_seccomp::{AUDIT_ARCH_X86_64, Call, SockFilter, Verdict, evaluate};
    use syscall_table::plan::Op;

    #[test]
    fn every_rule_is_a_call_of_the_table_has_a_reason_and_stands_once() {
        assert_eq!(plan(Sockets::None, Action::Kill).len(), RULES.len());
        let known = SOCKETS.iter().filter(|wider| RULES.iter().any(|rule| rule.call == wider.call)).count();
        assert_eq!(plan(Sockets::Inet, Action::Kill).len(), RULES.len() + SOCKETS.len() - known);
        assert!(RULES.iter().all(|rule| !rule.reason.is_empty()));
        program(Sockets::Inet, Action::Kill).expect("no number stands twice");
    }

    /// A call's verdict by the compiled filter.
    fn verdict(program: &[SockFilter], nr: u32, args: [u64; 6]) -> Verdict {
        let call = Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0, args };
        evaluate(program, &call).expect("the program is whole").verdict
    }

    #[test]
    fn what_a_rule_allows_is_allowed_and_its_neighbour_kills() {
        for sockets in [Sockets::None, Sockets::Inet] {
            let plan = plan(sockets, Action::Kill);
            let program = host_seccomp::compile_with(&plan, Action::Kill, Action::Kill).expect("it compiles");
            for rule in &plan {
                for all in &rule.conditions {
                    let (mut args, mut next) = ([0; 6], [0; 6]);
                    for condition in all {
                        let Op::MaskedEq { mask, value } = condition.op else { panic!("{}", rule.name) };
                        let at = usize::from(condition.arg);
                        args[at] = value;
                        // Another bit of what is looked at, which no alternative has.
                        next[at] = value ^ (mask & 0x0800_0004).max(mask & 4);
                    }
                    assert_eq!(
                        verdict(&program, rule.nr, args),
                        Verdict::Action(rule.action),
                        "{}",
                        rule.name
                    );
                    assert_eq!(verdict(&program, rule.nr, next), Verdict::KillProcess, "{}", rule.name);
                }
                if rule.conditions.is_empty() {
                    assert_eq!(verdict(&program, rule.nr, [u64::MAX; 6]), Verdict::Action(rule.action));
                }
                assert_eq!(verdict(&program, rule.nr | 0x4000_0000, [0; 6]), Verdict::KillProcess);
            }
            let is_ruled = |nr: &u32| plan.iter().any(|rule| rule.nr == *nr);
            for nr in (0..1024).filter(|nr| !is_ruled(nr)) {
                assert_eq!(verdict(&program, nr, [0; 6]), Verdict::KillProcess, "{nr}");
            }
        }
    }
}
