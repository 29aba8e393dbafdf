//! Structures, by the layouts of abi-linux.

use std::fmt::Write;

use abi_linux::layouts::{self, Field, Kind, Layout};

use super::Printer;

/// No layout is larger; one that were would be printed as an address.
const LARGEST: usize = 512;
/// Structures in structures in structures: no layout goes deeper.
const DEPTH: u8 = 3;

impl Printer<'_> {
    /// The structure of that name at an address.
    pub(super) fn structure(&mut self, name: &str, address: u64) {
        match layouts::find(name) {
            Some(layout) if address != 0 => self.laid_out(layout, address),
            _ => self.address(address),
        }
    }

    pub(super) fn laid_out(&mut self, layout: &Layout, address: u64) {
        let mut buffer = [0; LARGEST];
        let Some(bytes) = buffer.get_mut(..layout.size) else { return self.address(address) };
        if self.read(address, bytes).len() < layout.size {
            return self.address(address);
        }
        let bytes = buffer.get(..layout.size).unwrap_or(&[]);
        self.fields(layout, bytes, DEPTH);
    }

    /// `{a=1, b=2}`; `[5]` for a bare value, which stands for what a pointer to it would show.
    fn fields(&mut self, layout: &Layout, bytes: &[u8], depth: u8) {
        let bare = layout.fields.first().is_some_and(|field| field.name.is_empty());
        let lists_itself = matches!(layout.fields, [Field { kind: Kind::Signals, .. }]);
        let (open, close) = match (bare, lists_itself) {
            (_, true) => ("", ""),
            (true, false) => ("[", "]"),
            (false, false) => ("{", "}"),
        };
        self.out.push_str(open);
        for (at, field) in layout.fields.iter().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            if !field.name.is_empty() {
                self.out.push_str(field.name);
                self.out.push('=');
            }
            self.field(&field.kind, bytes.get(field.offset..).unwrap_or(&[]), depth);
        }
        self.out.push_str(close);
    }

    fn field(&mut self, kind: &Kind, bytes: &[u8], depth: u8) {
        let _ = match *kind {
            Kind::Fd(_) | Kind::Id(_) => write!(self.out, "{}", unsigned(bytes, 4) as i32),
            Kind::Port => write!(self.out, "{}", (unsigned(bytes, 2) as u16).swap_bytes()),
            Kind::Bytes | Kind::Array(_) | Kind::Sockaddr => return self.hex(unsigned(bytes, 8)),
            Kind::Int(width) => write!(self.out, "{}", signed(bytes, width)),
            Kind::Uint(width) => write!(self.out, "{}", unsigned(bytes, width)),
            Kind::Octal(width) => write!(self.out, "0{:o}", unsigned(bytes, width)),
            Kind::Hex(width) => return self.hex(unsigned(bytes, width)),
            Kind::Flags(width, set) | Kind::Enum(width, set) => {
                return self.named(set, unsigned(bytes, width));
            }
            Kind::Limit if unsigned(bytes, 8) == u64::MAX => write!(self.out, "RLIM64_INFINITY"),
            Kind::Limit => write!(self.out, "{}", unsigned(bytes, 8)),
            Kind::Signals => return self.signal_set(unsigned(bytes, 8)),
            Kind::Text(len) => {
                let text = bytes.get(..usize::from(len)).unwrap_or(bytes);
                let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
                return self.quoted(text.get(..end).unwrap_or(text), false);
            }
            Kind::WaitStatus => return self.wait_status(unsigned(bytes, 4) as u32),
            Kind::Struct(layout) if depth > 0 => return self.fields(layout, bytes, depth - 1),
            Kind::Struct(_) => write!(self.out, "..."),
        };
    }

    /// `[INT CHLD]`, and `~[KILL]` when most signals are set.
    fn signal_set(&mut self, set: u64) {
        let inverted = set.count_ones() > 32;
        let shown = if inverted { !set } else { set };
        self.out.push_str(if inverted { "~[" } else { "[" });
        let mut first = true;
        for number in (1..=64u32).filter(|number| shown >> (number - 1) & 1 == 1) {
            if !first {
                self.out.push(' ');
            }
            first = false;
            let start = self.out.len();
            self.signal(number);
            if self.out.get(start..start + 3) == Some("SIG") {
                self.out.replace_range(start..start + 3, "");
            }
        }
        self.out.push(']');
    }

    /// wait(2)'s macros. Linux include/uapi/linux/wait.h and bits/waitstatus.h.
    fn wait_status(&mut self, status: u32) {
        let (signal, code) = (status & 0x7f, (status >> 8) & 0xff);
        if status == 0xffff {
            self.out.push_str("{WIFCONTINUED(s)}");
        } else if signal == 0 {
            let _ = write!(self.out, "{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}");
        } else if signal == 0x7f {
            self.out.push_str("{WIFSTOPPED(s) && WSTOPSIG(s) == ");
            self.signal(code);
            self.out.push('}');
        } else {
            self.out.push_str("{WIFSIGNALED(s) && WTERMSIG(s) == ");
            self.signal(signal);
            self.out.push_str(if status & 0x80 != 0 { " && WCOREDUMP(s)}" } else { "}" });
        }
    }
}

/// The first `width` bytes, little-endian; missing ones are 0.
fn unsigned(bytes: &[u8], width: u8) -> u64 {
    let mut whole = [0; 8];
    for (to, from) in whole.iter_mut().zip(bytes).take(usize::from(width)) {
        *to = *from;
    }
    u64::from_le_bytes(whole)
}

fn signed(bytes: &[u8], width: u8) -> i64 {
    let value = unsigned(bytes, width);
    match width {
        1 => i64::from(value as i8),
        2 => i64::from(value as i16),
        4 => i64::from(value as i32),
        _ => value as i64,
    }
}
