//! Programs made of other programs.

use super::Generator;
use super::generate::made_before;
use crate::program::{CALLS, Data, Program, Value};

/// Calls of a program that has been mutated.
const LONGEST: usize = CALLS / 2;

impl Generator<'_> {
    /// A program that differs a little.
    pub fn mutate(&mut self, program: &Program, other: Option<&Program>) -> Program {
        let mut program = program.clone();
        for _ in 0..=self.random.below(3) {
            let len = program.calls.len();
            match self.random.below(10) {
                0..=2 if len < LONGEST => {
                    let at = self.random.below(len + 1);
                    self.insert(&mut program, at);
                }
                3 if len > 1 => {
                    let at = self.random.below(len);
                    program.remove(at);
                }
                4 if len > 0 && len < LONGEST => {
                    // The same call again, with what it makes going nowhere.
                    let mut twin = program.calls[self.random.below(len)].clone();
                    twin.result = None;
                    twin.visit_mut(&mut |value| {
                        if let Value::Data(Data::Out { binds, .. }) = value {
                            binds.clear();
                        }
                    });
                    program.calls.push(twin);
                }
                5 if len > 0 => {
                    let at = self.random.below(len);
                    program.calls[at].thread = self.random.below(3) as u8;
                }
                6 if other.is_some_and(|other| len + other.calls.len() < LONGEST) => {
                    if let Some(other) = other {
                        splice(&mut program, other);
                    }
                }
                _ if len > 0 => self.change_argument(&mut program),
                _ => {}
            }
        }
        program.renumber();
        program
    }

    fn change_argument(&mut self, program: &mut Program) {
        let at = self.random.below(program.calls.len());
        let made = made_before(program, at);
        let Some(call) = program.calls.get(at).filter(|call| !call.args.is_empty()) else { return };
        let place = self.random.below(call.args.len());
        let mut value = self.argument(call.row, place, &call.args, &made);
        if let (Value::Data(Data::Out { binds: new, .. }), Some(Value::Data(Data::Out { binds: old, .. }))) =
            (&mut value, call.args.get(place))
        {
            new.clone_from(old);
        }
        if let Some(call) = program.calls.get_mut(at) {
            if let Some(old) = call.args.get_mut(place) {
                *old = value;
            }
            if self.random.one_in(2) {
                let mut tied = call.clone();
                self.tie_lengths(&mut tied);
                *call = tied;
            }
        }
    }
}

/// Puts one program behind another.
fn splice(program: &mut Program, other: &Program) {
    let base = program.next_var();
    for call in &other.calls {
        let mut call = call.clone();
        call.result = call.result.map(|var| var + base);
        call.visit_mut(&mut |value| match value {
            Value::Var(var) => *var += base,
            Value::Data(Data::Out { binds, .. }) => binds.iter_mut().for_each(|bind| bind.var += base),
            _ => {}
        });
        program.calls.push(call);
    }
}
