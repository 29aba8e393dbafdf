//! One direction of a connection: the bytes on their way, and the urgent one.
//!
//! What fits into the receiver's buffer counts as received, what is beyond it as the sender's (SIOCOUTQ, EPOLLOUT).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;

use crate::memory;

/// An empty buffer of more than this is given back.
const KEEP: usize = 4096;

#[derive(Default)]
struct Inner {
    bytes: VecDeque<u8>,
    /// How many bytes have been read.
    consumed: u64,
    /// Where in the stream the urgent byte is, and whether MSG_OOB has read it.
    urgent: Option<(u64, bool)>,
    /// The receiver has been closed: what comes is answered with a reset.
    is_closed: bool,
    /// Somebody found it full.
    writer_waits: bool,
}

/// One direction.
pub(super) struct Pipe {
    inner: Mutex<Inner>,
    /// SO_RCVBUF of the receiver and SO_SNDBUF of the sender.
    window: AtomicUsize,
    send_buffer: AtomicUsize,
}

/// How a read treats the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Read,
    Peek,
    /// MSG_TRUNC: away with them.
    Discard,
}

/// What a read found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) len: usize,
    /// The urgent byte comes next.
    pub(super) at_mark: bool,
    /// The sender waited for room, and there is some now.
    pub(super) wakes_writer: bool,
}

impl Inner {
    /// Of the unread bytes those that the sender still has to keep.
    fn queued(&self, window: usize) -> usize {
        self.bytes.len().saturating_sub(window)
    }

    /// sk_stream_is_writeable: at least a third of the buffer is free.
    fn is_writable(&self, window: usize, send_buffer: usize) -> bool {
        let queued = self.queued(window);
        send_buffer.saturating_sub(queued) >= (queued / 2).max(1)
    }

    fn advance(&mut self, count: usize) {
        self.consumed += count as u64;
        memory::release(count);
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = VecDeque::new();
        }
        // The mark moves with the reader once it is behind it.
        if self.urgent.is_some_and(|(at, _)| at < self.consumed) {
            self.urgent = None;
        }
    }

    /// Bytes before the mark, or all.
    fn run(&self) -> usize {
        let to_mark = self.urgent.map(|(at, _)| at.saturating_sub(self.consumed)).filter(|&n| n > 0);
        let to_mark = to_mark.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        self.bytes.len().min(to_mark)
    }

    fn is_at_mark(&self) -> bool {
        self.urgent.is_some_and(|(at, _)| at == self.consumed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        memory::release(self.bytes.len());
    }
}

impl Pipe {
    pub(super) fn new(window: usize, send_buffer: usize) -> Self {
        let (window, send_buffer) = (AtomicUsize::new(window), AtomicUsize::new(send_buffer));
        Self { inner: Mutex::default(), window, send_buffer }
    }

    pub(super) fn set_window(&self, window: usize) {
        self.window.store(window, Ordering::Relaxed);
    }

    pub(super) fn set_send_buffer(&self, size: usize) {
        self.send_buffer.store(size, Ordering::Relaxed);
    }

    fn sizes(&self) -> (usize, usize) {
        (self.window.load(Ordering::Relaxed), self.send_buffer.load(Ordering::Relaxed))
    }

    /// Puts in what fits: how many bytes. EAGAIN when full, ECONNRESET when nobody will read.
    pub(super) fn push(&self, bytes: &[u8], is_urgent: bool) -> SysResult<usize> {
        let (window, send_buffer) = self.sizes();
        let mut inner = self.inner.lock();
        if inner.is_closed {
            return Err(Errno::ECONNRESET);
        }
        let room = window.saturating_add(send_buffer).saturating_sub(inner.bytes.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if fits.is_empty() && !bytes.is_empty() {
            inner.writer_waits = true;
            return Err(Errno::EAGAIN);
        }
        memory::reserve(fits.len())?;
        inner.bytes.extend(fits);
        if is_urgent && !fits.is_empty() && fits.len() == bytes.len() {
            inner.urgent = Some((inner.consumed + inner.bytes.len() as u64 - 1, false));
        }
        Ok(fits.len())
    }

    /// Takes what there is. The urgent byte ends a read, and is passed over unless it comes `inline`.
    pub(super) fn take(&self, buffer: &mut [u8], how: Take, inline: bool) -> Taken {
        let mut inner = self.inner.lock();
        let mut skipped = 0;
        if inner.is_at_mark() && !inline {
            if how == Take::Peek {
                skipped = 1;
            } else {
                inner.bytes.pop_front();
                inner.advance(1);
            }
        }
        let run = if skipped == 0 { inner.run() } else { inner.bytes.len().saturating_sub(skipped) };
        let len = run.min(buffer.len());
        if how != Take::Discard {
            let (head, tail) = inner.bytes.as_slices();
            let rest = head.get(skipped..).unwrap_or_default();
            let first = len.min(rest.len());
            let (to_first, to_second) = buffer.split_at_mut(first);
            to_first.copy_from_slice(rest.get(..first).unwrap_or_default());
            let start = skipped.saturating_sub(head.len());
            let second = tail.get(start..start + (len - first)).unwrap_or_default();
            if let Some(to) = to_second.get_mut(..second.len()) {
                to.copy_from_slice(second);
            }
        }
        if how != Take::Peek {
            inner.bytes.drain(..len);
            inner.advance(len);
        }
        let (window, send_buffer) = self.sizes();
        let wakes_writer = inner.writer_waits && inner.is_writable(window, send_buffer);
        if wakes_writer {
            inner.writer_waits = false;
        }
        Taken { len, at_mark: inner.is_at_mark(), wakes_writer }
    }

    /// recv(2) with MSG_OOB: EINVAL when there is none, or it was read.
    pub(super) fn urgent(&self, how: Take) -> SysResult<u8> {
        let mut inner = self.inner.lock();
        let (at, was_read) = inner.urgent.ok_or(Errno::EINVAL)?;
        let offset = at.checked_sub(inner.consumed).and_then(|offset| usize::try_from(offset).ok());
        let byte = offset.and_then(|offset| inner.bytes.get(offset)).copied().ok_or(Errno::EINVAL)?;
        if was_read {
            return Err(Errno::EINVAL);
        }
        if how != Take::Peek {
            inner.urgent = Some((at, true));
        }
        Ok(byte)
    }

    /// Whether an urgent byte waits to be read (EPOLLPRI).
    pub(super) fn has_urgent(&self) -> bool {
        self.inner.lock().urgent.is_some_and(|(_, was_read)| !was_read)
    }

    /// SIOCATMARK.
    pub(super) fn is_at_mark(&self) -> bool {
        self.inner.lock().is_at_mark()
    }

    /// Bytes to read (FIONREAD, and what makes it readable). An urgent byte that comes next does not count.
    pub(super) fn available(&self, inline: bool) -> usize {
        let inner = self.inner.lock();
        let hidden = usize::from(!inline && inner.urgent.is_some());
        inner.bytes.len().saturating_sub(hidden)
    }

    /// All that is in it (whether a close loses something).
    pub(super) fn len(&self) -> usize {
        self.inner.lock().bytes.len()
    }

    /// Bytes that the sender keeps (SIOCOUTQ).
    pub(super) fn queued(&self) -> usize {
        let (window, _) = self.sizes();
        self.inner.lock().queued(window)
    }

    /// EPOLLOUT. Who hears that it is not will be woken.
    pub(super) fn is_writable(&self) -> bool {
        let (window, send_buffer) = self.sizes();
        let mut inner = self.inner.lock();
        let is_writable = inner.is_writable(window, send_buffer);
        inner.writer_waits |= !is_writable;
        is_writable
    }

    /// The receiver is gone: what it has not read is lost.
    pub(super) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        memory::release(inner.bytes.len());
        inner.bytes = VecDeque::new();
        inner.urgent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{Pipe, Take};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn full_and_writable_again() {
        let pipe = Pipe::new(100, 60);
        assert_eq!(pipe.push(&[1; 400], false), Ok(160));
        assert_eq!(pipe.push(&[1], false), Err(Errno::EAGAIN));
        assert!(!pipe.is_writable());
        assert_eq!(pipe.queued(), 60);
        assert!(!pipe.take(&mut [0; 10], Take::Read, false).wakes_writer);
        assert!(pipe.take(&mut [0; 20], Take::Read, false).wakes_writer);
        assert!(pipe.is_writable());
    }

    #[test]
    fn urgent_byte_stands_aside() {
        let pipe = Pipe::new(100, 100);
        pipe.push(b"ab!", true).expect("room");
        pipe.push(b"cd", false).expect("room");
        let mut bytes = [0; 8];
        assert_eq!(pipe.take(&mut bytes, Take::Peek, false).len, 2);
        assert_eq!(pipe.take(&mut bytes, Take::Read, false).len, 2);
        assert!(pipe.is_at_mark() && pipe.has_urgent());
        assert_eq!(pipe.urgent(Take::Peek), Ok(b'!'));
        assert_eq!(pipe.urgent(Take::Read), Ok(b'!'));
        assert_eq!(pipe.urgent(Take::Read), Err(Errno::EINVAL));
        assert_eq!(pipe.take(&mut bytes, Take::Peek, false).len, 2);
        assert_eq!(&bytes[..2], b"cd");
        assert_eq!(pipe.take(&mut bytes, Take::Read, false).len, 2);
        assert_eq!(&bytes[..2], b"cd");
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(steps in proptest::collection::vec((any::<bool>(), 0usize..90), 0..60)) {
            let pipe = Pipe::new(64, 64);
            let (mut written, mut read) = (0u8, 0u8);
            for (write, len) in steps {
                if write {
                    let bytes: Vec<u8> = (0..len).map(|i| written.wrapping_add(i as u8)).collect();
                    let sent = pipe.push(&bytes, false).unwrap_or(0);
                    written = written.wrapping_add(sent as u8);
                } else {
                    let mut peeked = vec![0; len];
                    let mut bytes = vec![0; len];
                    let peek = pipe.take(&mut peeked, Take::Peek, false).len;
                    let taken = pipe.take(&mut bytes, Take::Read, false).len;
                    prop_assert_eq!(peek, taken);
                    prop_assert_eq!(&peeked, &bytes);
                    for byte in &bytes[..taken] {
                        prop_assert_eq!(*byte, read);
                        read = read.wrapping_add(1);
                    }
                }
            }
            prop_assert_eq!(pipe.len() as u8, written.wrapping_sub(read));
        }

        #[test]
        fn urgent_bytes_in_any_order_never_panic(
            steps in proptest::collection::vec((0u8..6, 0usize..40, any::<bool>()), 0..60),
        ) {
            let pipe = Pipe::new(64, 64);
            for (what, len, flag) in steps {
                match what {
                    0 => drop(pipe.push(&vec![7; len], flag)),
                    1 => drop(pipe.take(&mut vec![0; len], Take::Read, flag)),
                    2 => drop(pipe.take(&mut vec![0; len], Take::Peek, flag)),
                    3 => drop(pipe.take(&mut vec![0; len], Take::Discard, flag)),
                    4 => drop(pipe.urgent(Take::Read)),
                    _ => drop((pipe.available(flag), pipe.is_at_mark(), pipe.is_writable(), pipe.queued())),
                }
            }
        }
    }
}
