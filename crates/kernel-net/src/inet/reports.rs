//! The error queue of a socket with messages (MSG_ERRQUEUE; ip_icmp_error, ip_recv_error; Linux v6.18).

use std::collections::VecDeque;
use std::net::IpAddr;

use abi_linux::Errno;

use super::address::{Endpoint, Version, route};
use super::settings::{IP, IPV6, name};
use crate::memory;
use crate::socket::{MessageFlags, RawControl, Received};

/// What an ICMP error quotes of the datagram's own bytes: 576 (1280) less the headers of both packets.
const QUOTED_V4: usize = 576 - 2 * (20 + 8);
const QUOTED_V6: usize = 1280 - 2 * (40 + 8);
/// SO_EE_ORIGIN_ICMP with ICMP_DEST_UNREACH and ICMP_PORT_UNREACH; the same of v6.
const UNREACHABLE_V4: [u8; 3] = [2, 3, 3];
const UNREACHABLE_V6: [u8; 3] = [3, 1, 4];

struct Report {
    bytes: Box<[u8]>,
    to: Endpoint,
}

impl Drop for Report {
    fn drop(&mut self) {
        memory::release(self.bytes.len());
    }
}

/// Datagrams that came to nobody.
#[derive(Default)]
pub(super) struct Reports(VecDeque<Report>);

impl Reports {
    /// Most that wait to be read; Linux counts them in the receive buffer.
    const MOST: usize = 64;

    /// The port that `bytes` went to is unreachable. Lost when too many are unread.
    pub(super) fn push(&mut self, bytes: &[u8], to: Endpoint) {
        let most = if to.ip.is_ipv4() { QUOTED_V4 } else { QUOTED_V6 };
        let quoted = bytes.get(..most).unwrap_or(bytes);
        if self.0.len() < Self::MOST && memory::reserve(quoted.len()).is_ok() {
            self.0.push_back(Report { bytes: quoted.into(), to });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first report for a socket of family `version`, and the error that is pending after it.
    pub(super) fn take(&mut self, buffer: &mut [u8], version: Version) -> Option<(Received, Option<Errno>)> {
        let report = self.0.pop_front()?;
        let full_len = report.bytes.len();
        let len = full_len.min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), report.bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        let cut = if len < full_len { MessageFlags::TRUNC } else { MessageFlags::empty() };
        let received = Received {
            len,
            full_len,
            address: report.to.to_bytes(version),
            flags: MessageFlags::ERRQUEUE | cut,
            others: vec![control(report.to.ip, version)],
            is_last: true,
            ..Received::default()
        };
        Some((received, (!self.0.is_empty()).then_some(Errno::ECONNREFUSED)))
    }
}

/// `struct sock_extended_err` and the address of who told.
fn control(to: IpAddr, version: Version) -> RawControl {
    let [origin, kind, code] = if to.is_ipv4() { UNREACHABLE_V4 } else { UNREACHABLE_V6 };
    let mut data = Errno::ECONNREFUSED.raw().to_ne_bytes().to_vec();
    data.extend_from_slice(&[origin, kind, code, 0]);
    data.extend_from_slice(&[0; 8]);
    let teller = route(to).map_or(to, |(ip, _)| ip);
    data.extend_from_slice(&Endpoint { ip: teller, port: 0 }.to_bytes(version));
    match version {
        Version::V4 => RawControl { level: IP, kind: name::IP_RECVERR, data },
        Version::V6 => RawControl { level: IPV6, kind: name::IPV6_RECVERR, data },
    }
}
