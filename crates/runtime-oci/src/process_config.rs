//! `process` of config.json, or the file of `exec --process`, as a [`ProcessSpec`].

use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxSchedulerPolicy, PosixRlimitType, Process, Scheduler,
};
use serde_json::Value;

use crate::bundle::{BundleError, invalid, typed};
use crate::capability;
use crate::process::{ConsoleSize, ProcessSpec, Rlimit, Scheduling, User};
use crate::supported;

/// A process from JSON, as `exec --process` gives it.
pub fn process_from_json(value: &Value) -> Result<ProcessSpec, BundleError> {
    supported::check_process(value)?;
    // Errors name fields as they stand in config.json.
    let mut value = value.clone();
    let flags = take_flags(&mut value)?;
    let process: Process = typed(value, "process")?;
    convert(&process, flags)
}

/// Takes `scheduler.flags` out, whose names oci-spec 0.10 does not spell as the runtime-spec does.
fn take_flags(process: &mut Value) -> Result<u64, BundleError> {
    let Some(flags) = process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags")) else {
        return Ok(0);
    };
    let wrong = |problem: String| invalid("process.scheduler.flags", problem);
    let mut bits = 0;
    match flags.take() {
        Value::Null => {}
        Value::Array(names) => {
            for name in names {
                let known = name.as_str().and_then(|name| FLAGS.iter().find(|(known, _)| *known == name));
                bits |= known.ok_or_else(|| wrong(format!("{name} is no flag of sched_setattr(2)")))?.1;
            }
        }
        other => return Err(wrong(format!("{other} is not a list of names"))),
    }
    Ok(bits)
}

/// include/uapi/linux/sched.h.
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

fn convert(process: &Process, flags: u64) -> Result<ProcessSpec, BundleError> {
    let args = process.args().as_ref().filter(|args| !args.is_empty());
    let args = args.ok_or(BundleError::Missing("process.args"))?;
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        return Err(invalid("process.cwd", format!("{} is not an absolute path", cwd.display())));
    }
    let env = process.env().as_deref().unwrap_or_default();
    for (field, strings) in [("process.args", args.as_slice()), ("process.env", env)] {
        if strings.iter().any(|string| string.contains('\0')) {
            return Err(invalid(field, "contains a NUL byte; remove it"));
        }
    }
    let adj = process.oom_score_adj();
    if let Some(adj) = adj.filter(|adj| !(-1000..=1000).contains(adj)) {
        return Err(invalid("process.oomScoreAdj", format!("{adj} is not between -1000 and 1000")));
    }
    let affinity = process.exec_cpu_affinity().as_ref();
    let bytes = |strings: &[String]| strings.iter().map(|s| s.as_bytes().to_vec()).collect();
    Ok(ProcessSpec {
        args: bytes(args),
        env: bytes(env),
        cwd: cwd.as_os_str().as_bytes().to_vec(),
        user: convert_user(process)?,
        capabilities: capability::sets(process),
        no_new_privs: process.no_new_privileges().unwrap_or(false),
        rlimits: convert_rlimits(process)?,
        terminal: process.terminal().unwrap_or(false),
        console_size: console_size(process)?,
        oom_score_adj: adj,
        scheduling: process.scheduler().as_ref().map(|scheduler| scheduling(scheduler, flags)).transpose()?,
        io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
        initial_cpus: cpus(
            affinity.and_then(|cpus| cpus.initial().as_deref()),
            "process.execCPUAffinity.initial",
        )?,
        final_cpus: cpus(
            affinity.and_then(|cpus| cpus.cpu_affinity_final().as_deref()),
            "process.execCPUAffinity.final",
        )?,
    })
}

fn console_size(process: &Process) -> Result<Option<ConsoleSize>, BundleError> {
    let Some(size) = process.console_size() else { return Ok(None) };
    let number = |value: u64| {
        let problem =
            || invalid("process.consoleSize", format!("{value} is more than a terminal can have, 65535"));
        u16::try_from(value).map_err(|_| problem())
    };
    let size = ConsoleSize { height: number(size.height())?, width: number(size.width())? };
    // "Runtimes MUST ignore consoleSize if terminal is false or unset."
    Ok(Some(size).filter(|size| process.terminal() == Some(true) && (size.height, size.width) != (0, 0)))
}

fn scheduling(scheduler: &Scheduler, flags: u64) -> Result<Scheduling, BundleError> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(invalid("process.scheduler.policy", "SCHED_ISO is in no Linux; choose another one"));
        }
    };
    let nice = scheduler.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(invalid("process.scheduler.nice", format!("{nice} is not between -20 and 19")));
    }
    let priority = u32::try_from(scheduler.priority().unwrap_or(0))
        .map_err(|_| invalid("process.scheduler.priority", "is negative"))?;
    if priority != 0 && !matches!(policy, 1 | 2) {
        return Err(invalid(
            "process.scheduler.priority",
            "is for SCHED_FIFO and SCHED_RR only; leave it out",
        ));
    }
    let number = |value: &Option<u64>| value.unwrap_or(0);
    let (runtime_ns, deadline_ns, period_ns) =
        (number(scheduler.runtime()), number(scheduler.deadline()), number(scheduler.period()));
    if policy != 6 && [runtime_ns, deadline_ns, period_ns] != [0; 3] {
        let problem = "runtime, deadline and period are for SCHED_DEADLINE only; leave them out";
        return Err(invalid("process.scheduler", problem));
    }
    Ok(Scheduling { policy, flags, nice, priority, runtime_ns, deadline_ns, period_ns })
}

/// IOPRIO_PRIO_VALUE of ioprio_set(2).
fn io_priority(wanted: &LinuxIOPriority) -> Result<u16, BundleError> {
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u16::try_from(wanted.priority()) {
        Ok(level @ 0..=7) => Ok(class << 13 | level),
        _ => {
            let problem = format!("{} is not between 0 and 7", wanted.priority());
            Err(invalid("process.ioPriority.priority", problem))
        }
    }
}

/// `0-3,7`; the form was checked when it was read.
fn cpus(list: Option<&str>, field: &'static str) -> Result<Option<Vec<usize>>, BundleError> {
    const MOST: usize = 8192;
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(None) };
    let wrong = || invalid(field, format!("{list:?} is not a list of CPUs such as 0-3,7"));
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) =
            (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last || last >= MOST {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    Ok(Some(all))
}

fn convert_user(process: &Process) -> Result<User, BundleError> {
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    let ids = [user.uid(), user.gid()];
    // (uid_t)-1 means "no change" to setresuid(2), and is nobody's id.
    if ids.iter().chain(&groups).any(|id| *id == u32::MAX) {
        return Err(invalid("process.user", "4294967295 is not an id; choose another"));
    }
    Ok(User { uid: user.uid(), gid: user.gid(), groups, umask: user.umask().map(|umask| umask & 0o777) })
}

fn convert_rlimits(process: &Process) -> Result<Vec<Rlimit>, BundleError> {
    let limits = process.rlimits().iter().flatten();
    let convert = |limit: &oci_spec::runtime::PosixRlimit| Rlimit {
        resource: rlimit_number(limit.typ()),
        soft: limit.soft(),
        hard: limit.hard(),
    };
    let all: Vec<Rlimit> = limits.map(convert).collect();
    for (at, limit) in all.iter().enumerate() {
        if all.iter().take(at).any(|before| before.resource == limit.resource) {
            return Err(invalid("process.rlimits", "names a limit twice; leave one out"));
        }
    }
    Ok(all)
}

fn rlimit_number(resource: PosixRlimitType) -> u32 {
    match resource {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}
