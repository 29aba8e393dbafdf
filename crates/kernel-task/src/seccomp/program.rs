//! Classic BPF as seccomp(2) takes it: what Linux refuses is refused, and the rest runs here as it does there.
//!
//! Linux v6.18 net/core/filter.c:bpf_check_classic, check_load_and_stores; kernel/seccomp.c:seccomp_check_filter.

use abi_linux::seccomp::{AUDIT_ARCH_X86_64, BPF_MAXINSNS, SockFilter};
use abi_linux::{Errno, SysResult};

/// Words of scratch memory.
const MEMWORDS: usize = 16;
/// Size of `struct seccomp_data`.
const DATA_LEN: u32 = 64;

/// Opcodes (include/uapi/linux/bpf_common.h): class, size or operation, and source.
pub(crate) mod op {
    pub(crate) const LD_W_ABS: u16 = 0x20;
    pub(crate) const LD_W_LEN: u16 = 0x80;
    pub(crate) const LDX_W_LEN: u16 = 0x81;
    pub(crate) const LD_IMM: u16 = 0x00;
    pub(crate) const LDX_IMM: u16 = 0x01;
    pub(crate) const LD_MEM: u16 = 0x60;
    pub(crate) const LDX_MEM: u16 = 0x61;
    pub(crate) const ST: u16 = 0x02;
    pub(crate) const STX: u16 = 0x03;
    pub(crate) const ALU: u16 = 0x04;
    pub(crate) const NEG: u16 = 0x84;
    pub(crate) const JA: u16 = 0x05;
    pub(crate) const JEQ: u16 = 0x15;
    pub(crate) const JGT: u16 = 0x25;
    pub(crate) const JGE: u16 = 0x35;
    pub(crate) const JSET: u16 = 0x45;
    pub(crate) const RET_K: u16 = 0x06;
    pub(crate) const RET_A: u16 = 0x16;
    pub(crate) const TAX: u16 = 0x07;
    pub(crate) const TXA: u16 = 0x87;
    /// The operand is X, not a constant.
    pub(crate) const X: u16 = 0x08;
    /// The operation of an ALU instruction.
    pub(crate) const OPERATION: u16 = 0xf0;
    pub(crate) const ADD: u16 = 0x00;
    pub(crate) const SUB: u16 = 0x10;
    pub(crate) const MUL: u16 = 0x20;
    pub(crate) const DIV: u16 = 0x30;
    pub(crate) const OR: u16 = 0x40;
    pub(crate) const AND: u16 = 0x50;
    pub(crate) const LSH: u16 = 0x60;
    pub(crate) const RSH: u16 = 0x70;
    pub(crate) const XOR: u16 = 0xa0;
}

/// What a filter sees of a call: `struct seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallData {
    pub nr: i32,
    pub instruction_pointer: u64,
    pub args: [u64; 6],
}

impl CallData {
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64| if offset & 4 == 0 { value as u32 } else { (value >> 32) as u32 };
        match offset {
            0 => self.nr.cast_unsigned(),
            4 => AUDIT_ARCH_X86_64,
            8 | 12 => half(self.instruction_pointer),
            _ => half(self.args.get((offset as usize - 16) / 8).copied().unwrap_or(0)),
        }
    }
}

/// A program that Linux would accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Box<[SockFilter]>);

impl Program {
    /// EINVAL for what Linux refuses.
    pub fn new(code: Vec<SockFilter>) -> SysResult<Self> {
        if code.is_empty() || code.len() > BPF_MAXINSNS {
            return Err(Errno::EINVAL);
        }
        for (at, insn) in code.iter().enumerate() {
            check(insn, code.len() - at - 1)?;
        }
        if !code.last().is_some_and(|last| matches!(last.code, op::RET_K | op::RET_A)) {
            return Err(Errno::EINVAL);
        }
        check_memory(&code)?;
        Ok(Self(code.into()))
    }

    /// Its instructions.
    #[must_use]
    pub fn code(&self) -> &[SockFilter] {
        &self.0
    }

    /// What it returns about a call. Ends, since jumps only go forward.
    #[must_use]
    pub fn run(&self, call: &CallData) -> u32 {
        let mut machine = Machine { a: 0, x: 0, memory: [0; MEMWORDS] };
        let mut at = 0usize;
        while let Some(insn) = self.0.get(at) {
            match machine.step(insn, call) {
                Next::Skip(count) => at = at.saturating_add(1).saturating_add(count),
                Next::Return(value) => return value,
            }
        }
        0
    }
}

/// Checks one instruction that `behind` others follow.
fn check(insn: &SockFilter, behind: usize) -> SysResult<()> {
    let SockFilter { code, jt, jf, k } = *insn;
    let valid = match code {
        op::LD_W_ABS => k < DATA_LEN && k & 3 == 0,
        op::LD_W_LEN | op::LDX_W_LEN | op::LD_IMM | op::LDX_IMM | op::TAX | op::TXA | op::NEG => true,
        op::RET_K | op::RET_A => true,
        op::LD_MEM | op::LDX_MEM | op::ST | op::STX => (k as usize) < MEMWORDS,
        op::JA => (k as usize) < behind,
        _ if is_branch(code) => usize::from(jt) < behind && usize::from(jf) < behind,
        _ if code & !(op::OPERATION | op::X) == op::ALU => match (code & op::OPERATION, code & op::X) {
            (op::DIV, 0) => k != 0,
            (op::LSH | op::RSH, 0) => k < 32,
            (op::ADD | op::SUB | op::MUL | op::DIV | op::OR | op::AND | op::LSH | op::RSH | op::XOR, _) => {
                true
            }
            _ => false,
        },
        _ => false,
    };
    if valid { Ok(()) } else { Err(Errno::EINVAL) }
}

fn is_branch(code: u16) -> bool {
    matches!(code & !op::X, op::JEQ | op::JGT | op::JGE | op::JSET)
}

/// No word of memory is read before it was written, on any way (check_load_and_stores).
fn check_memory(code: &[SockFilter]) -> SysResult<()> {
    let mut arriving = vec![u16::MAX; code.len()];
    let mut written = 0u16;
    for (at, insn) in code.iter().enumerate() {
        written &= arriving.get(at).copied().unwrap_or(0);
        let mut jump = |distance: usize| {
            if let Some(target) = arriving.get_mut(at + 1 + distance) {
                *target &= written;
            }
        };
        match insn.code {
            op::ST | op::STX => written |= 1 << (insn.k & 15),
            op::LD_MEM | op::LDX_MEM if written & 1 << (insn.k & 15) == 0 => return Err(Errno::EINVAL),
            op::JA => {
                jump(insn.k as usize);
                written = u16::MAX;
            }
            branch if is_branch(branch) => {
                jump(usize::from(insn.jt));
                jump(usize::from(insn.jf));
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

enum Next {
    Skip(usize),
    Return(u32),
}

struct Machine {
    a: u32,
    x: u32,
    memory: [u32; MEMWORDS],
}

impl Machine {
    fn step(&mut self, insn: &SockFilter, call: &CallData) -> Next {
        let SockFilter { code, jt, jf, k } = *insn;
        let word = k as usize % MEMWORDS;
        let operand = if code & op::X == 0 { k } else { self.x };
        let branch = |holds: bool| Next::Skip(usize::from(if holds { jt } else { jf }));
        match code {
            op::LD_W_ABS => self.a = call.word(k),
            op::LD_W_LEN => self.a = DATA_LEN,
            op::LDX_W_LEN => self.x = DATA_LEN,
            op::LD_IMM => self.a = k,
            op::LDX_IMM => self.x = k,
            op::LD_MEM => self.a = self.memory[word],
            op::LDX_MEM => self.x = self.memory[word],
            op::ST => self.memory[word] = self.a,
            op::STX => self.memory[word] = self.x,
            op::TAX => self.x = self.a,
            op::TXA => self.a = self.x,
            op::NEG => self.a = self.a.wrapping_neg(),
            op::RET_K => return Next::Return(k),
            op::RET_A => return Next::Return(self.a),
            op::JA => return Next::Skip(k as usize),
            _ if is_branch(code) => {
                return branch(match code & !op::X {
                    op::JEQ => self.a == operand,
                    op::JGT => self.a > operand,
                    op::JGE => self.a >= operand,
                    _ => self.a & operand != 0,
                });
            }
            _ => match alu(code & op::OPERATION, self.a, operand) {
                Some(result) => self.a = result,
                // Division by X = 0 ends the program (bpf_convert_filter).
                None => return Next::Return(0),
            },
        }
        Next::Skip(0)
    }
}

fn alu(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        op::ADD => a.wrapping_add(operand),
        op::SUB => a.wrapping_sub(operand),
        op::MUL => a.wrapping_mul(operand),
        op::DIV => a.checked_div(operand)?,
        op::OR => a | operand,
        op::AND => a & operand,
        // A shift counts modulo 32, as eBPF's.
        op::LSH => a.wrapping_shl(operand),
        op::RSH => a.wrapping_shr(operand),
        _ => a ^ operand,
    })
}
