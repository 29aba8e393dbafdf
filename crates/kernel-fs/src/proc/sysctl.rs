//! /proc/sys (proc_sys(5)): the container's names, numbers with an effect, and values that are kept.

mod stored;

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{CAP_LAST, Cap};
use kernel_base::tunable::Tunable;
use kernel_task::Kernel;
use kernel_task::namespaces::UtsNamespace;

use super::{Proc, Row, row};
use crate::pseudo::{Content, Fixed, TreeBuilder, text};
use stored::Stored;

/// Longest host or domain name (__NEW_UTS_LEN).
const UTS_LEN: usize = 64;

pub(super) static FILES: &[Row] = &[
    Row { path: "sys/kernel/hostname", mode: 0o644, show: hostname, store: Some(set_hostname) },
    Row { path: "sys/kernel/domainname", mode: 0o644, show: domainname, store: Some(set_domainname) },
    row("sys/kernel/osrelease", 0o444, osrelease),
    row("sys/kernel/version", 0o444, version),
    row("sys/kernel/cap_last_cap", 0o444, cap_last_cap),
    row("sys/kernel/random/boot_id", 0o444, boot_id),
    row("sys/kernel/random/uuid", 0o444, fresh_uuid),
];

/// Values without an effect: path below /proc/sys, permission bits, text. Those with a write bit keep what is
/// written.
static VALUES: &[(&str, u32, &str)] = &[
    ("kernel/ostype", 0o444, "Linux"),
    ("kernel/arch", 0o444, "x86_64"),
    ("kernel/pid_max", 0o644, "4194304"),
    ("kernel/threads-max", 0o644, "65536"),
    ("kernel/ngroups_max", 0o444, "65536"),
    ("kernel/overflowuid", 0o644, "65534"),
    ("kernel/overflowgid", 0o644, "65534"),
    ("kernel/core_pattern", 0o644, "core"),
    ("kernel/core_uses_pid", 0o644, "0"),
    ("kernel/randomize_va_space", 0o644, "2"),
    ("kernel/panic", 0o644, "0"),
    ("kernel/panic_on_oops", 0o644, "0"),
    ("kernel/printk", 0o644, "4\t4\t1\t7"),
    ("kernel/tainted", 0o644, "0"),
    ("kernel/dmesg_restrict", 0o644, "1"),
    ("kernel/kptr_restrict", 0o644, "2"),
    ("kernel/perf_event_paranoid", 0o644, "4"),
    ("kernel/unprivileged_bpf_disabled", 0o644, "2"),
    ("kernel/io_uring_disabled", 0o644, "2"),
    ("kernel/sched_rt_period_us", 0o644, "1000000"),
    ("kernel/sched_rt_runtime_us", 0o644, "950000"),
    ("kernel/sched_autogroup_enabled", 0o644, "0"),
    ("kernel/numa_balancing", 0o644, "0"),
    ("kernel/seccomp/actions_avail", 0o444, "kill_process kill_thread trap errno user_notif trace log allow"),
    ("kernel/pty/max", 0o644, "4096"),
    ("kernel/pty/nr", 0o444, "0"),
    ("kernel/random/entropy_avail", 0o444, "256"),
    ("kernel/random/poolsize", 0o444, "256"),
    ("kernel/keys/maxkeys", 0o644, "200"),
    ("kernel/yama/ptrace_scope", 0o644, "1"),
    ("vm/overcommit_memory", 0o644, "0"),
    ("vm/overcommit_ratio", 0o644, "50"),
    ("vm/overcommit_kbytes", 0o644, "0"),
    ("vm/max_map_count", 0o644, "65530"),
    ("vm/mmap_min_addr", 0o644, "65536"),
    ("vm/swappiness", 0o644, "60"),
    ("vm/dirty_ratio", 0o644, "20"),
    ("vm/dirty_background_ratio", 0o644, "10"),
    ("vm/min_free_kbytes", 0o644, "67584"),
    ("vm/nr_hugepages", 0o644, "0"),
    ("vm/nr_overcommit_hugepages", 0o644, "0"),
    ("vm/panic_on_oom", 0o644, "0"),
    ("vm/oom_kill_allocating_task", 0o644, "0"),
    ("vm/vfs_cache_pressure", 0o644, "100"),
    ("vm/zone_reclaim_mode", 0o644, "0"),
    ("vm/page-cluster", 0o644, "3"),
    ("vm/legacy_va_layout", 0o644, "0"),
    ("vm/unprivileged_userfaultfd", 0o644, "0"),
    ("fs/file-max", 0o644, "9223372036854775807"),
    ("fs/file-nr", 0o444, "0\t0\t9223372036854775807"),
    ("fs/nr_open", 0o644, "1048576"),
    ("fs/inode-nr", 0o444, "0\t0"),
    ("fs/dentry-state", 0o444, "0\t0\t45\t0\t0\t0"),
    ("fs/pipe-user-pages-hard", 0o644, "0"),
    ("fs/pipe-user-pages-soft", 0o644, "16384"),
    ("fs/lease-break-time", 0o644, "45"),
    ("fs/leases-enable", 0o644, "1"),
    ("fs/mount-max", 0o644, "4096"),
    ("fs/aio-max-nr", 0o644, "65536"),
    ("fs/aio-nr", 0o444, "0"),
    ("fs/overflowuid", 0o644, "65534"),
    ("fs/overflowgid", 0o644, "65534"),
    ("fs/protected_fifos", 0o644, "1"),
    ("fs/protected_hardlinks", 0o644, "1"),
    ("fs/protected_regular", 0o644, "1"),
    ("fs/protected_symlinks", 0o644, "1"),
    ("fs/suid_dumpable", 0o644, "0"),
    ("fs/epoll/max_user_watches", 0o644, "1048576"),
    ("vm/admin_reserve_kbytes", 0o644, "8192"),
    ("vm/compact_memory", 0o200, "0"),
    ("vm/dirty_background_bytes", 0o644, "0"),
    ("vm/dirty_bytes", 0o644, "0"),
    ("vm/dirty_expire_centisecs", 0o644, "3000"),
    ("vm/dirty_writeback_centisecs", 0o644, "500"),
    ("vm/drop_caches", 0o200, "0"),
    ("vm/extfrag_threshold", 0o644, "500"),
    ("vm/hugetlb_shm_group", 0o644, "0"),
    ("vm/laptop_mode", 0o644, "0"),
    ("vm/lowmem_reserve_ratio", 0o644, "256\t256\t32\t0\t0"),
    ("vm/memfd_noexec", 0o644, "0"),
    ("vm/mmap_rnd_bits", 0o600, "28"),
    ("vm/mmap_rnd_compat_bits", 0o600, "8"),
    ("vm/nr_hugepages_mempolicy", 0o644, "0"),
    ("vm/oom_dump_tasks", 0o644, "1"),
    ("vm/stat_interval", 0o644, "1"),
    ("vm/user_reserve_kbytes", 0o644, "131072"),
    ("vm/watermark_boost_factor", 0o644, "15000"),
    ("vm/watermark_scale_factor", 0o644, "10"),
    ("dev/tty/ldisc_autoload", 0o644, "1"),
    ("dev/tty/legacy_tiocsti", 0o644, "0"),
    ("fs/dir-notify-enable", 0o644, "1"),
    ("fs/fanotify/max_queued_events", 0o644, "16384"),
    ("fs/fanotify/max_user_groups", 0o644, "128"),
    ("fs/fanotify/max_user_marks", 0o644, "65536"),
    ("fs/inode-state", 0o444, "0\t0\t0\t0\t0\t0\t0"),
    ("kernel/acct", 0o644, "4\t2\t30"),
    ("kernel/core_pipe_limit", 0o644, "0"),
    ("kernel/ctrl-alt-del", 0o644, "0"),
    ("kernel/keys/gc_delay", 0o644, "300"),
    ("kernel/keys/maxbytes", 0o644, "20000"),
    ("kernel/keys/root_maxbytes", 0o644, "25000000"),
    ("kernel/keys/root_maxkeys", 0o644, "1000000"),
    ("kernel/panic_on_warn", 0o644, "0"),
    ("kernel/perf_event_max_sample_rate", 0o644, "100000"),
    ("kernel/perf_event_mlock_kb", 0o644, "516"),
    ("kernel/print-fatal-signals", 0o644, "0"),
    ("kernel/printk_delay", 0o644, "0"),
    ("kernel/printk_ratelimit", 0o644, "5"),
    ("kernel/printk_ratelimit_burst", 0o644, "10"),
    ("kernel/random/urandom_min_reseed_secs", 0o644, "60"),
    ("kernel/random/write_wakeup_threshold", 0o644, "256"),
    ("kernel/sched_rr_timeslice_ms", 0o644, "100"),
    ("kernel/sysctl_writes_strict", 0o644, "1"),
    ("kernel/timer_migration", 0o644, "1"),
    ("net/core/busy_poll", 0o644, "0"),
    ("net/core/busy_read", 0o644, "0"),
    ("net/core/default_qdisc", 0o644, "pfifo_fast"),
    ("net/core/dev_weight", 0o644, "64"),
    ("net/core/netdev_budget", 0o644, "300"),
    ("net/core/somaxconn", 0o644, "4096"),
    ("net/core/rmem_default", 0o644, "212992"),
    ("net/core/rmem_max", 0o644, "212992"),
    ("net/core/wmem_default", 0o644, "212992"),
    ("net/core/wmem_max", 0o644, "212992"),
    ("net/core/optmem_max", 0o644, "131072"),
    ("net/core/netdev_max_backlog", 0o644, "1000"),
    ("net/unix/max_dgram_qlen", 0o644, "512"),
    ("net/ipv4/ip_local_port_range", 0o644, "32768\t60999"),
    ("net/ipv4/ip_unprivileged_port_start", 0o644, "1024"),
    ("net/ipv4/ip_forward", 0o644, "0"),
    ("net/ipv4/tcp_rmem", 0o644, "4096\t131072\t6291456"),
    ("net/ipv4/tcp_wmem", 0o644, "4096\t16384\t4194304"),
    ("net/ipv4/tcp_fin_timeout", 0o644, "60"),
    ("net/ipv4/tcp_keepalive_time", 0o644, "7200"),
    ("net/ipv4/tcp_keepalive_intvl", 0o644, "75"),
    ("net/ipv4/tcp_keepalive_probes", 0o644, "9"),
    ("net/ipv4/tcp_syncookies", 0o644, "1"),
    ("net/ipv4/tcp_congestion_control", 0o644, "cubic"),
    ("net/ipv4/ping_group_range", 0o644, "1\t0"),
];

/// Where a number is.
type NumberOf = fn(&Kernel) -> &Tunable;

/// A number that root may set.
struct Number {
    kernel: Arc<Kernel>,
    of: NumberOf,
}

/// Numbers with an effect: path below /proc/sys, and where they are.
static NUMBERS: &[(&str, NumberOf)] = &[
    ("fs/inotify/max_queued_events", |kernel| &kernel.inotify.max_queued_events),
    ("fs/inotify/max_user_instances", |kernel| &kernel.inotify.max_user_instances),
    ("fs/inotify/max_user_watches", |kernel| &kernel.inotify.max_user_watches),
    ("fs/pipe-max-size", |kernel| &kernel.pipe_max_size),
];

impl Content for Number {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        Ok(format!("{}\n", (self.of)(&self.kernel).get()).into_bytes())
    }
    fn store(&self, _who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        (self.of)(&self.kernel).set(parse_number(data)?)
    }
}

/// A decimal number with blanks around it (proc_doulongvec_minmax).
pub(super) fn parse_number(data: &[u8]) -> SysResult<u64> {
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    text.trim_matches(['\0', ' ', '\t', '\n']).parse().map_err(|_| Errno::EINVAL)
}

/// Adds the fixed values, and the numbers.
pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>) {
    for &(path, of) in NUMBERS {
        let number: Arc<dyn Content> = Arc::new(Number { kernel: Arc::clone(kernel), of });
        tree.file(&format!("sys/{path}"), 0o644, number);
    }
    for (path, mode, value) in VALUES {
        let content: Arc<dyn Content> = match mode & 0o222 {
            0 => Arc::new(Fixed(format!("{value}\n").into_bytes())),
            _ => Arc::new(Stored::new(kernel, path, value)),
        };
        tree.file(&format!("sys/{path}"), *mode, content);
    }
    for empty in ["sys/abi", "sys/debug", "sys/user"] {
        tree.directory(empty);
    }
}

fn line(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The namespace of whoever asks.
fn uts_of(proc: &Proc, who: &dyn Caller) -> Arc<UtsNamespace> {
    let process = proc.kernel.process(who.pid());
    process.map_or_else(|| Arc::clone(&proc.kernel.uts), |process| Arc::clone(&process.namespaces().uts))
}

fn hostname(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, &uts_of(proc, who).names.read().hostname);
    Ok(())
}

fn domainname(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, &uts_of(proc, who).names.read().domainname);
    Ok(())
}

/// A name as sysctl takes it: up to the first NUL or newline, cut to 64 bytes.
fn uts_name(who: &dyn Caller, data: &[u8]) -> SysResult<Vec<u8>> {
    if !who.credentials().has(Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let end = data.iter().position(|&b| b == 0 || b == b'\n').unwrap_or(data.len()).min(UTS_LEN);
    Ok(data.get(..end).unwrap_or_default().to_vec())
}

fn set_hostname(proc: &Proc, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let name = uts_name(who, data)?;
    uts_of(proc, who).names.write().hostname = name;
    Ok(())
}

fn set_domainname(proc: &Proc, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let name = uts_name(who, data)?;
    uts_of(proc, who).names.write().domainname = name;
    Ok(())
}

fn osrelease(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, proc.options.release.as_bytes());
    Ok(())
}

fn version(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, proc.options.version.as_bytes());
    Ok(())
}

fn cap_last_cap(_proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{CAP_LAST}\n");
    Ok(())
}

fn boot_id(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, proc.kernel.boot_id.get_or_init(|| uuid(&proc.kernel)).as_bytes());
    Ok(())
}

fn fresh_uuid(proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    line(out, uuid(&proc.kernel).as_bytes());
    Ok(())
}

/// A random version-4 UUID (lib/uuid.c generate_random_uuid).
pub(super) fn uuid(kernel: &Kernel) -> String {
    let mut bytes = [0; 16];
    if let Err(error) = kernel.platform.random(&mut bytes) {
        tracing::warn!(%error, "no random bytes for a UUID");
    }
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let (a, b, c) = (bits >> 96, bits >> 80 & 0xffff, bits >> 64 & 0xffff);
    let (d, e) = (bits >> 48 & 0xffff, bits & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}
