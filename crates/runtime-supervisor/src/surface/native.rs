//! The calls that a filter lets a guest make natively, found by following the filter itself, and what it asks of their
//! arguments, in words.

use std::collections::BTreeMap;

use abi_linux::names;
use host_seccomp::{Range, SockFilter, Verdict, Way, Word, ways};
use syscall_table::plan::{Action, Condition, Op};
use syscall_table::{Syscall, Ty};

use super::Row;

/// Numbers above are x32's or nobody's; the table's own end below.
const NUMBERS: u32 = 2048;

const ALLOW: Verdict = Verdict::Action(Action::Allow);

/// The ways by which a filter lets a call through, whatever its arguments.
fn allowing(filter: &[SockFilter], nr: u32) -> Vec<Way> {
    let mut all = ways(filter, nr, &[None; 6]).unwrap_or_default();
    all.retain(|way| way.verdict == ALLOW);
    all
}

/// Whether some arguments let the call through.
pub(super) fn is_allowed(filter: &[SockFilter], nr: u32) -> bool {
    !allowing(filter, nr).is_empty()
}

/// A row for each call that it lets through.
pub(super) fn rows(filter: &[SockFilter]) -> Vec<Row> {
    let row = |nr: u32| {
        let allowing = allowing(filter, nr);
        if allowing.is_empty() {
            return None;
        }
        let row = i32::try_from(nr).ok().and_then(syscall_table::by_nr);
        Some(Row {
            by: "native",
            call: row.map_or("unknown number", |row| row.name),
            conditions: describe(row, &allowing),
            remark: row.map_or("", |row| row.note).to_owned(),
        })
    };
    (0..NUMBERS).filter_map(row).collect()
}

/// The arguments of a call, by name where the table has one.
fn name_of(row: Option<&Syscall>, arg: u8) -> String {
    let named = row.and_then(|row| row.args.get(usize::from(arg)));
    named.map_or_else(|| format!("arg{arg}"), |arg| arg.name.to_owned())
}

/// A value by its name, if the argument is one of some.
fn value_of(row: Option<&Syscall>, arg: u8, value: u64) -> String {
    let set = row.and_then(|row| row.args.get(usize::from(arg))).and_then(|arg| match arg.ty {
        Ty::Flags(set) | Ty::LongFlags(set) | Ty::Enum(set) => names::find(set),
        _ => None,
    });
    let name = set.filter(|set| set.field != 0).and_then(|set| set.name_of(value));
    name.map_or_else(|| format!("{value:#x}"), str::to_owned)
}

/// A condition of a plan.
pub(super) fn condition(row: Option<&Syscall>, condition: &Condition) -> String {
    let name = name_of(row, condition.arg);
    match condition.op {
        Op::Eq(value) => format!("{name} == {value:#x}"),
        Op::MaskedEq { mask: 0xffff_ffff, value } => format!("{name} == {value:#x}"),
        Op::MaskedEq { mask, value } => format!("{name} & {mask:#x} == {value:#x}"),
        Op::Lt(limit) => format!("{name} < {limit:#x}"),
    }
}

/// What one way asks: the arguments that must have one value, and the rest in words.
#[derive(Default)]
struct Asked {
    /// By argument: the bits that are looked at, and what they must be.
    values: BTreeMap<u8, (u64, u64)>,
    /// Anything else.
    bounds: Vec<String>,
}

impl Asked {
    fn of(row: Option<&Syscall>, way: &Way) -> Self {
        let mut asked = Self::default();
        for (word, range) in &way.asks {
            asked.add(row, *word, range);
        }
        asked
    }

    fn add(&mut self, row: Option<&Syscall>, word: Word, range: &Range) {
        let name = name_of(row, word.arg);
        let (shift, mask) = (if word.is_high { 32 } else { 0 }, u64::from(word.mask));
        if range.low == range.high {
            let (bits, value) = self.values.entry(word.arg).or_default();
            *bits |= mask << shift;
            *value |= u64::from(range.low) << shift;
        } else if word.is_high && word.mask == u32::MAX && range.low == 0 && range.but.is_empty() {
            self.bounds.push(format!("{name} < {:#x}", (u64::from(range.high) + 1) << 32));
        }
        // Values that are merely left out belong to other ways, which allow them or ask for more.
    }

    /// The values but for one argument, and the bounds.
    fn but(&self, row: Option<&Syscall>, arg: Option<u8>) -> Vec<String> {
        let values = self.values.iter().filter(|(at, _)| Some(**at) != arg);
        let clause = |(at, (mask, value)): (&u8, &(u64, u64))| {
            let name = name_of(row, *at);
            match *mask {
                0xffff_ffff | u64::MAX => format!("{name} == {}", value_of(row, *at, *value)),
                _ => format!("{name} & {mask:#x} == {value:#x}"),
            }
        };
        values.map(clause).chain(self.bounds.iter().cloned()).collect()
    }
}

/// What ways have in common: their other clauses, and the argument that differs with the bits that are looked at.
type Group = (Vec<String>, Option<(u8, u64)>);

/// The ways in words; those that differ in one argument's value only are one clause.
fn describe(row: Option<&Syscall>, allowing: &[Way]) -> String {
    let mut groups: BTreeMap<Group, Vec<u64>> = BTreeMap::new();
    for way in allowing {
        let asked = Asked::of(row, way);
        let first = asked.values.iter().next().map(|(arg, (mask, value))| (*arg, *mask, *value));
        let key = (asked.but(row, first.map(|(arg, ..)| arg)), first.map(|(arg, mask, _)| (arg, mask)));
        groups.entry(key).or_default().extend(first.map(|(.., value)| value));
    }
    let group = |((rest, chosen), mut values): (Group, Vec<u64>)| {
        values.sort_unstable();
        values.dedup();
        let chosen = chosen.map(|(arg, mask)| {
            let name = name_of(row, arg);
            let values: Vec<_> = values.iter().map(|value| value_of(row, arg, *value)).collect();
            let name = match mask {
                0xffff_ffff | u64::MAX => name,
                _ => format!("{name} & {mask:#x}"),
            };
            let verb = if values.len() == 1 { "==" } else { "in" };
            format!("{name} {verb} {}", values.join("|"))
        });
        chosen.into_iter().chain(rest).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<_> = groups.into_iter().map(group).filter(|text| !text.is_empty()).collect();
    all.join(" or ")
}
