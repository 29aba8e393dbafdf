//! Programs: sequences of system calls as people read and write them.
//!
//! A [`Program`] is text ([`parse`](parse::parse), [`Display`](std::fmt::Display)) and back without loss:
//!
//! ```text
//! # palisade program, table 5bd1a6c2
//! r0 = openat(AT_FDCWD, &"a", O_RDWR|O_CREAT, 0600)
//! pipe2(&out[8 r1@0 r2@4], O_NONBLOCK)
//! t1 read(r1, &out[16], 16)
//! +20ms
//! write(r2, &b"hello", 5)
//! ```
//!
//! Types come from the system call table: a number is printed as the row's argument says, and flags by their names.

mod lexer;
pub mod parse;
mod print;
#[cfg(test)]
mod tests;
mod version;

use abi_linux::layouts::Layout;
use syscall_table::Syscall;

pub use version::table_version;

/// Threads that a program may have.
pub const THREADS: u8 = 4;
/// Calls that a program may have.
pub const CALLS: usize = 64;

/// Names a result of a call: `r3`.
pub type Var = u32;

/// A program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// Who makes the calls.
    pub user: User,
    /// In the order in which they begin.
    pub calls: Vec<Call>,
}

/// Who makes a program's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum User {
    /// User 0 with all capabilities over the container.
    #[default]
    Root,
    /// User 1000, without any.
    Plain,
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which of the program's threads makes it.
    pub thread: u8,
    /// Time that passes before it, in milliseconds.
    pub after_ms: u32,
    /// The name of its result, if another call uses it.
    pub result: Option<Var>,
    /// What is called.
    pub row: &'static Syscall,
    /// As many as the row has.
    pub args: Vec<Value>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        let head = |call: &Self| (call.thread, call.after_ms, call.result, call.row.nr);
        head(self) == head(other) && self.args == other.args
    }
}

/// An argument, or a field of a structure.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Num(u64),
    /// What an earlier call returned or wrote.
    Var(Var),
    /// The address of some memory.
    Data(Data),
    /// An address in the pages that calls may map and unmap.
    Pages(u64),
    /// An address where nothing is mapped.
    Bad,
    /// A signal handler that counts.
    Handler,
    /// A port that no other program uses, in network order in memory.
    Port(u8),
    /// Text in a structure.
    Text(Vec<u8>),
}

/// Memory that a pointer leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Text with a NUL behind it.
    Text(Vec<u8>),
    /// Just these bytes.
    Bytes(Vec<u8>),
    /// Room for what the call writes, and what of it later calls use.
    Out {
        /// Bytes.
        len: u32,
        /// What later calls use.
        binds: Vec<Bind>,
    },
    /// A structure.
    Struct(Struct),
    /// Structures one behind the other.
    Array(Vec<Struct>),
}

/// A structure with its fields.
#[derive(Clone, Debug)]
pub struct Struct {
    /// Its layout.
    pub layout: &'static Layout,
    /// Places in the layout's fields, rising, and what they hold; the others are 0.
    pub fields: Vec<(usize, Value)>,
}

/// A number of four bytes in memory that a call wrote, under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Its name.
    pub var: Var,
    /// Where it stands.
    pub offset: u32,
}

impl PartialEq for Struct {
    fn eq(&self, other: &Self) -> bool {
        self.layout.name == other.layout.name && self.fields == other.fields
    }
}

impl Program {
    /// All names that calls before `end` give.
    pub fn defined(&self, end: usize) -> Vec<Var> {
        let mut all = Vec::new();
        for call in self.calls.iter().take(end) {
            call.defines(|var| all.push(var));
        }
        all
    }

    /// A name that no call gives.
    pub fn next_var(&self) -> Var {
        self.defined(self.calls.len()).into_iter().max().map_or(0, |last| last + 1)
    }

    /// Takes out a call. What used its results uses the number of nothing: -1.
    pub fn remove(&mut self, at: usize) {
        let removed = self.calls.remove(at);
        let mut gone = Vec::new();
        removed.defines(|var| gone.push(var));
        for call in &mut self.calls {
            call.visit_mut(&mut |value| {
                if let Value::Var(var) = value
                    && gone.contains(var)
                {
                    *value = Value::Num(u64::MAX);
                }
            });
        }
    }

    /// Gives the names anew, from r0 on in the order in which they are defined, and takes away those that are not used.
    pub fn renumber(&mut self) {
        let mut used = Vec::new();
        for call in &self.calls {
            call.visit(&mut |value| {
                if let Value::Var(var) = value {
                    used.push(*var);
                }
            });
        }
        let mut names: Vec<Var> = Vec::new();
        for call in &mut self.calls {
            call.visit_mut(&mut |value| match value {
                Value::Var(var) => match names.iter().position(|name| name == var) {
                    Some(at) => *var = at as Var,
                    None => *value = Value::Num(u64::MAX),
                },
                Value::Data(Data::Out { binds, .. }) => {
                    binds.retain(|bind| used.contains(&bind.var));
                    for bind in binds {
                        names.push(bind.var);
                        bind.var = names.len() as Var - 1;
                    }
                }
                _ => {}
            });
            if let Some(var) = call.result {
                call.result = used.contains(&var).then(|| {
                    names.push(var);
                    names.len() as Var - 1
                });
            }
        }
    }
}

impl Call {
    /// The names that it gives.
    pub fn defines(&self, mut each: impl FnMut(Var)) {
        self.visit(&mut |value| {
            if let Value::Data(Data::Out { binds, .. }) = value {
                binds.iter().for_each(|bind| each(bind.var));
            }
        });
        if let Some(var) = self.result {
            each(var);
        }
    }

    /// Sees every value, in order, those in memory too.
    pub fn visit(&self, each: &mut impl FnMut(&Value)) {
        self.args.iter().for_each(|value| visit(value, each));
    }

    /// As [`visit`](Self::visit), and may change them.
    pub fn visit_mut(&mut self, each: &mut impl FnMut(&mut Value)) {
        self.args.iter_mut().for_each(|value| visit_mut(value, each));
    }
}

fn visit(value: &Value, each: &mut impl FnMut(&Value)) {
    each(value);
    let mut fields = |one: &Struct| one.fields.iter().for_each(|(_, value)| visit_dyn(value, each));
    match value {
        Value::Data(Data::Struct(one)) => fields(one),
        Value::Data(Data::Array(all)) => all.iter().for_each(fields),
        _ => {}
    }
}

fn visit_dyn(value: &Value, mut each: &mut dyn FnMut(&Value)) {
    visit(value, &mut each);
}

fn visit_mut(value: &mut Value, each: &mut impl FnMut(&mut Value)) {
    each(value);
    let mut fields =
        |one: &mut Struct| one.fields.iter_mut().for_each(|(_, value)| visit_mut_dyn(value, each));
    match value {
        Value::Data(Data::Struct(one)) => fields(one),
        Value::Data(Data::Array(all)) => all.iter_mut().for_each(fields),
        _ => {}
    }
}

fn visit_mut_dyn(value: &mut Value, mut each: &mut dyn FnMut(&mut Value)) {
    visit_mut(value, &mut each);
}
