//! Files of /sys that never change.

use crate::pseudo::TreeBuilder;

/// Path and text.
static TEXTS: &[(&str, &str)] = &[
    ("kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never\n"),
    ("kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force\n"),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n"),
    ("kernel/mm/transparent_hugepage/use_zero_page", "1\n"),
    ("kernel/mm/ksm/run", "0\n"),
    ("kernel/cgroup/delegate", "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n"),
    ("kernel/cgroup/features", "nsdelegate\n"),
    ("kernel/cpu_byteorder", "little\n"),
    ("kernel/address_bits", "64\n"),
    ("kernel/profiling", "0\n"),
    ("kernel/uevent_seqnum", "0\n"),
    ("devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("devices/system/clocksource/clocksource0/available_clocksource", "tsc \n"),
    ("devices/virtual/net/lo/address", "00:00:00:00:00:00\n"),
    ("devices/virtual/net/lo/broadcast", "00:00:00:00:00:00\n"),
    ("devices/virtual/net/lo/addr_len", "6\n"),
    ("devices/virtual/net/lo/carrier", "1\n"),
    ("devices/virtual/net/lo/flags", "0x9\n"),
    ("devices/virtual/net/lo/ifindex", "1\n"),
    ("devices/virtual/net/lo/iflink", "1\n"),
    ("devices/virtual/net/lo/mtu", "65536\n"),
    ("devices/virtual/net/lo/operstate", "unknown\n"),
    ("devices/virtual/net/lo/tx_queue_len", "1000\n"),
    ("devices/virtual/net/lo/type", "772\n"),
    ("devices/virtual/net/lo/uevent", "INTERFACE=lo\nIFINDEX=1\n"),
    ("devices/virtual/net/lo/statistics/rx_bytes", "0\n"),
    ("devices/virtual/net/lo/statistics/rx_packets", "0\n"),
    ("devices/virtual/net/lo/statistics/tx_bytes", "0\n"),
    ("devices/virtual/net/lo/statistics/tx_packets", "0\n"),
];

/// Directories that are there and empty.
static EMPTY: &[&str] = &[
    "block",
    "bus",
    "class/block",
    "class/tty",
    "dev/block",
    "dev/char",
    "firmware",
    "fs/cgroup",
    "kernel/debug",
    "kernel/security",
    "kernel/tracing",
    "kernel/mm/hugepages",
    "module",
    "power",
];

pub(super) fn add(tree: &mut TreeBuilder) {
    for (path, text) in TEXTS {
        tree.fixed(path, *text);
    }
    for path in EMPTY {
        tree.directory(path);
    }
    tree.link("class/net/lo", "../../devices/virtual/net/lo");
}
