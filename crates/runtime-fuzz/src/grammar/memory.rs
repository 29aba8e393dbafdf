//! What pointers lead to: text, buffers, structures and lists of them.

use abi_linux::layouts::{self, Kind, Layout};
use syscall_table::{Syscall, Ty};

use super::Generator;
use super::generate::Made;
use super::values::{PATHS, SIGNALS};
use crate::exec::layout_of;
use crate::program::{Data, Struct, Value};

const NAMES: [&str; 12] = [
    "user.a",
    "user.b",
    "user.c",
    "trusted.a",
    "security.a",
    "user.",
    "",
    "system.posix_acl_access",
    "a",
    "b",
    "/q",
    "nothing",
];
const QUEUES: [&str; 6] = ["q", "q", "p", "", "a/b", ".."];
const BUFFERS: [u32; 9] = [0, 1, 4, 8, 16, 64, 128, 256, 4096];
const WRITTEN: [&[u8]; 8] =
    [b"", b"x", b"hello", b"0123456789", &[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0], &[0xff; 8], &[b'z'; 300]];
/// Seconds and nanoseconds: mostly what is over soon, or never in a program's life.
const TIMES: [(u64, u64); 8] = [
    (0, 0),
    (0, 1_000_000),
    (0, 5_000_000),
    (3600, 0),
    (0, 1),
    (u64::MAX, 0),
    (0, 1_000_000_000),
    (0, u64::MAX),
];

impl Generator<'_> {
    pub(super) fn memory(&mut self, row: &Syscall, at: usize, ty: Ty, made: &Made) -> Value {
        let data = match ty {
            Ty::Path if row.name.starts_with("mq_") => Data::Text(self.one(&QUEUES)),
            Ty::Path => Data::Text(self.path()),
            Ty::Str => Data::Text(self.one(&NAMES)),
            Ty::Out(_) => {
                let len = layout_of(ty).map_or(8, |layout| layout.size as u32);
                Data::Out { len, binds: Vec::new() }
            }
            Ty::In(name) | Ty::InOut(name) | Ty::PtrTo(name) => return self.structure_value(name, made),
            Ty::ArrayIn(name, _) | Ty::ArrayInOut(name, _) => self.array(name, made),
            Ty::ArrayOut(..) => {
                let size = layout_of(ty).map_or(8, |layout| layout.size as u32);
                Data::Out { len: size * (1 + self.random.below(4) as u32), binds: Vec::new() }
            }
            Ty::BytesIn(_) if row.name == "setsockopt" => self.option(),
            Ty::BytesIn(_) => Data::Bytes(self.bytes()),
            Ty::BytesOut(_) | Ty::Ptr => self.room(),
            Ty::IovecIn(_) | Ty::IovecOut(_) => self.vectors(matches!(ty, Ty::IovecIn(_)), made),
            Ty::FdSet(_) => Data::Bytes(vec![
                self.random.bits() as u8 & 0xf8,
                self.random.bits() as u8 & 0x3,
                0,
                0,
                0,
                0,
                0,
                0,
            ]),
            Ty::SockaddrIn(_) => return Value::Data(self.socket_address(made)),
            Ty::SockaddrOut(_) => Data::Out { len: 110, binds: Vec::new() },
            Ty::Argv => return Value::Num(0),
            _ => return self.argument_number(at),
        };
        Value::Data(data)
    }

    fn argument_number(&mut self, _at: usize) -> Value {
        Value::Num(self.number())
    }

    fn one(&mut self, all: &[&str]) -> Vec<u8> {
        self.random.pick(all).map_or(Vec::new(), |text| text.as_bytes().to_vec())
    }

    fn path(&mut self) -> Vec<u8> {
        match self.random.below(60) {
            0 => vec![b'n'; 255],
            1 => vec![b'n'; 256],
            2 => b"x/".repeat(2100),
            // The names that programs use most.
            3..=40 => self.one(PATHS.get(..6).unwrap_or(&PATHS)),
            _ => self.one(&PATHS),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.random.pick(&WRITTEN).map_or(Vec::new(), |bytes| bytes.to_vec())
    }

    fn option(&mut self) -> Data {
        let number = self.pick(&[0, 1, 1, 2, 100, 4096, 1 << 20, u64::MAX]);
        let mut bytes = (number as u32).to_le_bytes().to_vec();
        if self.random.one_in(4) {
            bytes.resize(16, 0);
        }
        Data::Bytes(bytes)
    }

    fn room(&mut self) -> Data {
        let len = self.random.pick(&BUFFERS).copied().unwrap_or(8);
        Data::Out { len, binds: Vec::new() }
    }

    fn array(&mut self, name: &str, made: &Made) -> Data {
        let Some(layout) = layouts::find(name) else { return self.room() };
        let count = 1 + self.random.below(3);
        Data::Array((0..count).map(|_| self.structure(layout, made)).collect())
    }

    fn vectors(&mut self, is_in: bool, _made: &Made) -> Data {
        let Some(layout) = layouts::find("iovec") else { return self.room() };
        let count = 1 + self.random.below(3);
        Data::Array((0..count).map(|_| self.vector(layout, is_in)).collect())
    }

    fn vector(&mut self, layout: &'static Layout, is_in: bool) -> Struct {
        let data = if is_in { Data::Bytes(self.bytes()) } else { self.room() };
        let len = match &data {
            Data::Bytes(bytes) => bytes.len() as u64,
            Data::Out { len, .. } => u64::from(*len),
            _ => 0,
        };
        let base = if self.random.one_in(50) { Value::Bad } else { Value::Data(data) };
        Struct { layout, fields: vec![(0, base), (1, Value::Num(len))] }
    }

    pub(super) fn structure_value(&mut self, name: &str, made: &Made) -> Value {
        match layouts::find(name) {
            Some(layout) => Value::Data(Data::Struct(self.structure(layout, made))),
            None => Value::Data(self.room()),
        }
    }

    fn structure(&mut self, layout: &'static Layout, made: &Made) -> Struct {
        if let "timespec" | "timeval" = layout.name {
            let (seconds, rest) = self.random.pick(&TIMES).copied().unwrap_or_default();
            let rest = if layout.name == "timeval" && rest < 1 << 40 { rest / 1000 } else { rest };
            return Struct { layout, fields: vec![(0, Value::Num(seconds)), (1, Value::Num(rest))] };
        }
        let mut fields = Vec::new();
        let mut length = None;
        for (at, field) in layout.fields.iter().enumerate() {
            let value = match length.take() {
                Some(length) => Value::Num(length),
                None => self.field(layout, &field.kind, made),
            };
            length = counted(&field.kind, &value);
            if field.name == "sa_restorer" {
                continue;
            }
            let value = match field.name {
                "sa_handler" => self.action(),
                "uid" | "gid" => Value::Num(self.pick(&[0, 1000, 1, 65534])),
                "sem_num" => Value::Num(self.pick(&[0, 0, 1, 2, 7])),
                "sem_op" => Value::Num(self.pick(&[1, 1, 0, 2, 0xffff, 0xfffe])),
                _ => value,
            };
            fields.push((at, value));
        }
        Struct { layout, fields }
    }

    fn action(&mut self) -> Value {
        match self.random.below(4) {
            0 => Value::Num(0),
            1 => Value::Num(1),
            _ => Value::Handler,
        }
    }

    fn field(&mut self, layout: &Layout, kind: &Kind, made: &Made) -> Value {
        match kind {
            Kind::Flags(_, set) => Value::Num(self.flags(set)),
            Kind::Enum(_, "SIGNAL") => Value::Num(self.pick(&SIGNALS)),
            Kind::Enum(_, set) => Value::Num(self.one_of(set)),
            Kind::Octal(_) => Value::Num(self.pick(&[0, 0o600, 0o644, 0o777])),
            Kind::Signals => Value::Num(self.pick(&[0, 0x200, 0x800, 0xa00, 0x2000, u64::MAX])),
            Kind::Fd(_) => self.descriptor(Ty::Fd, made),
            Kind::Port => Value::Port(self.random.below(3) as u8),
            Kind::Text(_) => Value::Text(self.bytes()),
            Kind::Struct(inner) => Value::Data(Data::Struct(self.structure(inner, made))),
            Kind::Bytes if layout.name == "msghdr" && self.random.below(4) < 3 => Value::Num(0),
            Kind::Bytes => {
                Value::Data(if self.random.one_in(2) { self.room() } else { Data::Bytes(self.bytes()) })
            }
            Kind::Array(layout) if layout.name == "iovec" => Value::Data(self.vectors(true, made)),
            Kind::Array(layout) => Value::Data(self.array(layout.name, made)),
            Kind::Sockaddr if self.random.one_in(2) => Value::Num(0),
            Kind::Sockaddr => Value::Data(self.socket_address(made)),
            Kind::Limit => Value::Num(self.pick(&[0, 10, 100, 256, 4096, 1 << 20, u64::MAX])),
            _ => Value::Num(self.number()),
        }
    }

    fn socket_address(&mut self, _made: &Made) -> Data {
        let find = |name| layouts::find(name);
        let named = |layout: &'static Layout, values: Vec<Value>| {
            Data::Struct(Struct { layout, fields: values.into_iter().enumerate().collect() })
        };
        let port = Value::Port(self.random.below(3) as u8);
        match self.random.below(8) {
            0..=2 => {
                let path = self
                    .random
                    .pick(&["u", "v", "a", "d/u", "\0x", "\0y", ""])
                    .map_or(Vec::new(), |p| p.as_bytes().to_vec());
                find("sockaddr_un").map(|layout| named(layout, vec![Value::Num(1), Value::Text(path)]))
            }
            3..=5 => {
                // In memory as the network has it.
                let host = self.pick(&[0x0100_007f, 0x0100_007f, 0, 0x0200_007f]);
                find("sockaddr_in").map(|layout| named(layout, vec![Value::Num(2), port, Value::Num(host)]))
            }
            6 => {
                let low = self.pick(&[1 << 56, 0]);
                let values =
                    vec![Value::Num(10), port, Value::Num(0), Value::Num(0), Value::Num(low), Value::Num(0)];
                find("sockaddr_in6").map(|layout| named(layout, values))
            }
            _ => None,
        }
        .unwrap_or_else(|| Data::Bytes(self.bytes()))
    }
}

/// What the field behind this one is to say.
fn counted(kind: &Kind, value: &Value) -> Option<u64> {
    if !matches!(kind, Kind::Bytes | Kind::Array(_) | Kind::Sockaddr) {
        return None;
    }
    Some(match value {
        Value::Data(Data::Bytes(bytes)) => bytes.len() as u64,
        Value::Data(Data::Out { len, .. }) => u64::from(*len),
        Value::Data(Data::Array(all)) => all.len() as u64,
        Value::Data(Data::Struct(one)) => one.layout.size as u64,
        _ => 0,
    })
}
