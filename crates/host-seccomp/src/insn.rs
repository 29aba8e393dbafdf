//! One classic BPF instruction. Linux v6.12 include/uapi/linux/{filter,bpf_common,seccomp}.h.

/// `struct sock_filter`, with the same layout.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SockFilter {
    /// Class, size, mode or operation.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jt: u8,
    /// Instructions to skip where it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

pub(crate) const LD_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
pub(crate) const AND_K: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
pub(crate) const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
pub(crate) const JEQ_K: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
pub(crate) const JGT_K: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
pub(crate) const JGE_K: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
pub(crate) const RET_K: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`.
pub(crate) const OFFSET_NR: u32 = 0;
pub(crate) const OFFSET_ARCH: u32 = 4;
pub(crate) const OFFSET_ARGS: u32 = 16;

/// What an instruction does to the program counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// To the next instruction.
    Next,
    /// Skip that many.
    Always(usize),
    /// Skip the first where the comparison holds, else the second.
    Branch(usize, usize),
    /// Ends the program.
    Return,
}

impl SockFilter {
    pub(crate) const fn stmt(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    pub(crate) const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Self {
        Self { code, jt, jf, k }
    }

    pub(crate) fn flow(self) -> Flow {
        match self.code {
            RET_K => Flow::Return,
            JA => Flow::Always(self.k as usize),
            JEQ_K | JGT_K | JGE_K => Flow::Branch(usize::from(self.jt), usize::from(self.jf)),
            _ => Flow::Next,
        }
    }
}

impl From<SockFilter> for libc::sock_filter {
    fn from(insn: SockFilter) -> Self {
        Self { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k }
    }
}

impl From<libc::sock_filter> for SockFilter {
    fn from(insn: libc::sock_filter) -> Self {
        Self { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k }
    }
}
