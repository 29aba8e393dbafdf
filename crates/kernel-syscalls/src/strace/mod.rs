//! Prints calls the way strace(1) does.
//!
//! [`line`] takes a row of the table, registers, the result and a reader of guest memory, and gives
//! one line. What the memory holds is a guest's doing: every string, array and structure has a limit,
//! what cannot be read is printed as its address, and nothing here can fail.
//!
//! | module | prints |
//! |---|---|
//! | [`scalar`] | numbers, flags, enumerations |
//! | [`memory`] | strings, buffers, vectors, arrays |
//! | [`structure`] | structures by their layout |
//! | [`special`] | what another argument gives its type: ioctl, fcntl, socket addresses, fd sets |

mod memory;
mod scalar;
mod special;
mod structure;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use abi_linux::{Errno, SysResult};
use syscall_table::{Returns, Syscall, Ty};

use crate::cx::Outcome;
use crate::observe::Ending;

/// The end of a line whose call was taken away, or still waits.
pub const INTERRUPTED: &str = " = ? <interrupted>";

/// Copies guest memory at an address into a buffer and says how many bytes it could.
pub type ReadMem<'a> = dyn Fn(u64, &mut [u8]) -> usize + 'a;

/// A call being printed.
struct Printer<'a> {
    out: String,
    mem: &'a ReadMem<'a>,
    args: [u64; 6],
    /// The value that the call returned; `None` if it failed or the host decides.
    value: Option<i64>,
}

/// One line without a newline, such as `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`.
pub fn line(nr: i32, args: &[u64; 6], ending: Ending<'_>, mem: &ReadMem<'_>) -> String {
    let value = match ending {
        Ending::Answered(Ok(Outcome::Value(value))) => Some(*value),
        _ => None,
    };
    let mut printer = Printer { out: String::new(), mem, args: *args, value };
    match syscall_table::by_nr(nr) {
        Some(row) => {
            printer.out.push_str(row.name);
            printer.arguments(row);
            printer.ending(row.returns, ending);
        }
        None => {
            let _ = write!(printer.out, "syscall_{nr:#x}");
            printer.unknown_arguments();
            printer.ending(Returns::Int, ending);
        }
    }
    printer.out
}

impl Printer<'_> {
    fn register(&self, at: u8) -> u64 {
        self.args.get(usize::from(at)).copied().unwrap_or(0)
    }

    fn arguments(&mut self, row: &Syscall) {
        self.out.push('(');
        for (at, arg) in row.args.iter().enumerate() {
            if arg.ty == Ty::Hidden {
                break;
            }
            if arg.ty == Ty::Octal
                && at > 0
                && self.mode_is_unused(row.args.get(at - 1).map(|a| a.ty), at - 1)
            {
                break;
            }
            if at > 0 {
                self.out.push_str(", ");
            }
            let register = self.args.get(at).copied().unwrap_or(0);
            self.argument(arg.ty, register);
        }
        self.out.push(')');
    }

    /// open(2) looks at its mode only when it may create a file.
    fn mode_is_unused(&self, before: Option<Ty>, at: usize) -> bool {
        const CREATES: u64 = 0o100 | 0o20_000_000;
        before == Some(Ty::Flags("OPEN")) && self.args.get(at).is_some_and(|flags| flags & CREATES == 0)
    }

    fn unknown_arguments(&mut self) {
        let [a, b, c, d, e, f] = self.args;
        let _ = write!(self.out, "({a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}, {f:#x})");
    }

    fn argument(&mut self, ty: Ty, register: u64) {
        match ty {
            Ty::In(name) | Ty::InOut(name) => self.structure(name, register),
            Ty::Out(name) => self.output(register, |this| this.structure(name, register)),
            Ty::ArrayIn(name, len) | Ty::ArrayInOut(name, len) => self.array(name, len, register),
            Ty::ArrayOut(name, len) => self.output(register, |this| this.array(name, len, register)),
            Ty::Path => self.path(register),
            Ty::Str => self.string(register),
            Ty::Argv => self.string_vector(register),
            Ty::BytesIn(len) => self.bytes(register, self.register(len)),
            Ty::BytesOut(len) => self.output(register, |this| {
                let len = this.moved(this.register(len));
                this.bytes(register, len);
            }),
            Ty::IovecIn(count) => self.iovec(register, self.register(count), u64::MAX),
            Ty::IovecOut(count) => self.output(register, |this| {
                let moved = this.moved(u64::MAX);
                this.iovec(register, this.register(count), moved);
            }),
            Ty::FdSet(bits) => self.fd_set(register, self.register(bits)),
            Ty::SockaddrIn(len) => self.socket_address(register, self.register(len)),
            Ty::SockaddrOut(len) => self.output(register, |this| {
                let len = this.read_u32(this.register(len)).map_or(0, u64::from);
                this.socket_address(register, len);
            }),
            Ty::ByIoctl(request) => self.ioctl_argument(self.register(request), register),
            Ty::ByFcntl(op) => self.fcntl_argument(self.register(op), register),
            scalar => self.scalar(scalar, register),
        }
    }

    /// What a call fills is worth printing once it has succeeded.
    fn output(&mut self, address: u64, print: impl FnOnce(&mut Self)) {
        if self.value.is_some() { print(self) } else { self.address(address) }
    }

    /// How much of a buffer the call has filled.
    fn moved(&self, len: u64) -> u64 {
        self.value.and_then(|value| u64::try_from(value).ok()).map_or(len, |value| value.min(len))
    }

    fn ending(&mut self, returns: Returns, ending: Ending<'_>) {
        self.out.push_str(" = ");
        match ending {
            Ending::Answered(result) => self.result(returns, result),
            Ending::Interrupted => self.out.push_str(INTERRUPTED.trim_start_matches(" = ")),
        }
    }

    fn result(&mut self, returns: Returns, result: &SysResult<Outcome>) {
        match result {
            Err(errno) => self.failure(*errno),
            Ok(Outcome::Continue | Outcome::Answered) => self.out.push_str("? <host>"),
            Ok(Outcome::Substitute { nr, .. }) => {
                let name = syscall_table::by_nr(*nr).map_or("another call", |row| row.name);
                let _ = write!(self.out, "? <host: {name}>");
            }
            Ok(Outcome::Value(value)) => {
                let _ = match returns {
                    Returns::None => write!(self.out, "?"),
                    Returns::Addr => write!(self.out, "{value:#x}"),
                    Returns::Octal => write!(self.out, "0{value:o}"),
                    _ => write!(self.out, "{value}"),
                };
            }
        }
    }

    fn failure(&mut self, errno: Errno) {
        let _ = match errno.name() {
            Some(name) => write!(self.out, "-1 {name} ({})", errno.description()),
            None => write!(self.out, "-1 ({})", errno.description()),
        };
    }
}
