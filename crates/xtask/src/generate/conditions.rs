//! `when` clauses: from the table's words to comparisons of registers.

use abi_linux::names::{self, Names};
use anyhow::{Context, bail};
use syscall_table::plan::{Condition, Op};
use syscall_table::seccomp::POINTER_LIMIT;
use syscall_table::{Arg, Ty};

/// The alternatives that one `when` stands for: an `in` with several values multiplies them.
pub(super) fn parse(text: &str, args: &[Arg]) -> anyhow::Result<Vec<Vec<Condition>>> {
    let mut alternatives = vec![Vec::new()];
    for term in text.split(',') {
        let choices = parse_term(term.trim(), args).with_context(|| format!("`when {text}`"))?;
        alternatives = alternatives
            .iter()
            .flat_map(|so_far| choices.iter().map(move |&choice| [so_far.as_slice(), &[choice]].concat()))
            .collect();
    }
    Ok(alternatives)
}

fn parse_term(term: &str, args: &[Arg]) -> anyhow::Result<Vec<Condition>> {
    let words: Vec<&str> = term.split_whitespace().collect();
    let place = |name: &str| {
        args.iter().position(|arg| arg.name == name).with_context(|| format!("no argument {name}"))
    };
    match words.as_slice() {
        [name, "ptr"] => {
            let at = place(name)?;
            if !args[at].ty.is_pointer() {
                bail!("{name} is no pointer");
            }
            Ok(vec![Condition { arg: at as u8, op: Op::Lt(POINTER_LIMIT) }])
        }
        [name, verb, flags] => {
            let at = place(name)?;
            let ops = comparison(verb, args[at].ty, flags)?;
            Ok(ops.into_iter().map(|op| Condition { arg: at as u8, op }).collect())
        }
        _ => bail!("cannot read `{term}`"),
    }
}

fn comparison(verb: &str, ty: Ty, flags: &str) -> anyhow::Result<Vec<Op>> {
    let set = set_of(ty);
    let values = flags.split('|').map(|flag| value(flag, set)).collect::<anyhow::Result<Vec<u64>>>()?;
    let union = values.iter().fold(0, |all, bits| all | bits);
    Ok(match verb {
        "has" => vec![Op::MaskedEq { mask: union, value: union }],
        "lacks" => vec![Op::MaskedEq { mask: union, value: 0 }],
        "within" => vec![Op::MaskedEq { mask: ty.mask() & !union, value: 0 }],
        "in" => values.into_iter().map(|value| equals(ty, set, value)).collect(),
        other => bail!("unknown verb {other}"),
    })
}

/// Equality with a value of the field that holds it: the whole register for a number or an
/// enumeration, the operation without its modifiers for a word such as futex's.
fn equals(ty: Ty, set: Option<&Names>, value: u64) -> Op {
    let field = set.map_or(ty.mask(), |set| set.field & ty.mask());
    if field == u64::MAX { Op::Eq(value) } else { Op::MaskedEq { mask: field, value } }
}

fn set_of(ty: Ty) -> Option<&'static Names> {
    match ty {
        Ty::Flags(set) | Ty::LongFlags(set) | Ty::Enum(set) => names::find(set),
        _ => None,
    }
}

fn value(word: &str, set: Option<&Names>) -> anyhow::Result<u64> {
    if let Some(value) = set.and_then(|set| set.value_of(word)) {
        return Ok(value);
    }
    let number = word.strip_prefix("0x").map_or_else(|| word.parse(), |hex| u64::from_str_radix(hex, 16));
    number.with_context(|| format!("{word} is neither a flag of this argument nor a number"))
}
