//! Programs as text.

use std::fmt::{self, Display, Formatter, Write};

use abi_linux::layouts::Kind;
use abi_linux::names::{self, Names};
use syscall_table::Ty;

use super::{Bind, Call, Data, Program, Struct, User, Value, table_version};

impl Display for Program {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "# palisade program, table {:08x}", table_version())?;
        if self.user == User::Plain {
            writeln!(out, "user 1000")?;
        }
        for call in &self.calls {
            if call.after_ms > 0 {
                writeln!(out, "+{}ms", call.after_ms)?;
            }
            writeln!(out, "{call}")?;
        }
        Ok(())
    }
}

impl Display for Call {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.thread > 0 {
            write!(out, "t{} ", self.thread)?;
        }
        if let Some(var) = self.result {
            write!(out, "r{var} = ")?;
        }
        write!(out, "{}(", self.row.name)?;
        for (at, (value, arg)) in self.args.iter().zip(self.row.args).enumerate() {
            if at > 0 {
                out.write_str(", ")?;
            }
            print(out, value, Style::of(arg.ty))?;
        }
        out.write_char(')')
    }
}

/// How a number is written.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Signed,
    Unsigned,
    Hex,
    Octal,
    Names(u32, &'static Names),
    DirFd,
}

impl Style {
    pub(super) fn of(ty: Ty) -> Self {
        let set = |bits, set| names::find(set).map_or(Self::Hex, |names| Self::Names(bits, names));
        match ty {
            Ty::Int | Ty::Pid | Ty::Fd | Ty::FdOf(_) | Ty::Id(_) | Ty::Uid | Ty::Gid => Self::Signed,
            Ty::Long | Ty::Off => Self::Signed,
            Ty::Uint | Ty::Ulong | Ty::Size => Self::Unsigned,
            Ty::Octal => Self::Octal,
            Ty::DirFd => Self::DirFd,
            Ty::Signal => set(32, "SIGNAL"),
            Ty::Flags(name) | Ty::Enum(name) => set(32, name),
            Ty::LongFlags(name) => set(64, name),
            _ => Self::Hex,
        }
    }

    pub(super) fn of_field(kind: &Kind) -> Self {
        let bits = |width: u8| u32::from(width) * 8;
        match *kind {
            Kind::Int(_) => Self::Signed,
            Kind::Fd(_) | Kind::Id(_) => Self::Signed,
            Kind::Uint(_) | Kind::Port => Self::Unsigned,
            Kind::Octal(_) => Self::Octal,
            Kind::Flags(width, set) | Kind::Enum(width, set) => {
                names::find(set).map_or(Self::Hex, |names| Self::Names(bits(width), names))
            }
            _ => Self::Hex,
        }
    }
}

fn print(out: &mut Formatter<'_>, value: &Value, style: Style) -> fmt::Result {
    match value {
        Value::Num(number) => number_as(out, *number, style),
        Value::Var(var) => write!(out, "r{var}"),
        Value::Data(data) => {
            out.write_char('&')?;
            print_data(out, data)
        }
        Value::Pages(at) => write!(out, "pages+{at:#x}"),
        Value::Bad => out.write_str("bad"),
        Value::Handler => out.write_str("handler"),
        Value::Port(number) => write!(out, "port{number}"),
        Value::Text(text) => quoted(out, text),
    }
}

fn print_data(out: &mut Formatter<'_>, data: &Data) -> fmt::Result {
    match data {
        Data::Text(text) => quoted(out, text),
        Data::Bytes(bytes) => {
            out.write_char('b')?;
            quoted(out, bytes)
        }
        Data::Out { len, binds } => {
            write!(out, "out[{len}")?;
            for Bind { var, offset } in binds {
                write!(out, " r{var}@{offset}")?;
            }
            out.write_char(']')
        }
        Data::Struct(one) => structure(out, one),
        Data::Array(all) => {
            out.write_char('[')?;
            for (at, one) in all.iter().enumerate() {
                out.write_str(if at > 0 { ", " } else { "" })?;
                structure(out, one)?;
            }
            out.write_char(']')
        }
    }
}

fn structure(out: &mut Formatter<'_>, one: &Struct) -> fmt::Result {
    write!(out, "{}{{", one.layout.name)?;
    for (at, (place, value)) in one.fields.iter().enumerate() {
        out.write_str(if at > 0 { ", " } else { "" })?;
        let Some(field) = one.layout.fields.get(*place) else { continue };
        if field.name.is_empty() {
            write!(out, "{place}: ")?;
        } else {
            write!(out, "{}: ", field.name)?;
        }
        print(out, value, Style::of_field(&field.kind))?;
    }
    out.write_char('}')
}

fn number_as(out: &mut Formatter<'_>, number: u64, style: Style) -> fmt::Result {
    match style {
        Style::DirFd if number as i32 == -100 && number == -100i64 as u64 => out.write_str("AT_FDCWD"),
        Style::Signed | Style::DirFd if (number as i64) < 0 && (number as i64) > -0x1_0000_0000 => {
            write!(out, "{}", number as i64)
        }
        Style::Signed | Style::DirFd | Style::Unsigned => write!(out, "{number}"),
        Style::Hex => write!(out, "{number:#x}"),
        Style::Octal => write!(out, "0{number:o}"),
        Style::Names(bits, names) => flags(out, number, bits, names),
    }
}

/// Names with `|`, what has none in hexadecimal.
fn flags(out: &mut Formatter<'_>, number: u64, bits: u32, names: &Names) -> fmt::Result {
    let low = if bits == 64 { number } else { number & ((1 << bits) - 1) };
    let mut parts: Vec<&str> = names.name_of(low).filter(|_| names.field != 0).into_iter().collect();
    let mut rest = if parts.is_empty() { number } else { number & !names.field };
    for &(name, value) in names.bits {
        if value != 0 && rest & value == value {
            parts.push(name);
            rest &= !value;
        }
    }
    // The name of 0 is said only when nothing else is.
    if parts.len() > 1 && names.field != 0 && names.value_of(parts[0]) == Some(0) && !names.values.is_empty()
    {
        parts.remove(0);
    }
    let named = parts.join("|");
    match (named.is_empty(), rest) {
        (true, rest) => write!(out, "{rest:#x}"),
        (false, 0) => out.write_str(&named),
        (false, rest) => write!(out, "{named}|{rest:#x}"),
    }
}

fn quoted(out: &mut Formatter<'_>, text: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for &byte in text {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte))?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.write_char('"')
}
