//! Programs as executors take them: registers, bytes at addresses, and what is filled in while they run.

use abi_linux::layouts::{self, Field, Kind, Layout};
use syscall_table::{Len, Ty};

use crate::program::{Call, Data, Program, Struct, User, Value, Var};

/// Where a program's memory lies.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Memory for arguments: [`DATA_LEN`] bytes.
    pub data: u64,
    /// Pages that calls may map and unmap.
    pub pages: u64,
    /// Nothing is there.
    pub bad: u64,
}

/// Where executors that are processes have it.
pub const SPACE: Space = Space { data: 0x2000_0000, pages: 0x3000_0000, bad: 0x4000_0000 };
/// Bytes at [`Space::data`].
pub const DATA_LEN: u64 = 1 << 20;
/// Bytes at [`Space::pages`].
pub const PAGES_LEN: u64 = 1 << 16;
/// What lies behind each piece of memory, to show what is written too far.
const GUARD: u64 = 16;
/// What memory holds that a call is to fill.
pub const FILL: u8 = 0x5a;
const SA_RESTORER: u64 = 0x0400_0000;

/// A program, ready to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exec {
    /// Who makes the calls.
    pub user: User,
    /// The calls.
    pub calls: Vec<ExecCall>,
}

/// A call, ready to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecCall {
    /// Its thread.
    pub thread: u8,
    /// Milliseconds before it.
    pub after_ms: u32,
    /// Its number.
    pub nr: u32,
    /// Its registers.
    pub args: [Word; 6],
    /// What is put into memory before it.
    pub copy_in: Vec<(u64, Vec<u8>)>,
    /// What is filled in there.
    pub patches: Vec<Patch>,
    /// The name of its result.
    pub result: Option<Var>,
    /// What it wrote, by address, that has a name.
    pub binds: Vec<(u64, Var)>,
    /// The memory that it was given.
    pub regions: Vec<Region>,
}

/// A number that may be known only when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Known.
    Known(u64),
    /// A result.
    Var(Var),
    /// Address of the signal handler.
    Handler,
    /// Address of what a signal handler returns to.
    Restorer,
    /// A port of this run, in network order.
    Port(u8),
}

impl Default for Word {
    fn default() -> Self {
        Self::Known(0)
    }
}

/// A number in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub addr: u64,
    /// Bytes of it.
    pub width: u8,
    /// What.
    pub word: Word,
}

/// Memory that a call was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where.
    pub addr: u64,
    /// Bytes, those of the guard included.
    pub len: u32,
    /// The argument.
    pub arg: u8,
}

/// Makes a program ready to run in such a space.
pub fn compile(program: &Program, space: Space) -> Exec {
    let mut memory = Memory { space, next: space.data };
    let calls = program.calls.iter().map(|call| memory.call(call)).collect();
    Exec { user: program.user, calls }
}

struct Memory {
    space: Space,
    next: u64,
}

impl Memory {
    fn call(&mut self, call: &Call) -> ExecCall {
        let mut out = ExecCall {
            thread: call.thread,
            after_ms: call.after_ms,
            nr: call.row.nr,
            result: call.result,
            ..ExecCall::default()
        };
        for (at, value) in call.args.iter().take(6).enumerate() {
            out.args[at] = self.word(value, at as u8, &mut out);
        }
        out
    }

    fn word(&mut self, value: &Value, arg: u8, out: &mut ExecCall) -> Word {
        match value {
            Value::Num(number) => Word::Known(*number),
            Value::Var(var) => Word::Var(*var),
            Value::Data(data) => Word::Known(self.data(data, arg, out)),
            Value::Pages(at) => Word::Known(self.space.pages + at),
            Value::Bad => Word::Known(self.space.bad),
            Value::Handler => Word::Handler,
            Value::Port(number) => Word::Port(*number),
            Value::Text(_) => Word::Known(0),
        }
    }

    /// Takes a piece of memory; when there is none left, one that is not mapped.
    fn room(&mut self, len: u64) -> u64 {
        let whole = (len + GUARD + 15) & !15;
        if self.next + whole > self.space.data + DATA_LEN {
            return self.space.bad;
        }
        self.next += whole;
        self.next - whole
    }

    fn data(&mut self, data: &Data, arg: u8, out: &mut ExecCall) -> u64 {
        let mut bytes = match data {
            Data::Text(text) => [text.as_slice(), &[0]].concat(),
            Data::Bytes(bytes) => bytes.clone(),
            Data::Out { len, .. } => vec![FILL; *len as usize],
            Data::Struct(one) => vec![0; one.layout.size],
            Data::Array(all) => vec![0; all.iter().map(|one| one.layout.size).sum()],
        };
        let addr = self.room(bytes.len() as u64);
        if addr == self.space.bad {
            return addr;
        }
        out.regions.push(Region { addr, len: (bytes.len() as u64 + GUARD) as u32, arg });
        match data {
            Data::Struct(one) => self.structure(one, &mut bytes, addr, arg, out),
            Data::Array(all) => {
                let mut at = 0;
                for one in all {
                    let part = &mut bytes[at..at + one.layout.size];
                    self.structure(one, part, addr + at as u64, arg, out);
                    at += one.layout.size;
                }
            }
            Data::Out { binds, .. } => {
                out.binds.extend(binds.iter().map(|bind| (addr + u64::from(bind.offset), bind.var)));
            }
            Data::Text(_) | Data::Bytes(_) => {}
        }
        bytes.extend_from_slice(&[FILL; GUARD as usize]);
        out.copy_in.push((addr, bytes));
        addr
    }

    fn structure(&mut self, one: &Struct, bytes: &mut [u8], addr: u64, arg: u8, out: &mut ExecCall) {
        let mut handled = false;
        for (place, value) in &one.fields {
            let Some(Field { offset, kind, .. }) = one.layout.fields.get(*place) else { continue };
            let width = width(kind);
            let Some(room) = bytes.get_mut(*offset..*offset + width) else { continue };
            if let Value::Text(text) = value {
                let len = text.len().min(room.len());
                room[..len].copy_from_slice(&text[..len]);
                continue;
            }
            if let (Kind::Struct(_), Value::Data(Data::Struct(inner))) = (kind, value) {
                self.structure(inner, room, addr + *offset as u64, arg, out);
                continue;
            }
            handled |= *value == Value::Handler;
            let word = self.word(value, arg, out);
            let width = width.min(8);
            match word {
                Word::Known(number) => {
                    let number = if matches!(kind, Kind::Port) {
                        u64::from((number as u16).swap_bytes())
                    } else {
                        number
                    };
                    room[..width].copy_from_slice(&number.to_le_bytes()[..width]);
                }
                word => out.patches.push(Patch { addr: addr + *offset as u64, width: width as u8, word }),
            }
        }
        if handled && one.layout.name == "sigaction" {
            // What libc adds by itself: without it, a handler returns to nowhere.
            bytes[8..16].iter_mut().zip(SA_RESTORER.to_le_bytes()).for_each(|(byte, bit)| *byte |= bit);
            out.patches.push(Patch { addr: addr + 16, width: 8, word: Word::Restorer });
        }
    }
}

/// Bytes of a field.
pub fn width(kind: &Kind) -> usize {
    match kind {
        Kind::Int(width) | Kind::Uint(width) | Kind::Hex(width) | Kind::Octal(width) => usize::from(*width),
        Kind::Flags(width, _) | Kind::Enum(width, _) => usize::from(*width),
        Kind::Limit | Kind::Signals | Kind::Bytes | Kind::Array(_) | Kind::Sockaddr => 8,
        Kind::WaitStatus | Kind::Fd(_) | Kind::Id(_) => 4,
        Kind::Port => 2,
        Kind::Text(len) => usize::from(*len),
        Kind::Struct(layout) => layout.size,
    }
}

/// The structure behind an argument of this type.
pub fn layout_of(ty: Ty) -> Option<&'static Layout> {
    match ty {
        Ty::In(name) | Ty::Out(name) | Ty::InOut(name) | Ty::PtrTo(name) => layouts::find(name),
        Ty::ArrayIn(name, _) | Ty::ArrayOut(name, _) | Ty::ArrayInOut(name, _) => layouts::find(name),
        _ => None,
    }
}

/// The argument that says how much there is behind an argument of this type.
pub fn length_of(ty: Ty) -> Option<u8> {
    match ty {
        Ty::BytesIn(at) | Ty::BytesOut(at) | Ty::IovecIn(at) | Ty::IovecOut(at) => Some(at),
        Ty::SockaddrIn(at) | Ty::SockaddrOut(at) | Ty::FdSet(at) => Some(at),
        Ty::ArrayIn(_, Len::Arg(at)) | Ty::ArrayOut(_, Len::Arg(at)) | Ty::ArrayInOut(_, Len::Arg(at)) => {
            Some(at)
        }
        _ => None,
    }
}
