//! /proc/pid/net: one loopback device and no sockets. The lists hold their headings only, which is what
//! programs find in a fresh network namespace.

use std::sync::Arc;

use kernel_vfs::inode::Inode;

use super::Proc;
use crate::pseudo::{ROOT_INO, TreeBuilder, child_ino};

static FILES: &[(&str, &str)] = &[
    ("dev", DEV),
    ("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"),
    ("tcp", TCP),
    ("udp", UDP),
    ("udplite", UDP),
    ("raw", UDP),
    ("icmp", UDP),
    ("tcp6", TCP6),
    ("udp6", UDP6),
    ("udplite6", UDP6),
    ("raw6", UDP6),
    ("icmp6", UDP6),
    ("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    ("packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    ("route", ROUTE),
    ("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    ("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"),
    ("ipv6_route", ""),
    ("protocols", ""),
    ("dev_mcast", ""),
    ("sockstat", "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\n"),
    ("wireless", WIRELESS),
];

const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
";

const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const WIRELESS: &str = "\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
";

/// The directory; every process shows the same one.
pub(super) fn directory(proc: &Arc<Proc>) -> Arc<dyn Inode> {
    let mut tree = TreeBuilder::new();
    for (name, text) in FILES {
        tree.fixed(name, *text);
    }
    Arc::new(tree.build_at(&proc.instance, child_ino(ROOT_INO, b"net:"), ROOT_INO))
}
