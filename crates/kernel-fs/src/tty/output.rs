//! The way out of a terminal: output processing and echo (drivers/tty/n_tty.c do_output_char,
//! __process_echoes).
//!
//! Linux keeps echoes as operations in a buffer of their own, since they must not pass the output before
//! them. Here an echo is carried out at once, and its bytes wait in `held` while the terminal is stopped
//! or full: nothing else can be written meanwhile, so columns stay right.

use std::collections::VecDeque;

use super::termios::{ECHOCTL, IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, Termios, XTABS};

/// Bytes that wait for the master to read them.
const OUTPUT_LIMIT: usize = 16384;
/// Echoed bytes that wait for room (N_TTY_BUF_SIZE).
const HELD_LIMIT: usize = 4096;
/// Of the output, what Linux has in the master's read buffer already, which a flush doesn't reach.
const BEYOND_FLUSH: usize = 4095;

#[derive(Default)]
pub(super) struct Output {
    ready: VecDeque<u8>,
    held: VecDeque<u8>,
    column: usize,
    canon_column: usize,
    /// ^S or TCOOFF: what is written waits.
    pub(super) stopped: bool,
    /// TCOOFF did it: characters don't start it again.
    pub(super) stopped_by_call: bool,
}

/// Linux's iscntrl for the bytes of any character set (lib/ctype.c).
pub(super) fn is_control(c: u8) -> bool {
    c.is_ascii_control()
}

/// Whether `c` goes on with a UTF-8 character.
pub(super) fn is_continuation(c: u8, termios: &Termios) -> bool {
    termios.input(IUTF8) && c & 0xc0 == 0x80
}

impl Output {
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether nothing waits, not even echoes.
    pub(super) fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.held.is_empty()
    }

    /// Free bytes for a writer (tty_write_room).
    pub(super) fn room(&self) -> usize {
        if self.stopped || !self.held.is_empty() { 0 } else { OUTPUT_LIMIT.saturating_sub(self.ready.len()) }
    }

    /// Takes bytes for the master.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let n = out.len().min(self.ready.len());
        for (slot, byte) in out.iter_mut().zip(self.ready.drain(..n)) {
            *slot = byte;
        }
        self.release();
        n
    }

    /// Lets held echoes out as far as there is room.
    pub(super) fn release(&mut self) {
        while !self.stopped && self.ready.len() < OUTPUT_LIMIT {
            let Some(byte) = self.held.pop_front() else { return };
            self.ready.push_back(byte);
        }
    }

    /// Discards what the master has not been given (tty_driver_flush_buffer), and pending echoes.
    pub(super) fn flush(&mut self) {
        self.ready.truncate(BEYOND_FLUSH);
        self.held.clear();
    }

    /// Writes program output as far as it fits; how many bytes of `bytes` that were.
    pub(super) fn write(&mut self, bytes: &[u8], termios: &Termios) -> usize {
        self.release();
        let mut room = self.room();
        if !termios.output(OPOST) {
            let n = bytes.len().min(room);
            self.ready.extend(&bytes[..n]);
            return n;
        }
        for (at, &c) in bytes.iter().enumerate() {
            let mut expanded = [0; 8];
            let Some(n) = self.process(c, termios, room, &mut expanded) else { return at };
            self.ready.extend(&expanded[..n]);
            room -= n;
        }
        bytes.len()
    }

    /// What `c` becomes; `None` when that needs more than `room`.
    fn process(&mut self, c: u8, termios: &Termios, room: usize, out: &mut [u8; 8]) -> Option<usize> {
        if room == 0 {
            return None;
        }
        out[0] = c;
        match c {
            b'\n' => {
                if termios.output(ONLRET) {
                    self.column = 0;
                }
                if termios.output(ONLCR) {
                    if room < 2 {
                        return None;
                    }
                    self.column = 0;
                    self.canon_column = 0;
                    out[..2].copy_from_slice(b"\r\n");
                    return Some(2);
                }
                self.canon_column = self.column;
            }
            b'\r' if termios.output(ONOCR) && self.column == 0 => return Some(0),
            b'\r' => {
                if termios.output(OCRNL) {
                    out[0] = b'\n';
                }
                if !termios.output(OCRNL) || termios.output(ONLRET) {
                    self.column = 0;
                    self.canon_column = 0;
                }
            }
            b'\t' => {
                let spaces = 8 - (self.column & 7);
                if termios.c_oflag & XTABS == XTABS {
                    if room < spaces {
                        return None;
                    }
                    self.column = self.column.wrapping_add(spaces);
                    out.fill(b' ');
                    return Some(spaces);
                }
                self.column = self.column.wrapping_add(spaces);
            }
            8 => self.column = self.column.saturating_sub(1),
            _ if is_control(c) => {}
            _ => {
                if termios.output(OLCUC) {
                    out[0] = c.to_ascii_uppercase();
                }
                if !is_continuation(c, termios) {
                    self.column = self.column.wrapping_add(1);
                }
            }
        }
        Some(1)
    }

    fn put_echo(&mut self, bytes: &[u8]) {
        if self.held.len() + bytes.len() <= HELD_LIMIT {
            self.held.extend(bytes);
        }
        self.release();
    }

    /// Echoes a byte without showing control characters in a special way (echo_char_raw).
    pub(super) fn echo_raw(&mut self, c: u8, termios: &Termios) {
        if !termios.output(OPOST) {
            self.put_echo(&[c]);
            return;
        }
        let mut expanded = [0; 8];
        if let Some(n) = self.process(c, termios, 8, &mut expanded) {
            self.put_echo(&expanded[..n]);
        }
    }

    /// Echoes a byte, control characters as ^X under ECHOCTL (echo_char).
    pub(super) fn echo(&mut self, c: u8, termios: &Termios) {
        if termios.local(ECHOCTL) && is_control(c) && c != b'\t' {
            self.put_echo(&[b'^', c ^ 0o100]);
            self.column = self.column.wrapping_add(2);
        } else {
            self.echo_raw(c, termios);
        }
    }

    /// A special character in the output at once, for TCIOFF and TCION.
    pub(super) fn send_flow_char(&mut self, c: u8) {
        if c != 0 {
            self.ready.push_front(c);
        }
    }

    pub(super) fn set_canon_column(&mut self) {
        self.canon_column = self.column;
    }

    pub(super) fn move_back_column(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// Goes back over a tab that began after `columns` columns since the start of input, or since another
    /// tab.
    pub(super) fn erase_tab(&mut self, columns: usize, after_tab: bool) {
        let start = if after_tab { columns } else { columns.wrapping_add(self.canon_column) };
        let back = 8 - (start & 7);
        self.put_echo(&[8; 8][..back]);
        self.column = self.column.saturating_sub(back);
    }
}
