//! New programs, call by call.

use abi_linux::layouts::Kind;
use syscall_table::{Syscall, Ty};

use super::{Resource, Selection};
use crate::exec::layout_of;
use crate::program::{Call, Data, Program, User, Value, Var};
use crate::random::Random;

/// How deep calls that make what another needs may follow from each other.
const DEEPEST: usize = 2;

/// Makes programs of a selection.
#[derive(Debug)]
pub struct Generator<'a> {
    pub(super) selection: &'a Selection,
    pub(super) random: &'a mut Random,
}

/// What the calls so far have made.
pub(super) type Made = Vec<(Resource, Var)>;

impl<'a> Generator<'a> {
    /// With these numbers.
    pub fn new(selection: &'a Selection, random: &'a mut Random) -> Self {
        Self { selection, random }
    }

    /// A program of about so many calls.
    pub fn program(&mut self, calls: usize) -> Program {
        let user = if self.random.one_in(3) { User::Plain } else { User::Root };
        let mut program = Program { user, calls: Vec::new() };
        let threads = if self.random.one_in(4) { 2 + self.random.below(2) } else { 1 };
        while program.calls.len() < calls {
            let at = program.calls.len();
            self.insert(&mut program, at);
            let last = program.calls.len() - 1;
            if let Some(call) = program.calls.get_mut(last) {
                call.thread = if self.random.one_in(3) { self.random.below(threads) as u8 } else { 0 };
            }
        }
        program.renumber();
        program
    }

    /// Puts a call, and what it needs, before the one at `at`.
    pub fn insert(&mut self, program: &mut Program, at: usize) {
        let Some(row) = self.random.pick(self.selection.rows()).copied() else { return };
        let mut made = made_before(program, at);
        let mut next = program.next_var();
        let mut calls = Vec::new();
        self.call(row, 0, &mut made, &mut next, &mut calls);
        program.calls.splice(at..at, calls);
    }

    fn call(
        &mut self,
        row: &'static Syscall,
        depth: usize,
        made: &mut Made,
        next: &mut Var,
        out: &mut Vec<Call>,
    ) {
        if depth < DEEPEST {
            for arg in row.args {
                self.provide(arg.ty, depth, made, next, out);
            }
        }
        let mut call = Call { thread: 0, after_ms: 0, result: None, row, args: Vec::new() };
        for at in 0..row.args.len() {
            let value = self.argument(row, at, &call.args, made);
            call.args.push(value);
        }
        self.tie_lengths(&mut call);
        self.name_results(&mut call, made, next);
        out.push(call);
    }

    /// Makes what an argument wants, if there is none and luck has it.
    fn provide(&mut self, ty: Ty, depth: usize, made: &mut Made, next: &mut Var, out: &mut Vec<Call>) {
        let Some(wanted) = Resource::wanted(ty).filter(|wanted| *wanted != Resource::Mapping) else { return };
        let is_optional = ty == Ty::DirFd || wanted == Resource::Pid || wanted == Resource::Id("key");
        let has = made.iter().any(|(resource, _)| resource.fits(wanted));
        let skips = if has { !self.random.one_in(12) } else { self.random.one_in(10) };
        if is_optional || skips {
            return;
        }
        let makes = |row: &&&'static Syscall| makes(row).iter().any(|resource| resource.fits(wanted));
        let makers: Vec<&'static Syscall> = self.selection.makers().iter().filter(makes).copied().collect();
        if let Some(row) = self.random.pick(&makers).copied() {
            self.call(row, depth + 1, made, next, out);
        }
    }

    /// Names what the call makes.
    fn name_results(&mut self, call: &mut Call, made: &mut Made, next: &mut Var) {
        let mut name = |resource| {
            made.push((resource, *next));
            *next += 1;
            *next - 1
        };
        for (value, arg) in call.args.iter_mut().zip(call.row.args) {
            let Value::Data(Data::Out { binds, .. }) = value else { continue };
            for (offset, resource) in written(arg.ty) {
                binds.push(crate::program::Bind { var: name(resource), offset });
            }
        }
        call.result = Resource::returned(call.row).map(name);
    }
}

/// What a row makes: its result, and what it writes.
fn makes(row: &Syscall) -> Vec<Resource> {
    let written = row.args.iter().flat_map(|arg| written(arg.ty)).map(|(_, resource)| resource);
    Resource::returned(row).into_iter().chain(written).collect()
}

/// What the call writes through an argument of this type, by offset.
fn written(ty: Ty) -> Vec<(u32, Resource)> {
    let Ty::Out(_) = ty else { return Vec::new() };
    let fields = layout_of(ty).map_or(&[][..], |layout| layout.fields);
    let resource = |kind: &Kind| match kind {
        Kind::Fd(kind) => Some(Resource::Fd(kind)),
        Kind::Id(kind) => Some(Resource::Id(kind)),
        _ => None,
    };
    fields.iter().filter_map(|field| Some((field.offset as u32, resource(&field.kind)?))).collect()
}

/// What the calls before `end` made.
pub(super) fn made_before(program: &Program, end: usize) -> Made {
    let mut made = Made::new();
    for call in program.calls.iter().take(end) {
        for (value, arg) in call.args.iter().zip(call.row.args) {
            let Value::Data(Data::Out { binds, .. }) = value else { continue };
            for bind in binds {
                let of = written(arg.ty).into_iter().find(|(offset, _)| *offset == bind.offset);
                made.extend(of.map(|(_, resource)| (resource, bind.var)));
            }
        }
        made.extend(call.result.and_then(|var| Some((Resource::returned(call.row)?, var))));
    }
    made
}
