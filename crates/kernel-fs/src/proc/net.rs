//! /proc/pid/net: one loopback device, and the sockets that processes have open. The other lists hold
//! their headings only, which is what programs find in a fresh network namespace.

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::caller::Caller;
use kernel_net::inet::{self, address::Version, listing::Table};
use kernel_net::unix::listing;
use kernel_task::Kernel;
use kernel_vfs::file::File;
use kernel_vfs::inode::{FileKind, Inode};

use rustc_hash::FxHashSet;

use super::Proc;
use crate::pseudo::{Content, MAX_BYTES, ROOT_INO, TreeBuilder, child_ino};

static FILES: &[(&str, &str)] = &[
    ("dev", DEV),
    ("raw", UDP),
    ("icmp", UDP),
    ("raw6", UDP6),
    ("icmp6", UDP6),
    ("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    ("packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    ("route", ROUTE),
    ("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    ("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"),
    ("ipv6_route", IPV6_ROUTE),
    ("snmp", SNMP),
    ("protocols", ""),
    ("dev_mcast", ""),
    ("wireless", WIRELESS),
];

const IPV6_ROUTE: &str = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";
/// Nothing is counted.
const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 0 0 0 0 0 0 0 0 0
";

/// The lists of INET sockets: name, what is in it, its heading, the width of its running number, and to how many
/// characters a line is filled up.
const INET: [(&str, Table, &str, usize, usize); 6] = [
    ("tcp", Table::Tcp(Version::V4), TCP, 4, 149),
    ("tcp6", Table::Tcp(Version::V6), TCP6, 4, 0),
    ("udp", Table::Udp(Version::V4), UDP, 5, 127),
    ("udp6", Table::Udp(Version::V6), UDP6, 5, 0),
    ("udplite", Table::UdpLite(Version::V4), UDP, 5, 127),
    ("udplite6", Table::UdpLite(Version::V6), UDP6, 5, 0),
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

/// Calls `show` for each open file that some descriptor leads to, with its inode's number, while it wants more.
fn each_file(kernel: &Arc<Kernel>, mut show: impl FnMut(&File, u64) -> bool) {
    let mut seen = FxHashSet::default();
    for (_, descriptor) in kernel.processes().iter().flat_map(|process| process.files.list()) {
        let file = &descriptor.file;
        if file.inode.kind() != FileKind::Socket {
            continue;
        }
        let Ok(metadata) = file.inode.metadata() else { continue };
        if seen.insert(metadata.ino) && !show(file, metadata.ino) {
            return;
        }
    }
}

/// A file whose text the INET stack may have; this is what it holds otherwise.
struct OfStack<C> {
    kernel: Arc<Kernel>,
    name: &'static str,
    otherwise: C,
}

impl<C: Content> Content for OfStack<C> {
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        match self.kernel.net().stack().proc_file(self.name) {
            Some(text) => Ok(text),
            None => self.otherwise.generate(who),
        }
    }
}

/// What a namespace with lo alone shows.
struct Fixed(&'static str);

impl Content for Fixed {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

/// The list of Unix sockets: those that some descriptor leads to.
struct UnixSockets(Arc<Kernel>);

impl Content for UnixSockets {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = UNIX.as_bytes().to_vec();
        each_file(&self.0, |file, ino| {
            out.append(&mut listing::line(file, ino).unwrap_or_default());
            out.len() < MAX_BYTES
        });
        Ok(out)
    }
}

/// A list of INET sockets.
struct InetSockets {
    kernel: Arc<Kernel>,
    table: Table,
    heading: &'static str,
    number_width: usize,
    line_width: usize,
}

impl Content for InetSockets {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = self.heading.to_owned();
        let mut number = 0;
        each_file(&self.kernel, |file, ino| {
            if let Some(line) = inet::listing::line(file, ino, self.table) {
                let line = format!("{number:>0$}: {line}", self.number_width);
                out.push_str(&format!("{line:<0$}\n", self.line_width));
                number += 1;
            }
            out.len() < MAX_BYTES
        });
        Ok(out.into_bytes())
    }
}

/// /proc/net/sockstat, or sockstat6.
struct Counts(Arc<Kernel>, Version);

impl Content for Counts {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let (mut used, mut tcp, mut udp) = (0, 0, 0);
        each_file(&self.0, |file, ino| {
            used += 1;
            tcp += usize::from(inet::listing::line(file, ino, Table::Tcp(self.1)).is_some());
            udp += usize::from(inet::listing::line(file, ino, Table::Udp(self.1)).is_some());
            true
        });
        let text = match self.1 {
            Version::V4 => format!(
                "sockets: used {used}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\n\
                 UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
            ),
            Version::V6 => format!(
                "TCP6: inuse {tcp}\nUDP6: inuse {udp}\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n"
            ),
        };
        Ok(text.into_bytes())
    }
}

/// The directory; every process shows the same one.
pub(super) fn directory(proc: &Arc<Proc>) -> Arc<dyn Inode> {
    let mut tree = TreeBuilder::new();
    let kernel = || Arc::clone(&proc.kernel);
    for &(name, text) in FILES {
        tree.file(name, 0o444, Arc::new(OfStack { kernel: kernel(), name, otherwise: Fixed(text) }));
    }
    for (name, table, heading, number_width, line_width) in INET {
        let otherwise = InetSockets { kernel: kernel(), table, heading, number_width, line_width };
        tree.file(name, 0o444, Arc::new(OfStack { kernel: kernel(), name, otherwise }));
    }
    for (name, version) in [("sockstat", Version::V4), ("sockstat6", Version::V6)] {
        let otherwise = Counts(kernel(), version);
        tree.file(name, 0o444, Arc::new(OfStack { kernel: kernel(), name, otherwise }));
    }
    tree.file("unix", 0o444, Arc::new(UnixSockets(Arc::clone(&proc.kernel))));
    Arc::new(tree.build_at(&proc.instance, child_ino(ROOT_INO, b"net:"), ROOT_INO))
}
