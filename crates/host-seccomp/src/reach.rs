//! All ways through a program for one system call: what it may answer when some arguments are known and the others
//! may be anything, and what each way asks of them.
//!
//! For those who want to know what an installed program does, without trusting what it was compiled from. A way that
//! no arguments can take may be listed (a word that is tested under two masks is followed for each by itself), never
//! the other way round: an answer that is not listed is not given.

use std::collections::BTreeMap;

use crate::evaluate::{AUDIT_ARCH_X86_64, Call, Fault, Verdict};
use crate::insn::{AND_K, JA, JEQ_K, JGE_K, JGT_K, LD_ABS, OFFSET_ARGS, RET_K, SockFilter};

/// Argument registers: a value, or anything.
pub type Known = [Option<u64>; 6];

/// What a way asks of a masked word: bounds, and values that it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least value.
    pub low: u32,
    /// The greatest.
    pub high: u32,
    /// Values between them that are left out.
    pub but: Vec<u32>,
}

/// A 32-bit half of an argument, under a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word {
    /// Which argument.
    pub arg: u8,
    /// The upper half.
    pub is_high: bool,
    /// The bits that are looked at.
    pub mask: u32,
}

/// One way through the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// How it ends.
    pub verdict: Verdict,
    /// What the unknown arguments must be.
    pub asks: BTreeMap<Word, Range>,
}

impl Range {
    fn all(mask: u32) -> Self {
        Self { low: 0, high: mask, but: Vec::new() }
    }

    /// The part where `(value CODE k) == holds`; nothing if there is none.
    fn part(&self, code: u16, k: u32, holds: bool) -> Option<Self> {
        let mut part = self.clone();
        match (code, holds) {
            (JEQ_K, true) => {
                if self.but.contains(&k) {
                    return None;
                }
                (part.low, part.high) = (self.low.max(k), self.high.min(k));
            }
            (JEQ_K, false) => part.but.push(k),
            (JGT_K, true) => part.low = self.low.max(k.checked_add(1)?),
            (JGE_K, true) => part.low = self.low.max(k),
            (JGT_K, false) => part.high = self.high.min(k),
            // JGE, the last comparison that there is.
            (_, _) => part.high = self.high.min(k.checked_sub(1)?),
        }
        while part.but.contains(&part.low) && part.low < part.high {
            part.low += 1;
        }
        while part.but.contains(&part.high) && part.low < part.high {
            part.high -= 1;
        }
        let is_empty = part.low > part.high || (part.low == part.high && part.but.contains(&part.low));
        part.but.retain(|value| (part.low..=part.high).contains(value));
        (!is_empty).then_some(part)
    }
}

/// What the accumulator holds.
#[derive(Clone, Copy)]
enum Accumulator {
    Value(u32),
    Unknown(Word),
}

struct State {
    at: usize,
    accumulator: Accumulator,
    asks: BTreeMap<Word, Range>,
}

/// All ways of a call of x86_64.
///
/// # Errors
/// As [`evaluate`](crate::evaluate()) has them.
pub fn ways(program: &[SockFilter], nr: u32, known: &Known) -> Result<Vec<Way>, Fault> {
    let args = known.map(Option::unwrap_or_default);
    let call = Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0x40_1000, args };
    let mut found = Vec::new();
    let mut open = vec![State { at: 0, accumulator: Accumulator::Value(0), asks: BTreeMap::new() }];
    while let Some(mut state) = open.pop() {
        let insn = program.get(state.at).ok_or(Fault::OutOfProgram(state.at))?;
        let next = |skip: usize| state.at.saturating_add(1).saturating_add(skip);
        match insn.code {
            LD_ABS => {
                state.accumulator = load(&call, known, insn.k).ok_or(Fault::BadLoad(state.at))?;
                state.at = next(0);
                open.push(state);
            }
            AND_K => {
                state.accumulator = match state.accumulator {
                    Accumulator::Value(value) => Accumulator::Value(value & insn.k),
                    Accumulator::Unknown(word) => {
                        Accumulator::Unknown(Word { mask: word.mask & insn.k, ..word })
                    }
                };
                state.at = next(0);
                open.push(state);
            }
            JA => {
                state.at = next(insn.k as usize);
                open.push(state);
            }
            JEQ_K | JGT_K | JGE_K => {
                let (yes, no) = (next(usize::from(insn.jt)), next(usize::from(insn.jf)));
                open.extend(branch(&state, insn, yes, no));
            }
            RET_K => found.push(Way { verdict: Verdict::from_value(insn.k), asks: state.asks }),
            _ => return Err(Fault::UnknownInstruction(state.at)),
        }
    }
    Ok(found)
}

fn load(call: &Call, known: &Known, offset: u32) -> Option<Accumulator> {
    let value = call.word(offset)?;
    let arg = offset.checked_sub(OFFSET_ARGS).map(|from| from / 8);
    Some(match arg {
        Some(arg) if known.get(arg as usize)?.is_none() => {
            Accumulator::Unknown(Word { arg: arg as u8, is_high: !offset.is_multiple_of(8), mask: u32::MAX })
        }
        _ => Accumulator::Value(value),
    })
}

/// Where a comparison leads.
fn branch(state: &State, insn: &SockFilter, yes: usize, no: usize) -> Vec<State> {
    let word = match state.accumulator {
        Accumulator::Value(value) => {
            let holds = match insn.code {
                JEQ_K => value == insn.k,
                JGT_K => value > insn.k,
                _ => value >= insn.k,
            };
            let at = if holds { yes } else { no };
            return vec![State { at, accumulator: state.accumulator, asks: state.asks.clone() }];
        }
        Accumulator::Unknown(word) => word,
    };
    let so_far = state.asks.get(&word).cloned().unwrap_or_else(|| Range::all(word.mask));
    let side = |(holds, at): (bool, usize)| {
        let part = so_far.part(insn.code, insn.k, holds)?;
        let mut asks = state.asks.clone();
        asks.insert(word, part);
        Some(State { at, accumulator: state.accumulator, asks })
    };
    [(true, yes), (false, no)].into_iter().filter_map(side).collect()
}

#[cfg(test)]
mod tests {
    use syscall_table::plan::{Action, Condition, Op, Rule};

    use super::{Way, ways};
    use crate::{Verdict, compile};

    const ALLOW: Verdict = Verdict::Action(Action::Allow);

    fn program(conditions: Vec<Vec<Condition>>) -> Vec<crate::SockFilter> {
        let rule = Rule { nr: 7, name: "it", action: Action::Allow, conditions, otherwise: Action::Notify };
        compile(&[rule]).expect("it compiles")
    }

    fn allows(ways: &[Way]) -> usize {
        ways.iter().filter(|way| way.verdict == ALLOW).count()
    }

    #[test]
    fn a_bound_is_found_and_a_value_beyond_it_is_not_allowed() {
        let program = program(vec![vec![Condition { arg: 1, op: Op::Lt(1 << 47) }]]);
        let all = ways(&program, 7, &[None; 6]).expect("it runs");
        assert_eq!(allows(&all), 1, "{all:?}");
        let known = |value| [None, Some(value), None, None, None, None];
        assert_eq!(allows(&ways(&program, 7, &known(1 << 47)).expect("it runs")), 0);
        assert_eq!(allows(&ways(&program, 7, &known((1 << 47) - 1)).expect("it runs")), 1);
        assert_eq!(allows(&ways(&program, 8, &known(0)).expect("it runs")), 0);
    }

    #[test]
    fn alternatives_are_ways_of_their_own() {
        let is = |value| vec![Condition { arg: 0, op: Op::MaskedEq { mask: 0xff, value } }];
        let program = program(vec![is(1), is(3)]);
        let all = ways(&program, 7, &[None; 6]).expect("it runs");
        assert_eq!(allows(&all), 2, "{all:?}");
        assert_eq!(all.len(), 3, "{all:?}");
    }
}
