//! Messages on their way, and what they cost their sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::wait::WaitQueue;

use super::garbage::Rights;
use super::names::Name;
use crate::control::Credential;
use crate::memory;

pub(crate) const READABLE: Events = Events::IN.union(Events::RDNORM);
pub(crate) const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);

/// `sizeof(struct sk_buff)` and `struct skb_shared_info`, aligned, and the page: what Linux v6.18 accounts.
const SKB: usize = 256;
const SHARED_INFO: usize = 320;
const PAGE: usize = 4096;
/// SKB_MAX_HEAD(0): what a stream puts before its pages. SKB_MAX_ALLOC for messages.
const STREAM_HEAD: usize = PAGE - SHARED_INFO;
const PACKET_HEAD: usize = 4 * PAGE - SHARED_INFO;
/// Most bytes of one buffer of a stream: SKB_MAX_HEAD(0) + UNIX_SKB_FRAGS_SZ.
pub(super) const STREAM_MOST: usize = STREAM_HEAD + 32_768;

/// How Linux lays out the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Stream,
    Packet,
}

/// What a buffer of `len` bytes costs (`skb->truesize`). Programs see it through when a socket is full.
pub(crate) fn true_size(len: usize, layout: Layout) -> usize {
    let head = if layout == Layout::Stream { STREAM_HEAD } else { PACKET_HEAD };
    let paged = len.saturating_sub(head).next_multiple_of(PAGE).min(len);
    let linear = (len - paged).next_multiple_of(64) + SHARED_INFO;
    linear.next_power_of_two().max(512) + SKB + paged.next_multiple_of(PAGE)
}

/// The sending side of a socket: lives as long as something it sent is unread.
#[derive(Default)]
pub(super) struct Sender {
    /// The socket's wait queue.
    pub(super) queue: WaitQueue,
    /// Cost of what it sent and nobody has read (`sk_wmem_alloc`).
    used: AtomicUsize,
    /// SO_SNDBUF.
    limit: AtomicUsize,
}

impl Sender {
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether poll(2) calls it writable: at most a quarter is used (unix_writable).
    pub(super) fn is_writable(&self, limit: usize) -> bool {
        self.limit.store(limit, Ordering::Relaxed);
        self.used().saturating_mul(4) <= limit
    }

    /// EAGAIN while the socket's buffer is full, ENOBUFS when the sandbox's is.
    pub(super) fn charge(self: &Arc<Self>, size: usize, limit: usize) -> SysResult<Charge> {
        self.limit.store(limit, Ordering::Relaxed);
        if self.used() >= limit {
            return Err(Errno::EAGAIN);
        }
        memory::reserve(size)?;
        self.used.fetch_add(size, Ordering::Relaxed);
        Ok(Charge { sender: Arc::clone(self), size })
    }
}

/// The cost of one message; given back when dropped, which may wake the sender: not below a lock.
pub(super) struct Charge {
    sender: Arc<Sender>,
    size: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        memory::release(self.size);
        let before = self.sender.used.fetch_sub(self.size, Ordering::Relaxed);
        let limit = self.sender.limit.load(Ordering::Relaxed);
        let is_writable = before.saturating_sub(self.size).saturating_mul(4) <= limit;
        if is_writable {
            self.sender.queue.wake(WRITABLE);
        }
    }
}

/// One buffer in a receive queue (`struct sk_buff`).
pub(super) struct Message {
    pub(super) bytes: Box<[u8]>,
    /// How many of them a stream has read.
    pub(super) consumed: usize,
    pub(super) rights: Option<Rights>,
    pub(super) credential: Option<Credential>,
    /// The sender's name, which it may get later.
    pub(super) from: Arc<Name>,
    pub(super) _charge: Charge,
}

impl Message {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, true_size};

    #[test]
    fn costs_are_linuxs() {
        // Measured with SIOCOUTQ on Linux 6.18.
        let stream = [(1, 768), (200, 1280), (1000, 2304), (4000, 4864), (36_544, 37_120)];
        for (len, cost) in stream {
            assert_eq!(true_size(len, Layout::Stream), cost, "{len}");
        }
        for (len, cost) in [(1, 768), (4000, 8448), (10_000, 16_640), (36_544, 37_120), (40_000, 41_216)] {
            assert_eq!(true_size(len, Layout::Packet), cost, "{len}");
        }
    }
}
