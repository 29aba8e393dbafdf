//! The search tree over system call numbers.
//!
//! Numbers with the same answer that follow each other are one range, so some 380 rules become about a
//! hundred leaves, and a leaf is found with seven comparisons.

use crate::insn::{JA, JGE_K, RET_K, SockFilter};

/// What to do for a range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// Answer this value.
    Return(u32),
    /// Look at the arguments: the index of a condition block.
    Block(usize),
}

/// The numbers from `first` up to the next range's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) leaf: Leaf,
}

/// From `first` on, `leaf` holds; ranges grow upwards.
pub(crate) fn push(ranges: &mut Vec<Range>, first: u32, leaf: Leaf) {
    // A range that starts at the same number was a gap of no numbers.
    while ranges.last().is_some_and(|last| last.first >= first) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.leaf != leaf) {
        ranges.push(Range { first, leaf });
    }
}

/// Appends the tree and, behind it, the blocks. The accumulator holds the number.
pub(crate) fn append(program: &mut Vec<SockFilter>, ranges: &[Range], blocks: &[Vec<SockFilter>]) {
    let start = program.len();
    grow(program, ranges);
    let end = program.len();
    let mut block_starts = Vec::with_capacity(blocks.len());
    for block in blocks {
        block_starts.push(program.len());
        program.extend_from_slice(block);
    }
    // `grow` left the block's index in each jump to a block.
    for (at, insn) in program.iter_mut().enumerate().take(end).skip(start) {
        if insn.code == JA && insn.jt == BLOCK_MARK {
            let target = block_starts.get(insn.k as usize).copied().unwrap_or(at + 1);
            *insn = SockFilter::stmt(JA, (target - at - 1) as u32);
        }
    }
}

/// Tells a jump to a block, whose distance is not known yet, from a jump inside the tree.
const BLOCK_MARK: u8 = 0xff;

fn grow(program: &mut Vec<SockFilter>, ranges: &[Range]) {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some(pivot)) = (lower.first(), upper.first()) else {
        if let Some(range) = ranges.first() {
            program.push(match range.leaf {
                Leaf::Return(value) => SockFilter::stmt(RET_K, value),
                Leaf::Block(index) => SockFilter::jump(JA, index as u32, BLOCK_MARK, 0),
            });
        }
        return;
    };
    let mut below = Vec::new();
    grow(&mut below, lower);
    match u8::try_from(below.len()) {
        Ok(skip) => program.push(SockFilter::jump(JGE_K, pivot.first, skip, 0)),
        // A conditional jump reaches 255 instructions; only JA goes further.
        Err(_) => {
            program.push(SockFilter::jump(JGE_K, pivot.first, 0, 1));
            program.push(SockFilter::stmt(JA, below.len() as u32));
        }
    }
    program.append(&mut below);
    grow(program, upper);
}
