//! Builds the stack that the image starts with. Linux v6.12 fs/binfmt_elf.c:create_elf_tables.
//!
//! The host made a stack for the loader: argc, argv, envp, auxv, then the strings. The strings stay. Below
//! argc go first our strings (for `#!` the prefix and a copy of argv[1..], so that the arguments are
//! contiguous as /proc/<pid>/cmdline and setproctitle want them; then AT_EXECFN's), and below those a new
//! block of words, aligned to 16 bytes.

use core::slice;

use crate::image::{Bases, page_down, page_up};
use crate::plan::Plan;
use crate::protocol::{FAILED_STACK, FLAG_EXEC_STACK, PlanHeader};
use crate::{Failure, mem, sys};

const AT_NULL: u64 = 0;
const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_BASE: u64 = 7;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_SECURE: u64 = 23;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// The finished stack, as `LOADER_DONE` reports it.
pub(crate) struct Image {
    pub(crate) sp: u64,
    pub(crate) vdso: u64,
    pub(crate) arg_start: u64,
    pub(crate) arg_end: u64,
}

/// The words that the host kernel left at the stack pointer.
struct Initial<'a> {
    argv: &'a [u64],
    envp: &'a [u64],
    auxv: &'a [[u64; 2]],
}

/// Where the new strings went.
struct Strings {
    bottom: u64,
    execfn: u64,
    /// The first string of the prefix.
    prefix: u64,
    /// Added to the old address of argv[1..].
    shift: u64,
    arg_start: u64,
    arg_end: u64,
}

pub(crate) fn build(initial: *const u64, plan: &Plan, bases: &Bases) -> Result<Image, Failure> {
    // SAFETY: `initial` is the stack pointer at exec, and nothing has written there since.
    let old = unsafe { Initial::read(initial) };
    let strings = copy_strings(initial as u64, plan, &old);
    let prefix_count = plan.header().prefix_count as usize;
    let rest = if prefix_count > 0 { old.argv.get(1..).unwrap_or_default() } else { old.argv };
    let argc = prefix_count.wrapping_add(rest.len());
    // argc, argv, NULL, envp, NULL, auxv with AT_NULL.
    let words = argc.wrapping_add(old.envp.len()).wrapping_add(3).wrapping_add(2 * old.auxv.len());
    let sp = strings.bottom.wrapping_sub(8 * words as u64) & !15;
    // SAFETY: free stack below the strings, which grows on touch; `sp` is aligned.
    let block = unsafe { slice::from_raw_parts_mut(sp as *mut u64, words) };
    let mut to = block.iter_mut();
    let mut put = |value: u64| {
        if let Some(word) = to.next() {
            *word = value;
        }
    };
    put(argc as u64);
    let mut string = strings.prefix;
    for _ in 0..prefix_count {
        put(string);
        // SAFETY: the encoder ended each of the `prefix_count` strings with a NUL.
        string = string.wrapping_add(unsafe { mem::string_len(string) });
    }
    rest.iter().for_each(|arg| put(arg.wrapping_add(strings.shift)));
    put(0);
    old.envp.iter().for_each(|variable| put(*variable));
    put(0);
    let mut vdso = 0;
    for [kind, value] in old.auxv {
        if *kind == AT_SYSINFO_EHDR {
            vdso = *value;
        }
        put(*kind);
        put(aux_value(*kind, *value, plan.header(), bases, strings.execfn));
    }
    if plan.header().flags & FLAG_EXEC_STACK != 0 {
        make_executable(sp, &old)?;
    }
    Ok(Image { sp, vdso, arg_start: strings.arg_start, arg_end: strings.arg_end })
}

impl Initial<'_> {
    /// # Safety
    /// `at` points to argc of an untouched initial stack, which outlives the result.
    unsafe fn read(at: *const u64) -> Self {
        // SAFETY: argc is there.
        let argc = unsafe { at.read() } as usize;
        let argv = at.wrapping_add(1);
        let envp = argv.wrapping_add(argc).wrapping_add(1);
        let mut end = envp;
        // SAFETY: envp ends with a NULL that has not been passed.
        while unsafe { end.read_volatile() } != 0 {
            end = end.wrapping_add(1);
        }
        let envc = (end as usize).wrapping_sub(envp as usize) / 8;
        let auxv = end.wrapping_add(1).cast::<[u64; 2]>();
        let mut count = 1;
        // SAFETY: auxv ends with AT_NULL, which has not been passed.
        while unsafe { auxv.wrapping_add(count - 1).cast::<u64>().read_volatile() } != AT_NULL {
            count += 1;
        }
        // SAFETY: argc pointers follow argc.
        let argv = unsafe { slice::from_raw_parts(argv, argc) };
        // SAFETY: counted above.
        let envp = unsafe { slice::from_raw_parts(envp, envc) };
        // SAFETY: counted above, with the AT_NULL.
        let auxv = unsafe { slice::from_raw_parts(auxv, count) };
        Self { argv, envp, auxv }
    }

    /// The bytes of argv[from..] with their NULs; the host kernel puts them one after another.
    fn arguments(&self, from: usize) -> (u64, u64) {
        match (self.argv.get(from), self.argv.last()) {
            // SAFETY: each argv entry points to a NUL-terminated string.
            (Some(first), Some(last)) => (*first, last.wrapping_add(unsafe { mem::string_len(*last) })),
            _ => (0, 0),
        }
    }
}

fn copy_strings(top: u64, plan: &Plan, old: &Initial<'_>) -> Strings {
    let header = plan.header();
    let execfn_from = plan.address(header.execfn_off);
    // SAFETY: the encoder ended the string with a NUL.
    let execfn_len = unsafe { mem::string_len(execfn_from) };
    let execfn = top.wrapping_sub(execfn_len);
    // SAFETY: free stack, which grows on touch.
    unsafe { mem::copy(execfn, execfn_from, execfn_len) };
    if header.prefix_count == 0 {
        let (arg_start, arg_end) = old.arguments(0);
        return Strings { bottom: execfn, execfn, prefix: 0, shift: 0, arg_start, arg_end };
    }
    let (args_from, args_end) = old.arguments(1);
    let args_len = args_end.wrapping_sub(args_from);
    let args = execfn.wrapping_sub(args_len);
    // SAFETY: as above; the strings of the initial stack lie above `top`.
    unsafe { mem::copy(args, args_from, args_len) };
    let prefix_len = u64::from(header.prefix_len);
    let prefix = args.wrapping_sub(prefix_len);
    // SAFETY: as above; the encoder put `prefix_len` bytes at that offset.
    unsafe { mem::copy(prefix, plan.address(header.prefix_off), prefix_len) };
    let shift = args.wrapping_sub(args_from);
    Strings { bottom: prefix, execfn, prefix, shift, arg_start: prefix, arg_end: execfn }
}

fn aux_value(kind: u64, value: u64, header: &PlanHeader, bases: &Bases, execfn: u64) -> u64 {
    match kind {
        AT_PHDR => bases.phdr,
        AT_PHENT => u64::from(header.phent),
        AT_PHNUM => u64::from(header.phnum),
        AT_BASE => bases.interp,
        AT_ENTRY => bases.entry,
        AT_EXECFN => execfn,
        AT_UID => u64::from(header.uid),
        AT_EUID => u64::from(header.euid),
        AT_GID => u64::from(header.gid),
        AT_EGID => u64::from(header.egid),
        AT_SECURE => u64::from(header.secure),
        _ => value,
    }
}

/// Gives the stack PROT_EXEC, from its lower end (PROT_GROWSDOWN) to the host's own execfn, which is the
/// topmost string.
fn make_executable(sp: u64, old: &Initial<'_>) -> Result<(), Failure> {
    let start = page_down(sp);
    let top = old.auxv.iter().find(|[kind, _]| *kind == AT_EXECFN).map_or(sp, |[_, value]| *value);
    let len = page_up(top.wrapping_add(1)).wrapping_sub(start);
    let failed = |errno| Failure { step: FAILED_STACK, errno, index: 0 };
    sys::make_executable(start, len).map(|_| ()).map_err(failed)
}
