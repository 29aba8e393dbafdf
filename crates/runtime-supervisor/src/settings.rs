//! What config.json wants of a process before it runs: its filter and personality in the books; its place among the
//! host's processes (scheduler, I/O priority, OOM score, CPUs) on the host, where its threads are scheduled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};
use host_sys::schedule::{self, Attributes};
use kernel_task::Process;
use kernel_task::seccomp::Filter;
use kernel_task::seccomp::program::Program;
use platform_api::HostTid;
use runtime_oci::{ContainerSpec, ProcessSpec};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::error::Error;
use crate::tuning;

/// Applies them to a process of the container that has not run yet. `spec` is the container's with that process.
pub(crate) fn apply(spec: &ContainerSpec, process: &Process) -> Result<(), Error> {
    if let Some(personality) = spec.personality {
        process.personality.store(personality, Ordering::Relaxed);
    }
    if let Some(filter) = filter(spec)? {
        process.filter_at_start(filter);
    }
    if let Some(adj) = spec.process.oom_score_adj {
        process.settings.oom_score_adj.store(adj, Ordering::Relaxed);
    }
    let is_first = process.pid == 1;
    if is_first {
        tuning::write_sysctls(spec, process)?;
    }
    on_host(&spec.process, process.tgid, is_first)
}

fn filter(spec: &ContainerSpec) -> Result<Option<Arc<Filter>>, Error> {
    let Some(profile) = &spec.seccomp else { return Ok(None) };
    let code = runtime_oci::seccomp::compile(profile).map_err(Error::Bundle)?;
    let made = Program::new(code).and_then(|program| Filter::on_top_of(None, program));
    made.map(Some).map_err(|errno| setting("linux.seccomp", "", errno))
}

fn setting(field: &'static str, wanted: impl ToString, errno: Errno) -> Error {
    Error::Setting { field, wanted: wanted.to_string(), errno }
}

fn on_host(process: &ProcessSpec, pid: HostTid, is_first: bool) -> Result<(), Error> {
    if let Some(wanted) = process.scheduling {
        let attributes = Attributes {
            policy: wanted.policy,
            flags: wanted.flags,
            nice: wanted.nice,
            priority: wanted.priority,
            runtime_ns: wanted.runtime_ns,
            deadline_ns: wanted.deadline_ns,
            period_ns: wanted.period_ns,
            ..Attributes::default()
        };
        let failed = |errno| setting("process.scheduler", format!("policy {}", wanted.policy), errno);
        schedule::set_attributes(pid, attributes).map_err(failed)?;
    }
    if let Some(priority) = process.io_priority {
        let failed =
            |errno| setting("process.ioPriority", format!("{}:{}", priority >> 13, priority & 7), errno);
        schedule::set_io_priority(pid, priority).map_err(failed)?;
    }
    // "This setting is not applicable to the container's init process."
    match (&process.final_cpus, is_first) {
        (Some(cpus), false) => {
            let failed = |errno| setting("process.execCPUAffinity.final", format!("{cpus:?}"), errno);
            set_cpus(pid, cpus).map_err(failed)
        }
        _ => Ok(()),
    }
}

/// execCPUAffinity.initial: where an exec'd process is until it is in its cgroup.
pub(crate) fn start_on(process: &ProcessSpec, pid: HostTid) -> SysResult<()> {
    process.initial_cpus.as_deref().map_or(Ok(()), |cpus| {
        set_cpus(pid, cpus)
            .inspect_err(|error| tracing::error!("process.execCPUAffinity.initial {cpus:?}: {error}"))
    })
}

fn set_cpus(pid: HostTid, cpus: &[usize]) -> SysResult<()> {
    let mut set = CpuSet::new();
    for cpu in cpus.iter().copied().filter(|&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    let pid = rustix::process::Pid::from_raw(pid);
    sched_setaffinity(pid, &set).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}
