//! Strings, buffers, vectors and arrays in guest memory.

use std::fmt::Write;

use abi_linux::layouts;
use syscall_table::Len;

use super::Printer;

/// strace's -s: how much of a string or buffer is shown.
const SHOWN: usize = 32;
/// Elements shown of arrays and vectors.
const ELEMENTS: u64 = 32;
/// PATH_MAX; paths are shown whole.
const PATH: usize = 4096;
/// How much of a path one copy asks for, so that it rarely crosses into a page that is not there.
const CHUNK: usize = 256;

impl Printer<'_> {
    /// Fills as much of `buffer` as can be read.
    pub(super) fn read<'b>(&self, address: u64, buffer: &'b mut [u8]) -> &'b [u8] {
        let got = (self.mem)(address, buffer).min(buffer.len());
        buffer.get(..got).unwrap_or(&[])
    }

    pub(super) fn read_u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        (self.read(address, &mut bytes).len() == 4).then(|| u32::from_ne_bytes(bytes))
    }

    fn read_u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.read(address, &mut bytes).len() == 8).then(|| u64::from_ne_bytes(bytes))
    }

    pub(super) fn path(&mut self, address: u64) {
        self.c_string(address, PATH);
    }

    pub(super) fn string(&mut self, address: u64) {
        self.c_string(address, SHOWN);
    }

    /// A string up to its NUL, at most `limit` bytes of it.
    fn c_string(&mut self, address: u64, limit: usize) {
        let mut text = Vec::new();
        let mut ended = false;
        while text.len() < limit && !ended {
            let mut chunk = [0; CHUNK];
            let at = address.saturating_add(text.len() as u64);
            let got = self.read_piece(at, &mut chunk);
            if got.is_empty() {
                break;
            }
            let end = got.iter().position(|&byte| byte == 0);
            ended = end.is_some();
            text.extend_from_slice(got.get(..end.unwrap_or(got.len())).unwrap_or(&[]));
        }
        if text.is_empty() && !ended {
            return self.address(address);
        }
        let cut = text.len() > limit || !ended;
        text.truncate(limit);
        self.quoted(&text, cut);
    }

    /// As [`Self::read`], but only to the end of the page if the whole cannot be read.
    fn read_piece<'b>(&self, address: u64, chunk: &'b mut [u8]) -> &'b [u8] {
        const PAGE: u64 = 4096;
        let to_page_end = usize::try_from(PAGE - address % PAGE).unwrap_or(CHUNK).min(chunk.len());
        self.read(address, chunk.get_mut(..to_page_end).unwrap_or(&mut []))
    }

    /// A buffer of known length.
    pub(super) fn bytes(&mut self, address: u64, len: u64) {
        if address == 0 {
            return self.address(0);
        }
        let shown = usize::try_from(len).unwrap_or(usize::MAX).min(SHOWN);
        let mut buffer = [0; SHOWN];
        let wanted = buffer.get_mut(..shown).unwrap_or(&mut []);
        let got = self.read(address, wanted).len();
        if got < shown {
            return self.address(address);
        }
        self.quoted(buffer.get(..shown).unwrap_or(&[]), len > SHOWN as u64);
    }

    /// Bytes as a C string literal.
    pub(super) fn quoted(&mut self, text: &[u8], cut: bool) {
        self.out.push('"');
        for (at, &byte) in text.iter().enumerate() {
            let digit_follows = text.get(at + 1).is_some_and(u8::is_ascii_digit);
            let _ = match byte {
                b'"' | b'\\' => write!(self.out, "\\{}", char::from(byte)),
                b'\n' => write!(self.out, "\\n"),
                b'\t' => write!(self.out, "\\t"),
                b'\r' => write!(self.out, "\\r"),
                0x0b => write!(self.out, "\\v"),
                0x0c => write!(self.out, "\\f"),
                b' '..=b'~' => write!(self.out, "{}", char::from(byte)),
                _ if digit_follows => write!(self.out, "\\{byte:03o}"),
                _ => write!(self.out, "\\{byte:o}"),
            };
        }
        self.out.push_str(if cut { "\"..." } else { "\"" });
    }

    /// argv: pointers to strings up to a null pointer.
    pub(super) fn string_vector(&mut self, address: u64) {
        if address == 0 || self.read_u64(address).is_none() {
            return self.address(address);
        }
        self.elements(ELEMENTS + 1, |this, at| {
            let Some(pointer) = element_address(address, at, 8).and_then(|place| this.read_u64(place)) else {
                this.out.push_str("...");
                return false;
            };
            if pointer != 0 {
                this.string(pointer);
            }
            pointer != 0
        });
    }

    /// An iovec array of which `moved` bytes matter.
    pub(super) fn iovec(&mut self, address: u64, count: u64, moved: u64) {
        if address == 0 || (count > 0 && self.read_u64(address).is_none()) {
            return self.address(address);
        }
        let mut left = moved;
        self.elements(count, |this, at| {
            let place = element_address(address, at, 16);
            let base = place.and_then(|place| this.read_u64(place));
            let len = place.and_then(|place| this.read_u64(place.checked_add(8)?));
            let (Some(base), Some(len)) = (base, len) else {
                this.out.push_str("...");
                return false;
            };
            this.out.push_str("{iov_base=");
            this.bytes(base, len.min(left));
            left = left.saturating_sub(len);
            let _ = write!(this.out, ", iov_len={len}}}");
            true
        });
    }

    /// An array of structures.
    pub(super) fn array(&mut self, name: &str, len: Len, address: u64) {
        let count = match len {
            Len::Arg(at) => u64::from(self.register(at) as u32),
            Len::Ret => self.moved(0),
        };
        let Some(layout) = layouts::find(name).filter(|_| address != 0) else {
            return self.address(address);
        };
        self.elements(count, |this, at| match element_address(address, at, layout.size as u64) {
            Some(place) => {
                this.laid_out(layout, place);
                true
            }
            None => false,
        });
    }

    /// `[a, b, ...]`; `print` says whether another element follows.
    fn elements(&mut self, count: u64, mut print: impl FnMut(&mut Self, u64) -> bool) {
        self.out.push('[');
        for at in 0..count {
            let before = self.out.len();
            if at > 0 {
                self.out.push_str(", ");
            }
            if at == ELEMENTS {
                self.out.push_str("...");
                break;
            }
            let started = self.out.len();
            let more = print(self, at);
            if self.out.len() == started {
                self.out.truncate(before);
            }
            if !more {
                break;
            }
        }
        self.out.push(']');
    }
}

fn element_address(base: u64, at: u64, size: u64) -> Option<u64> {
    base.checked_add(at.checked_mul(size)?)
}
