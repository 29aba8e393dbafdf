//! Datagrams that wait for their receiver, of UDP and of raw sockets (net/core/datagram.c; Linux v6.18).

use std::collections::VecDeque;

use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::{Errno, SysResult};

use super::Common;
use super::address::Endpoint;
use super::cmsg::{self, Arrival};
use crate::memory;
use crate::socket::{MessageFlags, Received};
use crate::unix::queue::{Layout, true_size};

const SIOCOUTQ: u32 = 0x5411;

/// A datagram, or a raw socket's packet, whose sender has no port.
pub(super) struct Datagram {
    bytes: Box<[u8]>,
    from: Endpoint,
    arrival: Arrival,
    cost: usize,
}

impl Datagram {
    /// ENOBUFS when all sockets together hold too much.
    pub(super) fn new(bytes: &[u8], from: Endpoint, arrival: Arrival) -> SysResult<Self> {
        let cost = true_size(bytes.len(), Layout::Packet);
        memory::reserve(cost)?;
        Ok(Self { bytes: bytes.into(), from, arrival, cost })
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        memory::release(self.cost);
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Inbox {
    datagrams: VecDeque<Datagram>,
    used: usize,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// What they cost of the receive buffer, in bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether a buffer of `limit` takes no more: one goes beyond it (__udp_enqueue_schedule_skb).
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.used > limit
    }

    pub(super) fn push(&mut self, datagram: Datagram) {
        self.used += datagram.cost;
        self.datagrams.push_back(datagram);
    }

    /// The first one, with the control messages that the receiver asked for; MSG_PEEK leaves it there.
    pub(super) fn take(&mut self, buffer: &mut [u8], flags: MessageFlags, of: &Common) -> Option<Received> {
        let datagram = self.datagrams.front()?;
        let full_len = datagram.bytes.len();
        let len = full_len.min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), datagram.bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        let received = Received {
            len,
            full_len,
            address: datagram.from.to_bytes(of.version),
            flags: if len < full_len { MessageFlags::TRUNC } else { MessageFlags::empty() },
            others: cmsg::received(&of.settings, of.version, &datagram.arrival),
            is_last: true,
            ..Received::default()
        };
        if !flags.contains(MessageFlags::PEEK) {
            let taken = self.datagrams.pop_front();
            self.used -= taken.as_ref().map_or(0, |datagram| datagram.cost);
        }
        Some(received)
    }

    /// What FIONREAD and SIOCOUTQ say, in bytes: nothing that was sent is still under way.
    pub(super) fn amount(&self, request: u32) -> SysResult<usize> {
        match request {
            FIONREAD => Ok(self.datagrams.front().map_or(0, |datagram| datagram.bytes.len())),
            SIOCOUTQ => Ok(0),
            _ => Err(Errno::ENOTTY),
        }
    }
}
