//! A ring of bytes that grows, with the packets of O_DIRECT pipes marked in it.

use std::collections::VecDeque;

use super::PIPE_BUF;

/// Bytes in order of writing. The storage is a power of two of bytes, or nothing.
#[derive(Default)]
pub(super) struct Ring {
    storage: Box<[u8]>,
    /// Bytes read since the beginning; modulo the storage it is where the next read starts.
    read: u64,
    len: usize,
    /// Packets still to be read, as [start, end) in bytes since the beginning.
    packets: VecDeque<(u64, u64)>,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn at(&self, position: u64) -> usize {
        position as usize & (self.storage.len().wrapping_sub(1))
    }

    /// Copies up to `out.len()` bytes from `position` on into `out`.
    fn copy_out(&self, position: u64, out: &mut [u8]) {
        let start = self.at(position);
        let first = out.len().min(self.storage.len() - start);
        let (before, after) = out.split_at_mut(first);
        before.copy_from_slice(&self.storage[start..start + first]);
        after.copy_from_slice(&self.storage[..after.len()]);
    }

    fn resize(&mut self, size: usize) {
        let mut storage = vec![0u8; size].into_boxed_slice();
        if self.len > 0 {
            self.copy_out(self.read, &mut storage[..self.len]);
        }
        // Packets keep their positions relative to what has been read; the ring starts again at 0.
        let base = self.read;
        for (start, end) in &mut self.packets {
            *start -= base;
            *end -= base;
        }
        self.read = 0;
        self.storage = storage;
    }

    /// Gives memory back after the capacity went down to `capacity`, which holds the content.
    pub(super) fn shrink_to(&mut self, capacity: usize) {
        if self.storage.len() > capacity {
            self.resize(capacity);
        }
    }

    /// Appends all of `bytes`; the caller knows that they fit the capacity.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let needed = self.len + bytes.len();
        if needed > self.storage.len() {
            self.resize(needed.max(PIPE_BUF).next_power_of_two());
        }
        let start = self.at(self.read + self.len as u64);
        let first = bytes.len().min(self.storage.len() - start);
        let (before, after) = bytes.split_at(first);
        self.storage[start..start + first].copy_from_slice(before);
        self.storage[..after.len()].copy_from_slice(after);
        self.len = needed;
    }

    /// Appends `bytes`, at most PIPE_BUF, as one packet.
    pub(super) fn push_packet(&mut self, bytes: &[u8]) {
        self.push(bytes);
        let end = self.read + self.len as u64;
        self.packets.push_back((end - bytes.len() as u64, end));
    }

    /// How many packets wait; each takes a page of the capacity.
    pub(super) fn packets(&self) -> usize {
        self.packets.len()
    }

    /// Copies the first bytes, over the ends of packets, and takes none.
    pub(super) fn peek(&self, out: &mut [u8]) -> usize {
        let take = out.len().min(self.len);
        if take > 0 {
            self.copy_out(self.read, &mut out[..take]);
        }
        take
    }

    /// Puts bytes before all others; where there are packets they are one.
    pub(super) fn push_front(&mut self, bytes: &[u8]) {
        let mut whole = vec![0; bytes.len() + self.len];
        whole[..bytes.len()].copy_from_slice(bytes);
        if self.len > 0 {
            self.copy_out(self.read, &mut whole[bytes.len()..]);
        }
        let (base, shift) = (self.read, bytes.len() as u64);
        for (start, end) in &mut self.packets {
            *start = *start - base + shift;
            *end = *end - base + shift;
        }
        if !self.packets.is_empty() {
            self.packets.push_front((0, shift));
        }
        (self.read, self.len) = (0, 0);
        self.push(&whole);
    }

    /// Takes bytes out: up to `out.len()`, or one packet, of which what doesn't fit is lost.
    pub(super) fn pop(&mut self, out: &mut [u8]) -> usize {
        let mut take = out.len().min(self.len);
        let mut consumed = take;
        if let Some(&(start, end)) = self.packets.front() {
            if start > self.read {
                take = take.min((start - self.read) as usize);
                consumed = take;
            } else {
                consumed = (end - self.read) as usize;
                take = take.min(consumed);
                self.packets.pop_front();
            }
        }
        if take > 0 {
            self.copy_out(self.read, &mut out[..take]);
        }
        self.len -= consumed;
        self.read += consumed as u64;
        take
    }
}
