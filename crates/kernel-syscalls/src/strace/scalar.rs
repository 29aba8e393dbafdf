//! Numbers, flags and enumerations.

use std::fmt::Write;

use abi_linux::names::{self, Names};
use syscall_table::Ty;

use super::Printer;

const AT_FDCWD: i32 = -100;
/// UTIME_NOW and the like are in structures; as an argument -1 is the one special id.
const UNCHANGED_ID: u32 = u32::MAX;

impl Printer<'_> {
    pub(super) fn scalar(&mut self, ty: Ty, register: u64) {
        let low = register as u32;
        let _ = match ty {
            Ty::Int | Ty::Pid | Ty::Fd | Ty::FdOf(_) | Ty::Id(_) => write!(self.out, "{}", low as i32),
            Ty::Uid | Ty::Gid if low == UNCHANGED_ID => write!(self.out, "-1"),
            Ty::Uint | Ty::Uid | Ty::Gid => write!(self.out, "{low}"),
            Ty::Long | Ty::Off => write!(self.out, "{}", register as i64),
            Ty::Ulong | Ty::Size => write!(self.out, "{register}"),
            Ty::Octal => write!(self.out, "0{low:02o}"),
            Ty::Hex32 => return self.hex(u64::from(low)),
            Ty::Hex => return self.hex(register),
            Ty::Dev => write!(self.out, "makedev({:#x}, {:#x})", major(low), minor(low)),
            Ty::DirFd if low as i32 == AT_FDCWD => write!(self.out, "AT_FDCWD"),
            Ty::DirFd => write!(self.out, "{}", low as i32),
            Ty::Signal => return self.signal(low),
            Ty::Flags(set) | Ty::Enum(set) => return self.named(set, u64::from(low)),
            Ty::LongFlags(set) => return self.named(set, register),
            _ => return self.address(register),
        };
    }

    /// An address.
    pub(super) fn address(&mut self, address: u64) {
        if address == 0 {
            self.out.push_str("NULL");
        } else {
            let _ = write!(self.out, "{address:#x}");
        }
    }

    /// A number in hexadecimal that is not an address.
    pub(super) fn hex(&mut self, value: u64) {
        let _ = if value == 0 { write!(self.out, "0") } else { write!(self.out, "{value:#x}") };
    }

    pub(super) fn signal(&mut self, number: u32) {
        let name = names::find("SIGNAL").and_then(|set| set.name_of(u64::from(number)));
        let _ = match (name, number) {
            (Some(name), _) => write!(self.out, "{name}"),
            (None, 32..=64) => write!(self.out, "SIGRT_{}", number - 32),
            (None, _) => write!(self.out, "{}", number as i32),
        };
    }

    /// A value of a set of names.
    pub(super) fn named(&mut self, set: &str, value: u64) {
        match names::find(set) {
            Some(set) => self.flags(set, value),
            None => self.hex(value),
        }
    }

    fn flags(&mut self, set: &Names, value: u64) {
        let start = self.out.len();
        let mut rest = value;
        let known_field = if set.field == 0 { None } else { set.name_of(value) };
        // `0` in a field beside bits is worth its name (O_RDONLY), in an enumeration of flags (F_OK)
        // only when nothing else is set.
        let shows_field = known_field
            .is_some_and(|_| set.field & 0xffff_ffff != 0xffff_ffff || value == 0 || set.bits.is_empty());
        if let Some(name) = known_field.filter(|_| shows_field) {
            self.out.push_str(name);
            rest &= !set.field;
        }
        for &(name, bits) in set.bits {
            if bits != 0 && rest & bits == bits {
                self.separate(start);
                self.out.push_str(name);
                rest &= !bits;
            }
        }
        if rest != 0 || self.out.len() == start {
            self.separate(start);
            // The permission bits of a file's mode are read in octal, every other remainder in hex.
            let _ = match (set.name, rest) {
                ("S_IF", _) => write!(self.out, "0{rest:02o}"),
                (_, 0) => write!(self.out, "0"),
                _ => write!(self.out, "{rest:#x}"),
            };
        }
    }

    fn separate(&mut self, start: usize) {
        if self.out.len() > start {
            self.out.push('|');
        }
    }
}

/// include/linux/kdev_t.h: new_decode_dev.
const fn major(dev: u32) -> u32 {
    (dev & 0xfff00) >> 8
}

const fn minor(dev: u32) -> u32 {
    (dev & 0xff) | ((dev >> 12) & 0xfff00)
}
