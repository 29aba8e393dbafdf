//! Programs as text, one instruction a line.

use std::fmt::{self, Write};

use syscall_table::plan::Rule;

use crate::insn::{
    AND_K, JA, JEQ_K, JGE_K, JGT_K, LD_ABS, OFFSET_ARCH, OFFSET_ARGS, OFFSET_NR, RET_K, SockFilter,
};

/// Lines such as `  12: jge mmap (9) ? 20 : 13`. The rules only give the names of the calls.
#[must_use]
pub fn disassemble(program: &[SockFilter], rules: &[Rule]) -> String {
    let mut text = String::new();
    // What the accumulator holds; a program of ours loads before each new comparison in program order.
    let mut loaded = None;
    for (at, insn) in program.iter().enumerate() {
        if insn.code == LD_ABS {
            loaded = Some(insn.k);
        }
        let line = Line { at, insn: *insn, name: name(rules, loaded, insn.k) };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn name(rules: &[Rule], loaded: Option<u32>, nr: u32) -> Option<&'static str> {
    let rule = rules.iter().find(|rule| rule.nr == nr).filter(|_| loaded == Some(OFFSET_NR));
    rule.map(|rule| rule.name)
}

struct Line {
    at: usize,
    insn: SockFilter,
    name: Option<&'static str>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SockFilter { code, jt, jf, k } = self.insn;
        write!(f, "{:4}: ", self.at)?;
        match code {
            LD_ABS => write_load(f, k),
            AND_K => write!(f, "and {k:#x}"),
            JA => write!(f, "ja {}", self.at + 1 + k as usize),
            RET_K => write_return(f, k),
            JEQ_K => self.write_branch(f, "jeq"),
            JGT_K => self.write_branch(f, "jgt"),
            JGE_K => self.write_branch(f, "jge"),
            _ => write!(f, "unknown {code:#x} {jt} {jf} {k:#x}"),
        }
    }
}

impl Line {
    fn write_branch(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{word} {name} ({})", self.insn.k)?,
            None => write!(f, "{word} {:#x}", self.insn.k)?,
        }
        let target = |skip: u8| self.at + 1 + usize::from(skip);
        write!(f, " ? {} : {}", target(self.insn.jt), target(self.insn.jf))
    }
}

fn write_load(f: &mut fmt::Formatter<'_>, offset: u32) -> fmt::Result {
    match offset {
        OFFSET_NR => f.write_str("ld nr"),
        OFFSET_ARCH => f.write_str("ld arch"),
        8 | 12 => write!(f, "ld ip.{}", half(offset)),
        _ => write!(f, "ld args[{}].{}", offset.wrapping_sub(OFFSET_ARGS) / 8, half(offset)),
    }
}

fn half(offset: u32) -> &'static str {
    if offset.is_multiple_of(8) { "low" } else { "high" }
}

fn write_return(f: &mut fmt::Formatter<'_>, value: u32) -> fmt::Result {
    match value {
        libc::SECCOMP_RET_ALLOW => f.write_str("ret ALLOW"),
        libc::SECCOMP_RET_USER_NOTIF => f.write_str("ret USER_NOTIF"),
        libc::SECCOMP_RET_KILL_PROCESS => f.write_str("ret KILL_PROCESS"),
        libc::SECCOMP_RET_TRAP => f.write_str("ret TRAP"),
        libc::SECCOMP_RET_LOG => f.write_str("ret LOG"),
        _ if value & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO => {
            write!(f, "ret ERRNO {}", value & libc::SECCOMP_RET_DATA)
        }
        _ => write!(f, "ret {value:#x}"),
    }
}
