//! Values of arguments that are worth trying.

use abi_linux::names::{self, Names};
use syscall_table::{Syscall, Ty};

use super::generate::Made;
use super::{Generator, Resource};
use crate::exec::length_of;
use crate::program::{Call, Data, Value};

pub(super) const PATHS: [&str; 22] = [
    "a",
    "b",
    "c",
    "d",
    "d/a",
    "d/b",
    "e/f",
    "./a",
    "a/",
    "d/",
    ".",
    "..",
    "",
    "d/../a",
    "a/b",
    "s",
    "l",
    "/w/d/a",
    "/dev/null",
    "/dev/zero",
    "/proc/self/fd",
    "missing/x",
];
const MODES: [u64; 9] = [0o600, 0o644, 0o777, 0o755, 0o000, 0o400, 0o1777, 0o4755, 0o2755];
const SMALL: [u64; 14] = [0, 1, 2, 3, 4, 7, 8, 10, 16, 64, 100, 4095, 4096, 5000];
const EDGES: [u64; 8] = [
    u64::MAX,
    u64::MAX - 1,
    i64::MAX as u64,
    i32::MAX as u64,
    1 << 31,
    1 << 32,
    u32::MAX as u64,
    i64::MIN as u64,
];
pub(super) const SIGNALS: [u64; 14] = [10, 12, 17, 14, 13, 18, 28, 23, 10, 12, 0, 34, 64, 65];
const USERS: [u64; 6] = [0, 1000, 1, 65534, u64::MAX, 1000];
const TIMEOUTS: [u64; 6] = [0, 0, 1, 5, 0, u64::MAX];

impl Generator<'_> {
    /// The value of an argument, those before it known.
    pub(super) fn argument(
        &mut self,
        row: &'static Syscall,
        at: usize,
        before: &[Value],
        made: &Made,
    ) -> Value {
        let Some(arg) = row.args.get(at) else { return Value::Num(0) };
        if arg.ty.is_pointer() && !matches!(arg.ty, Ty::Addr | Ty::Hidden) {
            match self.random.below(60) {
                0 => return Value::Num(0),
                1 => return Value::Bad,
                _ => {}
            }
        }
        match arg.ty {
            Ty::Fd | Ty::FdOf(_) => self.descriptor(arg.ty, made),
            Ty::DirFd if self.random.below(10) < 7 => Value::Num(-100i64 as u64),
            Ty::DirFd => self.descriptor(arg.ty, made),
            Ty::Id(_) | Ty::Pid => self.id(arg.ty, made),
            Ty::Addr => self.address(arg.ty, made),
            Ty::Flags(set) | Ty::LongFlags(set) => Value::Num(self.flags(set)),
            Ty::Enum(set) => Value::Num(self.one_of(set)),
            Ty::Octal => Value::Num(self.pick(&MODES)),
            Ty::Signal => Value::Num(self.pick(&SIGNALS)),
            Ty::Uid | Ty::Gid => Value::Num(self.pick(&USERS)),
            Ty::Dev => Value::Num(self.pick(&[0, 0x103, 0x105])),
            Ty::Hidden => Value::Num(0),
            Ty::Int if arg.name == "timeout" => Value::Num(self.pick(&TIMEOUTS)),
            Ty::Int if arg.name == "protocol" => {
                let other = if self.random.one_in(8) { self.pick(&[1, 6, 17, 58, 255]) } else { 0 };
                Value::Num(other)
            }
            Ty::Int if row.name == "semctl" && arg.name == "op" => {
                Value::Num(self.pick(&[0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19]))
            }
            Ty::Int if arg.name == "nsems" => Value::Num(self.pick(&[1, 2, 4, 0, 32001])),
            Ty::Int if arg.name == "semnum" || arg.name == "backlog" => Value::Num(self.pick(&[0, 0, 1, 5])),
            Ty::Int | Ty::Uint | Ty::Long | Ty::Ulong | Ty::Size | Ty::Off | Ty::Hex | Ty::Hex32 => {
                Value::Num(self.number())
            }
            Ty::ByFcntl(op) => self.fcntl_argument(before.get(usize::from(op)), made),
            Ty::ByIoctl(_) => self.ioctl_argument(),
            ty => self.memory(row, at, ty, made),
        }
    }

    pub(super) fn pick(&mut self, all: &[u64]) -> u64 {
        self.random.pick(all).copied().unwrap_or(0)
    }

    /// A number: mostly small.
    pub(super) fn number(&mut self) -> u64 {
        match self.random.below(20) {
            0 => self.pick(&EDGES),
            1 => 1 << self.random.below(40),
            _ => self.pick(&SMALL),
        }
    }

    fn made(&mut self, wanted: Resource, made: &Made) -> Option<Value> {
        let fitting: Vec<_> = made.iter().filter(|(resource, _)| resource.fits(wanted)).collect();
        // What was made last is what calls are most often about.
        if let Some((_, var)) = fitting.last().filter(|_| self.random.one_in(2)) {
            return Some(Value::Var(*var));
        }
        self.random.pick(&fitting).map(|(_, var)| Value::Var(*var))
    }

    pub(super) fn descriptor(&mut self, ty: Ty, made: &Made) -> Value {
        let wanted = Resource::wanted(ty).unwrap_or(Resource::Fd(""));
        match self.random.below(40) {
            0 => Value::Num(u64::MAX),
            1 => Value::Num(self.pick(&[0, 1, 2, 3, 99, 300, 1000])),
            2 | 3 => self.made(Resource::Fd(""), made).unwrap_or(Value::Num(0)),
            _ => {
                self.made(wanted, made).or_else(|| self.made(Resource::Fd(""), made)).unwrap_or(Value::Num(0))
            }
        }
    }

    fn id(&mut self, ty: Ty, made: &Made) -> Value {
        let wanted = Resource::wanted(ty).unwrap_or(Resource::Pid);
        match (ty, self.random.below(12)) {
            (Ty::Id("key"), _) => Value::Num(self.pick(&[0, 0, 1, 2])),
            (Ty::Pid, 0..=5) => Value::Num(0),
            (_, 0) => Value::Num(self.pick(&[u64::MAX, 0, 1 << 20, 9999])),
            _ => self.made(wanted, made).unwrap_or(Value::Num(0)),
        }
    }

    fn address(&mut self, ty: Ty, made: &Made) -> Value {
        match self.random.below(10) {
            0 => Value::Num(0),
            1 => Value::Bad,
            2 | 3 => {
                self.made(Resource::wanted(ty).unwrap_or(Resource::Mapping), made).unwrap_or(Value::Num(0))
            }
            4 => Value::Pages(self.random.below(0x8000) as u64),
            _ => Value::Pages(self.random.below(8) as u64 * 0x1000),
        }
    }

    pub(super) fn flags(&mut self, set: &str) -> u64 {
        let Some(names) = names::find(set) else { return 0 };
        if set == "SOCK" && !self.random.one_in(12) {
            return self.pick(&[1, 1, 2, 2, 5, 3]) | self.pick(&[0o4000, 0o4000, 0o4000, 0, 0o2_004_000]);
        }
        let mut word = if names.field == 0 { 0 } else { self.value_of(names) };
        for _ in 0..self.random.below(3) {
            word |= self.random.pick(names.bits).map_or(0, |(_, bit)| *bit);
        }
        // What makes descriptors that do not wait, and files that exist.
        word |= match set {
            "OPEN" => self.pick(&[0o100, 0o100, 0o102, 0o102, 0o2 | 0o4000, 0o4000, 0]),
            "SOCK" | "PIPE" | "EFD" | "TFD" | "SFD" | "IN_INIT" | "SOCK_FLAGS" => {
                self.pick(&[0o4000, 0o4000, 0])
            }
            "MSG" => self.pick(&[0x40, 0x40, 0]),
            "IPC" => self.pick(&[0o1600, 0o1666, 0o4000, 0o1400, 0o5000]),
            "IN" => self.pick(&[0xfff, 0]),
            _ => 0,
        };
        if self.random.one_in(40) { word | 1 << self.random.below(34) } else { word }
    }

    fn value_of(&mut self, names: &Names) -> u64 {
        self.random.pick(names.values).map_or(0, |(_, value)| *value)
    }

    pub(super) fn one_of(&mut self, set: &str) -> u64 {
        let Some(names) = names::find(set).filter(|_| !self.random.one_in(40)) else { return self.number() };
        match set {
            "AF" => self.pick(&[1, 1, 2, 2, 10, 16]),
            "SOL" => self.pick(&[1, 1, 1, 6, 0, 41, 17]),
            _ => self.value_of(names),
        }
    }

    fn fcntl_argument(&mut self, op: Option<&Value>, made: &Made) -> Value {
        let Some(Value::Num(op)) = op else { return Value::Num(0) };
        match *op {
            // Locks.
            5..=7 | 36..=38 => self.structure_value("flock", made),
            // F_SETOWN_EX, F_GETOWN_EX
            15 | 16 => Value::Data(Data::Out { len: 8, binds: Vec::new() }),
            // F_SETFL
            4 => Value::Num(self.pick(&[0o4000, 0o2000, 0o6000, 0, 0o20000, 0o40000, 0o1000000])),
            // Hints.
            1035..=1038 => Value::Data(Data::Bytes(self.pick(&[0, 1, 5, 6]).to_le_bytes().to_vec())),
            1033 => Value::Num(self.random.below(64) as u64),
            10 => Value::Num(self.pick(&SIGNALS)),
            _ => Value::Num(self.number()),
        }
    }

    fn ioctl_argument(&mut self) -> Value {
        match self.random.below(4) {
            0 => Value::Num(self.number()),
            1 => Value::Data(Data::Bytes((self.pick(&[0, 1, 2, 100]) as u32).to_le_bytes().to_vec())),
            _ => Value::Data(Data::Out { len: 64, binds: Vec::new() }),
        }
    }

    /// Sets arguments that say how much there is.
    pub(super) fn tie_lengths(&mut self, call: &mut Call) {
        for at in 0..call.args.len() {
            let Some(arg) = call.row.args.get(at) else { continue };
            let follows = call.row.args.get(at + 1).is_some_and(|next| {
                matches!(next.ty, Ty::Size | Ty::Uint | Ty::Ulong) && length_of(arg.ty).is_none()
            });
            let tied = match length_of(arg.ty) {
                Some(tied) => usize::from(tied),
                None if follows && matches!(arg.ty, Ty::Ptr | Ty::PtrTo(_) | Ty::In(_)) => at + 1,
                None => continue,
            };
            let count = match call.args.get(at) {
                Some(Value::Data(Data::Array(all))) => all.len() as u64,
                Some(Value::Data(data)) => size(data),
                _ => continue,
            };
            let count = if matches!(arg.ty, Ty::FdSet(_)) { count * 8 } else { count };
            let count = match self.random.below(30) {
                0 => count.saturating_sub(1),
                1 => 0,
                2 => self.number(),
                _ => count,
            };
            match (call.args.get_mut(tied), call.row.args.get(tied).map(|arg| arg.ty)) {
                (Some(Value::Data(Data::Struct(one))), _) if one.layout.size == 4 => {
                    one.fields = vec![(0, Value::Num(count))];
                }
                (Some(place @ Value::Num(_)), Some(_)) => *place = Value::Num(count),
                _ => {}
            }
        }
    }
}

/// Bytes of memory.
fn size(data: &Data) -> u64 {
    match data {
        Data::Text(text) => text.len() as u64 + 1,
        Data::Bytes(bytes) => bytes.len() as u64,
        Data::Out { len, .. } => u64::from(*len),
        Data::Struct(one) => one.layout.size as u64,
        Data::Array(all) => all.iter().map(|one| one.layout.size as u64).sum(),
    }
}
