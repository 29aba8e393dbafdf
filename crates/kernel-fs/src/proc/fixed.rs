//! Machine-wide files that never change.

use abi_linux::SysResult;
use kernel_base::caller::Caller;

use super::{Proc, Row, row};
use crate::pseudo::TreeBuilder;

/// Files with fixed text, by path.
static TEXTS: &[(&str, &str)] = &[
    ("filesystems", FILESYSTEMS),
    ("devices", DEVICES),
    ("cmdline", "palisade\n"),
    ("partitions", "major minor  #blocks  name\n\n"),
    ("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    ("modules", ""),
    ("diskstats", ""),
    ("locks", ""),
    ("consoles", ""),
    ("misc", ""),
    ("interrupts", ""),
    ("crypto", ""),
    ("keys", ""),
    ("key-users", ""),
    ("execdomains", "0-0\tLinux           \t[kernel]\n"),
    ("cgroups", CGROUPS),
    ("tty/drivers", TTY_DRIVERS),
    ("tty/ldiscs", "n_tty       0\n"),
    ("pressure/cpu", PRESSURE),
    ("pressure/io", PRESSURE),
    ("pressure/memory", PRESSURE),
    (
        "sysvipc/msg",
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    ),
    ("sysvipc/sem", "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"),
    (
        "sysvipc/shm",
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    ),
];

/// The types of filesystems, in the order of their indices.
pub fn filesystem_types() -> impl Iterator<Item = &'static str> {
    FILESYSTEMS.lines().filter_map(|line| line.split('\t').nth(1))
}

const FILESYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\n\
    nodev\tsockfs\nnodev\tpipefs\nnodev\tdevpts\nnodev\toverlay\nnodev\tmqueue\n";

const DEVICES: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n\
    128 ptm\n136 pts\n\nBlock devices:\n";

const SLABINFO: &str = "slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> \
<sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n";

/// All in the one cgroup2 hierarchy. The JVM looks for its controllers here before it reads /sys/fs/cgroup.
const CGROUPS: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
    cpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\nblkio\t0\t1\t1\nmemory\t0\t1\t1\n\
    devices\t0\t1\t1\nfreezer\t0\t1\t1\npids\t0\t1\t1\n";

const TTY_DRIVERS: &str = "\
/dev/tty             /dev/tty        5       0 system:/dev/tty
/dev/console         /dev/console    5       1 system:console
/dev/ptmx            /dev/ptmx       5       2 system
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_master           /dev/ptm      128 0-1048575 pty:master
";

const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n\
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

/// Files that refuse.
pub(super) static FILES: &[Row] =
    &[row("sysrq-trigger", 0o200, refused), row("kmsg", 0o400, refused), row("slabinfo", 0o400, slabinfo)];

fn refused(_proc: &Proc, _who: &dyn Caller, _out: &mut Vec<u8>) -> SysResult<()> {
    Err(abi_linux::Errno::EPERM)
}

/// The heading alone: the supervisor's caches are not the kernel's.
fn slabinfo(_proc: &Proc, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.extend_from_slice(SLABINFO.as_bytes());
    Ok(())
}

/// Adds the fixed files.
pub(super) fn add(tree: &mut TreeBuilder) {
    for (path, text) in TEXTS {
        tree.fixed(path, *text);
    }
    tree.directory("fs");
    tree.directory("driver");
    tree.directory("bus");
}
