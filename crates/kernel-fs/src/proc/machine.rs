//! Files that show the machine: the host's numbers, with the container's time of boot.

use abi_linux::SysResult;
use abi_linux::time::NSEC_PER_SEC;
use kernel_base::caller::Caller;
use platform_api::HostFile;

use super::{Proc, Row, host, row};
use crate::pseudo::text;

pub(super) static FILES: &[Row] = &[
    row("cpuinfo", 0o444, cpuinfo),
    row("meminfo", 0o444, meminfo),
    row("stat", 0o444, stat),
    row("vmstat", 0o444, vmstat),
    row("buddyinfo", 0o444, buddyinfo),
    row("zoneinfo", 0o444, zoneinfo),
    row("softirqs", 0o444, softirqs),
    row("uptime", 0o444, uptime),
    row("loadavg", 0o444, loadavg),
    row("version", 0o444, version),
];

fn cpuinfo(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut host::machine_file(&proc.kernel, HostFile::Cpuinfo)?);
    Ok(())
}

fn meminfo(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let mut host = host::machine_file(&proc.kernel, HostFile::Meminfo)?;
    match proc.kernel.memory_limit() {
        Some(limit) => limited(&host, limit, crate::sys::cgroup::memory_in_use(&proc.kernel), out),
        None => out.append(&mut host),
    }
    Ok(())
}

/// The lines of a machine that has no more memory than the container may use.
fn limited(host: &[u8], limit: u64, used: u64, out: &mut Vec<u8>) {
    let left = limit.saturating_sub(used) / 1024;
    for line in host::lines(host) {
        let mut words = host::words(line);
        let (name, value) = (words.next().unwrap_or_default(), words.next().and_then(host::number));
        let most = match name {
            b"MemTotal:" => limit / 1024,
            b"MemFree:" | b"MemAvailable:" => left,
            _ => u64::MAX,
        };
        match value.filter(|&value| value > most) {
            Some(_) => text!(out, "{:<16}{most:>8} kB\n", String::from_utf8_lossy(name)),
            None => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
}

fn vmstat(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut host::machine_file(&proc.kernel, HostFile::Vmstat)?);
    Ok(())
}

fn buddyinfo(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut host::machine_file(&proc.kernel, HostFile::Buddyinfo)?);
    Ok(())
}

fn zoneinfo(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut host::machine_file(&proc.kernel, HostFile::Zoneinfo)?);
    Ok(())
}

fn softirqs(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut host::machine_file(&proc.kernel, HostFile::Softirqs)?);
    Ok(())
}

/// fs/proc/stat.c show_stat: the host's CPU times; interrupts have no numbers of their own here.
fn stat(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = host::machine_file(&proc.kernel, HostFile::Stat)?;
    for line in host::lines(&text) {
        let name = host::words(line).next().unwrap_or_default();
        if name.starts_with(b"cpu") || name == b"ctxt" {
            out.extend_from_slice(line);
            out.push(b'\n');
        } else if name == b"intr" {
            // The sum alone: the rest would list the host's devices.
            let sum = host::words(line).nth(1).and_then(host::number).unwrap_or(0);
            text!(out, "intr {sum}\n");
        }
    }
    let processes = proc.kernel.processes();
    let last = processes.last().map_or(0, |process| process.pid);
    let boot = proc.boot_realtime_ns / NSEC_PER_SEC;
    text!(out, "btime {boot}\nprocesses {last}\nprocs_running 1\nprocs_blocked 0\n");
    for line in host::lines(&text).filter(|line| line.starts_with(b"softirq ")) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    Ok(())
}

/// Seconds since the container's boot, and the idle time of all CPUs in that span, if they have been as
/// idle as they were since the host's boot.
fn uptime(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let up = proc.uptime_ns() / (NSEC_PER_SEC / 100);
    let text = host::machine_file(&proc.kernel, HostFile::Uptime)?;
    let mut words = host::lines(&text).next().unwrap_or_default().split(|&b| b == b' ').map(host::hundredths);
    let (host_up, host_idle) = (words.next().flatten().unwrap_or(0), words.next().flatten().unwrap_or(0));
    let idle = u128::from(host_idle) * u128::from(up) / u128::from(host_up.max(1));
    text!(out, "{}.{:02} {}.{:02}\n", up / 100, up % 100, idle / 100, idle % 100);
    Ok(())
}

/// The host's averages; the counts and the last id are the container's.
fn loadavg(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = host::machine_file(&proc.kernel, HostFile::Loadavg)?;
    for average in host::words(host::lines(&text).next().unwrap_or_default()).take(3) {
        out.extend_from_slice(average);
        out.push(b' ');
    }
    let processes = proc.kernel.processes();
    let threads: usize = processes.iter().map(|process| process.tasks().len()).sum();
    let last = processes.last().map_or(0, |process| process.pid);
    text!(out, "1/{threads} {last}\n");
    Ok(())
}

fn version(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let (release, version) = (&proc.options.release, &proc.options.version);
    text!(out, "Linux version {release} (palisade@palisade) (rustc) {version}\n");
    Ok(())
}
