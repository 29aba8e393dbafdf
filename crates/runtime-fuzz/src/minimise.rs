//! Smaller programs that show the same.

use crate::program::{Data, Program, User, Value};

/// Takes away what `still_shows` does not need; asks it at most `limit` times.
pub fn minimise(program: &Program, limit: usize, mut still_shows: impl FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut asked = 0;
    let mut attempt = |best: &mut Program, candidate: Program| {
        let is_new = candidate != *best && asked < limit;
        asked += usize::from(is_new);
        let better = is_new && still_shows(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    let mut at = best.calls.len();
    while at > 0 {
        at -= 1;
        let mut candidate = best.clone();
        candidate.remove(at);
        candidate.renumber();
        attempt(&mut best, candidate);
    }
    let mut simpler = best.clone();
    simpler.user = User::Root;
    attempt(&mut best, simpler);
    let mut one_thread = best.clone();
    one_thread.calls.iter_mut().for_each(|call| call.thread = 0);
    attempt(&mut best, one_thread);
    for at in 0..best.calls.len() {
        for arg in 0..best.calls[at].args.len() {
            for value in simpler_values(&best.calls[at].args[arg]) {
                let mut candidate = best.clone();
                candidate.calls[at].args[arg] = value;
                candidate.renumber();
                if attempt(&mut best, candidate) {
                    break;
                }
            }
        }
    }
    best
}

fn simpler_values(value: &Value) -> Vec<Value> {
    match value {
        Value::Num(0) => Vec::new(),
        Value::Num(number) => {
            // Without each of its bits, where they may be flags.
            let bits = (0..32).filter(|bit| number >> bit & 1 == 1 && number.count_ones() < 8);
            let mut all = vec![Value::Num(0)];
            all.extend(bits.map(|bit| Value::Num(number & !(1 << bit))));
            all
        }
        Value::Data(Data::Array(all)) if all.len() > 1 => vec![Value::Data(Data::Array(all[..1].to_vec()))],
        Value::Data(Data::Struct(one)) => (0..one.fields.len())
            .map(|at| {
                let mut smaller = one.clone();
                smaller.fields.remove(at);
                Value::Data(Data::Struct(smaller))
            })
            .collect(),
        Value::Data(Data::Bytes(bytes)) if bytes.len() > 16 => {
            vec![Value::Data(Data::Bytes(bytes[..4].to_vec()))]
        }
        Value::Data(Data::Text(text)) if text != b"a" => vec![Value::Data(Data::Text(b"a".to_vec()))],
        _ => Vec::new(),
    }
}
