//! Lines of /proc/net/tcp, tcp6, udp and udp6 (get_tcp4_sock, get_tcp6_sock, udp4_format_sock; Linux v6.18).

use std::net::IpAddr;

use kernel_vfs::file::File;

use super::address::{Endpoint, Version, shown_v6};
use super::tcp::TcpSocket;
use super::udp::{UdpSocket, Variant};
use crate::file::SocketFile;

/// The files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Tcp(Version),
    Udp(Version),
    UdpLite(Version),
}

/// Addresses are words in the machine's order.
fn hex(endpoint: Endpoint, version: Version) -> String {
    let address = match (version, endpoint.ip) {
        (Version::V4, IpAddr::V4(ip)) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        (Version::V4, IpAddr::V6(_)) => "00000000".to_owned(),
        (Version::V6, ip) => {
            let octets = shown_v6(ip).octets();
            let words = octets.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word));
            words.map(|word| format!("{word:08X}")).collect()
        }
    };
    format!("{address}:{:04X}", endpoint.port)
}

/// The line of the socket behind `file` in this table, without its running number; `None` when it is not in there.
#[must_use]
pub fn line(file: &File, ino: u64, table: Table) -> Option<String> {
    let socket = SocketFile::of(file).ok()?.socket().as_any();
    match table {
        Table::Tcp(version) => {
            let shown = socket.downcast_ref::<TcpSocket>()?.shown();
            // A socket without a port is in no table.
            let is_in = shown.version == version && shown.state != 7;
            is_in.then(|| {
                format!(
                    "{} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5}        0 {ino} 1 0000000000000000 100 0 0 10 0",
                    hex(shown.local, version),
                    hex(shown.remote, version),
                    shown.state,
                    shown.to_send,
                    shown.to_read,
                    shown.uid,
                )
            })
        }
        Table::Udp(version) | Table::UdpLite(version) => {
            let variant = if matches!(table, Table::Udp(_)) { Variant::Udp } else { Variant::UdpLite };
            let shown = socket.downcast_ref::<UdpSocket>()?.shown();
            let remote = shown.remote.unwrap_or(Endpoint::unspecified(version));
            let state = if shown.remote.is_some() { 1 } else { 7 };
            (shown.version == version && shown.variant == variant && shown.is_bound).then(|| {
                format!(
                    "{} {} {state:02X} {:08X}:{:08X} 00:00000000 00000000 {:5}        0 {ino} 2 0000000000000000 {}",
                    hex(shown.local, version),
                    hex(remote, version),
                    0,
                    shown.used,
                    shown.uid,
                    shown.drops,
                )
            })
        }
    }
}
