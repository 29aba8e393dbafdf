//! /proc/pid/net: one loopback device, and the Unix sockets that processes have open. The other lists hold
//! their headings only, which is what programs find in a fresh network namespace.

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_net::unix::listing;
use kernel_task::Kernel;
use kernel_vfs::inode::Inode;

use rustc_hash::FxHashSet;

use super::Proc;
use crate::pseudo::{Content, MAX_BYTES, ROOT_INO, TreeBuilder, child_ino};

static FILES: &[(&str, &str)] = &[
    ("dev", DEV),
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

const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

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

/// The list of Unix sockets: those that some descriptor leads to.
struct UnixSockets(Arc<Kernel>);

impl Content for UnixSockets {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = UNIX.as_bytes().to_vec();
        let mut shown = FxHashSet::default();
        for (_, descriptor) in self.0.processes().iter().flat_map(|process| process.files.list()) {
            if out.len() >= MAX_BYTES {
                break;
            }
            let file = &descriptor.file;
            let Ok(metadata) = file.inode.metadata() else { continue };
            if let Some(mut line) = listing::line(file, metadata.ino).filter(|_| shown.insert(metadata.ino)) {
                out.append(&mut line);
            }
        }
        Ok(out)
    }
}

/// The directory; every process shows the same one.
pub(super) fn directory(proc: &Arc<Proc>) -> Arc<dyn Inode> {
    let mut tree = TreeBuilder::new();
    for (name, text) in FILES {
        tree.fixed(name, *text);
    }
    tree.file("unix", 0o444, Arc::new(UnixSockets(Arc::clone(&proc.kernel))));
    Arc::new(tree.build_at(&proc.instance, child_ino(ROOT_INO, b"net:"), ROOT_INO))
}
