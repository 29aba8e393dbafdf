//! The way into a terminal: the input side of the line discipline, after Linux v6.18 drivers/tty/n_tty.c.
//!
//! A byte from the master becomes an edit of the line being typed, a signal, flow control, or a byte of
//! the read buffer. Pure: what has to happen outside is collected in [`Effects`].

use std::collections::VecDeque;

use abi_linux::signal::Signal;
use smallvec::SmallVec;

use super::output::{Output, is_continuation, is_control};
use super::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, EXTPROC, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG,
    ISTRIP, IUCLC, IXANY, IXON, NOFLSH, PARMRK, Termios, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT,
    VMIN, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VTIME, VWERASE,
};

/// N_TTY_BUF_SIZE: the longest line with its newline.
pub(super) const BUFFER: usize = 4096;
/// Stands in the buffer for an end-of-file character (__DISABLED_CHAR).
const EOF_MARK: u8 = 0;

/// What input asks for.
#[derive(Default)]
pub(super) struct Effects {
    /// For the foreground process group.
    pub(super) signals: SmallVec<[Signal; 2]>,
    /// Output was started or stopped by a character.
    pub(super) flow_changed: bool,
    /// The read buffer was flushed by a signal character.
    pub(super) flushed: bool,
}

/// The read buffer. Positions count bytes since the terminal was made.
#[derive(Default)]
pub(super) struct Input {
    bytes: VecDeque<u8>,
    /// Position of `bytes[0]` (read_tail).
    tail: u64,
    /// End of complete lines.
    canon_head: u64,
    /// Positions of bytes that end a line.
    ends: VecDeque<u64>,
    literal_next: bool,
    erasing: bool,
}

impl Input {
    fn head(&self) -> u64 {
        self.tail + self.bytes.len() as u64
    }

    fn is_line(termios: &Termios) -> bool {
        termios.local(ICANON) && !termios.local(EXTPROC)
    }

    /// Whether a read gets something; for poll(2) VMIN counts (input_available_p).
    pub(super) fn is_available(&self, termios: &Termios, wanted: usize) -> bool {
        if Self::is_line(termios) { self.canon_head != self.tail } else { self.bytes.len() >= wanted.max(1) }
    }

    /// How many bytes poll(2) asks for.
    pub(super) fn poll_wants(termios: &Termios) -> usize {
        if termios.c_cc[VTIME] == 0 { usize::from(termios.c_cc[VMIN]) } else { 1 }
    }

    /// FIONREAD: end-of-file marks don't count.
    pub(super) fn readable_len(&self, termios: &Termios) -> usize {
        if !termios.local(ICANON) {
            return self.bytes.len();
        }
        let marks = self.ends.iter().filter(|&&at| self.byte(at) == Some(EOF_MARK)).count();
        ((self.canon_head - self.tail) as usize).saturating_sub(marks)
    }

    fn byte(&self, position: u64) -> Option<u8> {
        self.bytes.get(position.checked_sub(self.tail)? as usize).copied()
    }

    /// Forgets everything (reset_buffer_flags).
    pub(super) fn flush(&mut self) {
        self.tail = self.head();
        self.bytes.clear();
        self.canon_head = self.tail;
        self.ends.clear();
        self.erasing = false;
    }

    /// Attributes changed: what was typed becomes readable in the other mode (n_tty_set_termios).
    pub(super) fn mode_changed(&mut self, old: &Termios, new: &Termios) {
        if (old.c_lflag ^ new.c_lflag) & (ICANON | EXTPROC) == 0 {
            return;
        }
        self.ends.clear();
        self.canon_head = self.tail;
        if new.local(ICANON) && !self.bytes.is_empty() {
            self.canon_head = self.head();
            self.ends.push_back(self.canon_head - 1);
        }
        self.erasing = false;
        self.literal_next = false;
    }

    /// Room for one more byte. A line that is too long is let through, each byte over the last one, so
    /// that editing and its end still work (n_tty_receive_buf_common).
    fn make_room(&mut self, termios: &Termios) -> bool {
        let mut room = (BUFFER as i64) - (self.bytes.len() as i64);
        if termios.input(PARMRK) {
            room = (room + 2).div_euclid(3);
        }
        room -= 1;
        if room > 0 {
            return true;
        }
        let overflow = termios.local(ICANON) && self.canon_head == self.tail;
        if overflow && room < 0 {
            self.bytes.pop_back();
        }
        overflow
    }

    /// Takes bytes of the master until the buffer is full; how many.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        termios: &Termios,
        output: &mut Output,
        effects: &mut Effects,
    ) -> usize {
        for (at, &c) in bytes.iter().enumerate() {
            if !self.make_room(termios) {
                return at;
            }
            Receive { input: self, termios, output, effects }.byte(c);
        }
        bytes.len()
    }

    /// Reads without line editing.
    pub(super) fn read_raw(&mut self, out: &mut [u8]) -> usize {
        let n = out.len().min(self.bytes.len());
        for (slot, byte) in out.iter_mut().zip(self.bytes.drain(..n)) {
            *slot = byte;
        }
        self.tail += n as u64;
        self.canon_head = self.canon_head.max(self.tail);
        n
    }

    /// Reads one line, or a part of it that fills `out`; 0 for an end-of-file at the start of a line.
    /// Only called when a line is there (canon_copy_from_read_buf).
    pub(super) fn read_line(&mut self, out: &mut [u8]) -> usize {
        let available = (self.canon_head - self.tail) as usize;
        let limit = self.ends.front().map_or(available, |&end| (end - self.tail) as usize);
        if out.len() > limit && !self.ends.is_empty() {
            // The whole line: its end goes with it, unless that is the end-of-file mark.
            let is_mark = self.bytes.get(limit) == Some(&EOF_MARK);
            let n = self.read_raw(&mut out[..limit + usize::from(!is_mark)]);
            self.ends.pop_front();
            if is_mark {
                self.skip_mark();
            }
            return n;
        }
        let fits = out.len().min(limit);
        let n = self.read_raw(&mut out[..fits]);
        // A reader whose buffer ends right before the mark has seen all of the line (canon_skip_eof).
        if self.ends.front() == Some(&self.tail) && self.bytes.front() == Some(&EOF_MARK) {
            self.ends.pop_front();
            self.skip_mark();
        }
        n
    }

    fn skip_mark(&mut self) {
        self.bytes.pop_front();
        self.tail += 1;
        self.canon_head = self.canon_head.max(self.tail);
    }
}

/// One byte on its way in.
struct Receive<'a> {
    input: &'a mut Input,
    termios: &'a Termios,
    output: &'a mut Output,
    effects: &'a mut Effects,
}

impl Receive<'_> {
    fn is_char(&self, c: u8, index: usize) -> bool {
        self.termios.is_char(c, index)
    }

    fn byte(&mut self, mut c: u8) {
        let termios = self.termios;
        let special = ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK;
        if !termios.input(special) && !termios.local(ICANON | ISIG | ECHO) {
            self.input.bytes.push_back(c);
            return;
        }
        if termios.input(ISTRIP) {
            c &= 0x7f;
        }
        if termios.input(IUCLC) && termios.local(IEXTEN) {
            c = c.to_ascii_lowercase();
        }
        if termios.local(EXTPROC) {
            self.input.bytes.push_back(c);
        } else if std::mem::take(&mut self.input.literal_next) {
            self.restart_by_any();
            self.plain(c, Shown::Typed);
        } else if !self.flow_control(c) && !self.signal(c) {
            self.mapped(c);
        }
    }

    /// ^S and ^Q under IXON (n_tty_receive_char_flow_ctrl).
    fn flow_control(&mut self, c: u8) -> bool {
        if !self.termios.input(IXON) {
            return false;
        }
        if self.is_char(c, VSTART) {
            self.start();
            true
        } else if self.is_char(c, VSTOP) {
            if !self.output.stopped {
                self.output.stopped = true;
                self.effects.flow_changed = true;
            }
            true
        } else {
            false
        }
    }

    fn start(&mut self) {
        if self.output.stopped && !self.output.stopped_by_call {
            self.output.stopped = false;
            self.effects.flow_changed = true;
        }
        self.output.release();
    }

    /// ^C, ^\ and ^Z under ISIG (n_tty_receive_signal_char, isig).
    fn signal(&mut self, c: u8) -> bool {
        if !self.termios.local(ISIG) {
            return false;
        }
        let signal = if self.is_char(c, VINTR) {
            Signal::SIGINT
        } else if self.is_char(c, VQUIT) {
            Signal::SIGQUIT
        } else if self.is_char(c, VSUSP) {
            Signal::SIGTSTP
        } else {
            return false;
        };
        self.effects.signals.push(signal);
        if !self.termios.local(NOFLSH) {
            self.output.flush();
            self.input.flush();
            self.effects.flushed = true;
        }
        if self.termios.input(IXON) {
            self.start();
        }
        if self.termios.local(ECHO) {
            self.output.echo(c, self.termios);
        }
        true
    }

    /// Carriage returns and newlines, then line editing or a plain byte.
    fn mapped(&mut self, mut c: u8) {
        self.restart_by_any();
        let mut shown = Shown::Typed;
        if c == b'\r' {
            if self.termios.input(IGNCR) {
                return;
            }
            if self.termios.input(ICRNL) {
                c = b'\n';
                shown = Shown::Newline;
            }
        } else if c == b'\n' && self.termios.input(INLCR) {
            c = b'\r';
        }
        if !self.termios.local(ICANON) || !self.edit(c) {
            self.plain(c, shown);
        }
    }

    fn restart_by_any(&mut self) {
        if self.termios.input(IXON) && self.termios.input(IXANY) {
            self.start();
        }
    }

    /// Canonical mode: whether `c` was an editing character or the end of a line.
    fn edit(&mut self, c: u8) -> bool {
        let termios = self.termios;
        let extended = termios.local(IEXTEN);
        if self.is_char(c, VERASE) {
            self.erase(Erase::Character);
        } else if self.is_char(c, VKILL) {
            self.kill();
        } else if extended && self.is_char(c, VWERASE) {
            self.erase(Erase::Word);
        } else if extended && self.is_char(c, VLNEXT) {
            self.input.literal_next = true;
            if termios.local(ECHO) {
                self.finish_erasing();
                if termios.local(ECHOCTL) {
                    self.output.echo_raw(b'^', termios);
                    self.output.echo_raw(8, termios);
                }
            }
        } else if extended && termios.local(ECHO) && self.is_char(c, VREPRINT) {
            self.reprint(c);
        } else if c == b'\n' {
            if termios.local(ECHO | ECHONL) {
                self.output.echo_raw(b'\n', termios);
            }
            self.end_line(c);
        } else if self.is_char(c, VEOF) {
            self.end_line(EOF_MARK);
        } else if self.is_char(c, VEOL) || (extended && self.is_char(c, VEOL2)) {
            if termios.local(ECHO) {
                self.echo_typed(c);
            }
            self.double_if_marking(c);
            self.end_line(c);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, c: u8) {
        self.input.ends.push_back(self.input.head());
        self.input.bytes.push_back(c);
        self.input.canon_head = self.input.head();
    }

    fn double_if_marking(&mut self, c: u8) {
        if c == 0xff && self.termios.input(PARMRK) {
            self.input.bytes.push_back(c);
        }
    }

    /// Echoes a typed byte, and remembers where the line began.
    fn echo_typed(&mut self, c: u8) {
        if self.input.canon_head == self.input.head() {
            self.output.set_canon_column();
        }
        self.output.echo(c, self.termios);
    }

    /// A byte without a meaning of its own (n_tty_receive_char).
    fn plain(&mut self, c: u8, shown: Shown) {
        if self.termios.local(ECHO) {
            self.finish_erasing();
            match shown {
                Shown::Newline => self.output.echo_raw(c, self.termios),
                Shown::Typed => self.echo_typed(c),
            }
        }
        self.double_if_marking(c);
        self.input.bytes.push_back(c);
    }

    fn reprint(&mut self, c: u8) {
        self.finish_erasing();
        self.output.echo(c, self.termios);
        self.output.echo_raw(b'\n', self.termios);
        let typed = (self.input.canon_head - self.input.tail) as usize;
        for &byte in self.input.bytes.range(typed.min(self.input.bytes.len())..) {
            self.output.echo(byte, self.termios);
        }
    }

    fn finish_erasing(&mut self) {
        if std::mem::take(&mut self.input.erasing) {
            self.output.echo_raw(b'/', self.termios);
        }
    }

    fn drop_line(&mut self) {
        let complete = (self.input.canon_head - self.input.tail) as usize;
        self.input.bytes.truncate(complete);
    }

    /// VKILL: by erasing all of the line visibly, or by starting a new one.
    fn kill(&mut self) {
        let termios = self.termios;
        if self.input.head() == self.input.canon_head {
            return;
        }
        if !termios.local(ECHO) {
            self.drop_line();
        } else if termios.local(ECHOK) && termios.local(ECHOKE) && termios.local(ECHOE) {
            self.erase(Erase::Line);
        } else {
            self.drop_line();
            self.finish_erasing();
            self.output.echo(termios.c_cc[VKILL], termios);
            if termios.local(ECHOK) {
                self.output.echo_raw(b'\n', termios);
            }
        }
    }

    /// Erases a character, a word or the line (n_tty.c eraser). Characters may be UTF-8 sequences.
    fn erase(&mut self, what: Erase) {
        let termios = self.termios;
        let complete = (self.input.canon_head - self.input.tail) as usize;
        let mut seen_word = false;
        while self.input.bytes.len() > complete {
            let mut start = self.input.bytes.len() - 1;
            while start > complete && is_continuation(self.input.bytes[start], termios) {
                start -= 1;
            }
            let c = self.input.bytes[start];
            if is_continuation(c, termios) {
                break;
            }
            if what == Erase::Word {
                let in_word = c.is_ascii_alphanumeric() || c == b'_' || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
                if in_word {
                    seen_word = true;
                } else if seen_word {
                    break;
                }
            }
            let erased: SmallVec<[u8; 4]> = self.input.bytes.drain(start..).collect();
            if termios.local(ECHO) {
                self.echo_erased(what, c, &erased, complete);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.input.bytes.len() <= complete && termios.local(ECHO) {
            self.finish_erasing();
        }
    }

    fn echo_erased(&mut self, what: Erase, c: u8, erased: &[u8], complete: usize) {
        let termios = self.termios;
        if termios.local(ECHOPRT) {
            if !self.input.erasing {
                self.output.echo_raw(b'\\', termios);
                self.input.erasing = true;
            }
            self.output.echo(c, termios);
            for &byte in erased.iter().skip(1) {
                self.output.echo_raw(byte, termios);
                self.output.move_back_column();
            }
        } else if what == Erase::Character && !termios.local(ECHOE) {
            self.output.echo(termios.c_cc[VERASE], termios);
        } else if c == b'\t' {
            let (columns, after_tab) = self.columns_before(complete);
            self.output.erase_tab(columns, after_tab);
        } else {
            let shown = if !is_control(c) { 1 } else { 2 * usize::from(termios.local(ECHOCTL)) };
            for _ in 0..shown {
                for byte in [8, b' ', 8] {
                    self.output.echo_raw(byte, termios);
                }
            }
        }
    }

    /// Columns that the typed line takes since its last tab, or since its start.
    fn columns_before(&self, complete: usize) -> (usize, bool) {
        let mut columns = 0;
        for &byte in self.input.bytes.range(complete..).rev() {
            if byte == b'\t' {
                return (columns, true);
            } else if is_control(byte) {
                columns += 2 * usize::from(self.termios.local(ECHOCTL));
            } else if !is_continuation(byte, self.termios) {
                columns += 1;
            }
        }
        (columns, false)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

/// How a plain byte is echoed.
#[derive(Clone, Copy)]
enum Shown {
    /// As it is, or as ^X.
    Typed,
    /// A carriage return that became a newline: as a newline, where a typed one shows as ^J in raw mode.
    Newline,
}
