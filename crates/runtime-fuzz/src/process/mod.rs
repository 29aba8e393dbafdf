//! The engine without processes: programs meet the kernel crates on a guest made of bytes.
//!
//! Nothing is left to chance: time passes when the program says so, calls that wait are finished in the order in which
//! the kernel makes them ready, and the same program does the same again.

mod coverage;
mod rig;

use std::cell::RefCell;
use std::sync::Once;

use platform_api::fake::{BASE, Event};
use platform_api::{CallId, Reply};

use self::rig::{Rig, SPACE};
use crate::engine::{Answer, Engine, Found, Verdict};
use crate::exec::{FILL, Word, compile};
use crate::link::Lost;
use crate::program::{Program, THREADS, Var};

pub use coverage::is_instrumented;

/// Nanoseconds that pass at the end, for what waits for time.
const END: u64 = 10_000_000_000;
/// What takes the process away, or makes the kernel take it away.
const ENDS: [i64; 5] =
    [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_seccomp, libc::SYS_execve, libc::SYS_execveat];
/// Calls that the kernel may have the host perform for another; anything else is a finding.
const SUBSTITUTES: [i64; 16] = [
    libc::SYS_ioprio_get,
    libc::SYS_move_pages,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_execveat,
    libc::SYS_waitid,
    libc::SYS_wait4,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigprocmask,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_seccomp,
    libc::SYS_prctl,
    libc::SYS_sched_setattr,
];

thread_local! {
    /// What the last panic of this thread said and where.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Kernel crates in this process.
#[derive(Debug, Default)]
pub struct ProcessEngine {
    features: Vec<u32>,
}

impl ProcessEngine {
    /// Panics are written down from now on, not printed.
    pub fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let place =
                    info.location().map_or(String::new(), |at| format!("{}:{}", at.file(), at.line()));
                PANIC.with(|slot| *slot.borrow_mut() = Some((place, info.to_string())));
            }));
        });
        Self::default()
    }
}

impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        "process"
    }

    fn run(&mut self, program: &Program) -> Result<Verdict, Lost> {
        PANIC.with(|slot| slot.borrow_mut().take());
        coverage::clear();
        self.features.clear();
        let threads = i32::from(THREADS);
        let Some(rig) = Rig::new(program.user, threads) else { return Ok(Verdict::default()) };
        let mut run =
            Run { rig, last: [None; THREADS as usize], vars: vec![u64::MAX; 256], answers: Vec::new() };
        let found = run.all(program);
        let Run { rig, answers, .. } = run;
        let mut found = found.or_else(panicked);
        if found.is_none() {
            found = rig.take_down(threads).map(|what| Found {
                key: format!("leak of {}", what.split(", ").last().unwrap_or("")),
                text: format!("{what} is still open when its process is gone"),
            });
        }
        found = found.or_else(panicked);
        coverage::features(&mut self.features);
        Ok(Verdict { found, answers, features: std::mem::take(&mut self.features) })
    }
}

fn panicked() -> Option<Found> {
    let (place, text) = PANIC.with(|slot| slot.borrow_mut().take())?;
    Some(Found { key: format!("panic {place}"), text })
}

struct Run {
    rig: Rig,
    /// For each thread, the call that it has not heard of.
    last: [Option<(CallId, usize)>; THREADS as usize],
    vars: Vec<u64>,
    answers: Vec<Answer>,
}

impl Run {
    fn all(&mut self, program: &Program) -> Option<Found> {
        let exec = compile(program, SPACE);
        self.answers = exec.calls.iter().map(|call| Answer { nr: call.nr, answer: None }).collect();
        let mut now_ns = 0;
        for (at, call) in exec.calls.iter().enumerate() {
            if call.after_ms > 0 {
                now_ns += u64::from(call.after_ms) * 1_000_000;
                self.rig.pass_until(now_ns);
                self.hear(&exec)?;
            }
            let thread = usize::from(call.thread).min(THREADS as usize - 1);
            if self.last[thread].is_some() {
                continue;
            }
            let args = call.args.map(|word| self.value(word));
            let sets_seccomp =
                i64::from(call.nr) == libc::SYS_prctl && args[0] as i32 == libc::PR_SET_SECCOMP;
            if ENDS.contains(&i64::from(call.nr)) || sets_seccomp {
                continue;
            }
            for (addr, bytes) in &call.copy_in {
                self.rig.host.poke(*addr, bytes);
            }
            for patch in &call.patches {
                let bytes = self.value(patch.word).to_le_bytes();
                self.rig.host.poke(patch.addr, &bytes[..usize::from(patch.width).min(8)]);
            }
            let id = self.rig.call(thread as i32, call.nr, args);
            self.last[thread] = Some((id, at));
            if let Err(found) = self.listen(&exec) {
                return Some(found);
            }
        }
        self.rig.pass_until(now_ns + END);
        self.listen(&exec).err()
    }

    /// As [`listen`](Self::listen), for where nothing found means to go on.
    fn hear(&mut self, exec: &crate::exec::Exec) -> Option<()> {
        self.listen(exec).is_ok().then_some(())
    }

    /// Takes what the kernel did.
    fn listen(&mut self, exec: &crate::exec::Exec) -> Result<(), Found> {
        for event in self.rig.host.take_events() {
            match event {
                Event::Replied(id, reply) => self.replied(exec, id, reply),
                Event::Substituted { nr, args } if !SUBSTITUTES.contains(&i64::from(nr)) => {
                    let text = format!("the host was to perform call {nr} with {args:x?}");
                    return Err(Found { key: format!("host call {nr}"), text });
                }
                _ => {}
            }
        }
        match panicked() {
            Some(found) => Err(found),
            None => Ok(()),
        }
    }

    fn replied(&mut self, exec: &crate::exec::Exec, id: CallId, reply: Reply) {
        let Some(slot) = self.last.iter_mut().find(|last| last.is_some_and(|(of, _)| of == id)) else {
            return;
        };
        let Some((_, at)) = slot.take() else { return };
        let answer = match reply {
            Reply::Value(value) => value,
            Reply::Errno(errno) => -i64::from(errno.raw()),
            Reply::Continue => 0,
        };
        if let Some(place) = self.answers.get_mut(at) {
            place.answer = Some(answer);
        }
        let Some(call) = exec.calls.get(at) else { return };
        if let Some(var) = call.result {
            self.name(var, if answer < 0 { u64::MAX } else { answer as u64 });
        }
        for (addr, var) in &call.binds {
            let bytes = self.rig.host.peek(*addr, 4);
            let word = <[u8; 4]>::try_from(bytes).ok().filter(|bytes| *bytes != [FILL; 4]);
            self.name(*var, word.map_or(u64::MAX, |bytes| u64::from(u32::from_le_bytes(bytes))));
        }
    }

    fn name(&mut self, var: Var, value: u64) {
        if let Some(place) = self.vars.get_mut(var as usize) {
            *place = value;
        }
    }

    fn value(&self, word: Word) -> u64 {
        match word {
            Word::Known(value) => value,
            Word::Var(var) => self.vars.get(var as usize).copied().unwrap_or(u64::MAX),
            Word::Handler | Word::Restorer => BASE,
            Word::Port(port) => u64::from((10_000 + u16::from(port)).swap_bytes()),
        }
    }
}
