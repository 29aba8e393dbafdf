//! status and limits (fs/proc/array.c proc_pid_status, fs/proc/base.c proc_pid_limits, Linux v6.18).

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::user_ns::UserNamespace;
use kernel_task::limits::{INFINITY, Resource};
use platform_api::ProcFile;

use super::{Target, host, stat};
use crate::pseudo::text;

pub(super) fn status(target: &Target, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Status)?;
    let credentials = target.credentials();
    for line in host::lines(&text) {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let (key, value) = line.split_at(colon);
        let value = value.strip_prefix(b":\t").unwrap_or_default();
        out.extend_from_slice(key);
        out.extend_from_slice(b":\t");
        let ours = show_id(target, key, out)
            || show_credential(&credentials, &who.credentials().user_ns, key, out)
            || show_other(target, who, key, value, out);
        if !ours {
            out.extend_from_slice(value);
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Ids. False when the line is none of them.
fn show_id(target: &Target, key: &[u8], out: &mut Vec<u8>) -> bool {
    let id = match key {
        b"Tgid" | b"NStgid" => target.process.pid,
        b"Pid" | b"NSpid" => target.id(),
        b"PPid" => target.process.ppid(),
        b"NSpgid" => target.process.pgid(),
        b"NSsid" => target.process.sid(),
        b"Ngid" | b"TracerPid" | b"Kthread" | b"CoreDumping" => 0,
        _ => return false,
    };
    text!(out, "{id}");
    true
}

/// Users, groups and capabilities, as the user namespace of who reads sees them.
fn show_credential(its: &Credentials, reader: &UserNamespace, key: &[u8], out: &mut Vec<u8>) -> bool {
    let (uid, gid) = (|id| reader.show_uid(id), |id| reader.show_gid(id));
    match key {
        b"Uid" => text!(out, "{}\t{}\t{}\t{}", uid(its.ruid), uid(its.euid), uid(its.suid), uid(its.fsuid)),
        b"Gid" => text!(out, "{}\t{}\t{}\t{}", gid(its.rgid), gid(its.egid), gid(its.sgid), gid(its.fsgid)),
        b"Groups" => {
            let groups: Vec<String> = its.groups.iter().map(|&id| gid(id).to_string()).collect();
            text!(out, "{} ", groups.join(" "));
        }
        b"CapInh" => text!(out, "{:016x}", its.inheritable.0),
        b"CapPrm" => text!(out, "{:016x}", its.permitted.0),
        b"CapEff" => text!(out, "{:016x}", its.effective.0),
        b"CapBnd" => text!(out, "{:016x}", its.bounding.0),
        b"CapAmb" => text!(out, "{:016x}", its.ambient.0),
        b"NoNewPrivs" => text!(out, "{}", u8::from(its.no_new_privs)),
        _ => return false,
    }
    true
}

fn show_other(target: &Target, who: &dyn Caller, key: &[u8], value: &[u8], out: &mut Vec<u8>) -> bool {
    match key {
        b"Name" => show_name(&target.comm(), out),
        b"Umask" => text!(out, "{:04o}", target.process.fs.get().umask),
        b"State" => {
            let hosts = value.first().copied().unwrap_or(b'S');
            let shown = stat::state(target, who, hosts);
            match shown {
                b'R' => text!(out, "R (running)"),
                b'S' => text!(out, "S (sleeping)"),
                _ => out.extend_from_slice(value),
            }
        }
        // Those that the host shows are the sandbox's own as well.
        b"Seccomp" => text!(out, "{}", target.seccomp().number()),
        b"Seccomp_filters" => text!(out, "{}", target.seccomp().filters()),
        b"FDSize" => {
            let highest = target.process.files.list().last().map_or(0, |(fd, _)| fd.0.unsigned_abs());
            text!(out, "{}", (highest + 1).next_power_of_two().max(64));
        }
        _ => return false,
    }
    true
}

/// proc_task_name escapes newlines and backslashes.
fn show_name(name: &[u8], out: &mut Vec<u8>) {
    for &byte in name {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}

/// Names and units of fs/proc/base.c lnames.
const LIMITS: [(Resource, &str, &str); 16] = [
    (Resource::Cpu, "Max cpu time", "seconds"),
    (Resource::Fsize, "Max file size", "bytes"),
    (Resource::Data, "Max data size", "bytes"),
    (Resource::Stack, "Max stack size", "bytes"),
    (Resource::Core, "Max core file size", "bytes"),
    (Resource::Rss, "Max resident set", "bytes"),
    (Resource::Nproc, "Max processes", "processes"),
    (Resource::Nofile, "Max open files", "files"),
    (Resource::Memlock, "Max locked memory", "bytes"),
    (Resource::As, "Max address space", "bytes"),
    (Resource::Locks, "Max file locks", "locks"),
    (Resource::Sigpending, "Max pending signals", "signals"),
    (Resource::Msgqueue, "Max msgqueue size", "bytes"),
    (Resource::Nice, "Max nice priority", ""),
    (Resource::Rtprio, "Max realtime priority", ""),
    (Resource::Rttime, "Max realtime timeout", "us"),
];

pub(super) fn limits(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let shown = |value: u64| if value == INFINITY { "unlimited".to_owned() } else { value.to_string() };
    text!(out, "{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, name, unit) in LIMITS {
        let limit = target.process.limits.get(resource);
        text!(out, "{name:<25} {:<20} {:<20} ", shown(limit.soft), shown(limit.hard));
        if !unit.is_empty() {
            text!(out, "{unit:<10}");
        }
        out.push(b'\n');
    }
    Ok(())
}
