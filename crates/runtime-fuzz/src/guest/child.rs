//! The process that runs one program.
//!
//! Its first thread makes no call of the program: it has each made by the thread that the program names, in order, and
//! goes on when the call has not returned in the time that is allowed. So a call that waits is told from one that returns, and
//! others can end its wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::raw::{self, Shared, call, futex_wait, futex_wake};
use super::state;
use crate::exec::{ExecCall, Word};
use crate::program::{THREADS, User};
use crate::wire::{Progress, Request, State};

/// Places of numbers in the shared memory: three for each call, then these.
pub(super) const PER_CALL: usize = 4;
/// Where the length of the lines of the end state is told, plus one.
pub(super) const STATE_LEN: usize = 1000;
/// Where those lines are.
pub(super) const STATE_AT: usize = 1001;
/// The number of a process's user that is not root.
pub(super) const PLAIN: u64 = 1000;
/// While others wait, how long each call is given to end their waits.
const SETTLE: Duration = Duration::from_millis(2);

/// Calls of which a program's processes must not make some.
fn is_refused(call: &ExecCall, args: &[u64; 6]) -> bool {
    let first = args[0] as i32;
    match i64::from(call.nr) {
        // It would hit the executor, or go on in its memory.
        libc::SYS_kill
        | libc::SYS_rt_sigqueueinfo
        | libc::SYS_tgkill
        | libc::SYS_tkill
        | libc::SYS_rt_tgsigqueueinfo => first == -1 || first == 1 || first == 2 || first < -1,
        libc::SYS_vfork | libc::SYS_rt_sigreturn | libc::SYS_reboot | libc::SYS_clone3 => true,
        libc::SYS_clone => args[0] & libc::CLONE_VM as u64 != 0,
        _ => false,
    }
}

struct Runner<'a> {
    request: &'a Request,
    shared: &'a Arc<Shared>,
    /// For each thread: the call that it is to make, plus one; 0 when it has none.
    posts: Arc<Vec<Post>>,
    vars: Vec<u64>,
    /// How much of the shared bytes is used.
    used: usize,
}

struct Post {
    call: AtomicU32,
    args: [std::sync::atomic::AtomicU64; 6],
    nr: AtomicU32,
}

/// Runs the program and ends the process.
pub(super) fn run(request: &Request, shared: Arc<Shared>) -> ! {
    call(libc::SYS_setpgid, &[0, 0]);
    call(libc::SYS_close_range, &[3, u64::from(u32::MAX), 0]);
    if request.exec.user == User::Plain {
        call(libc::SYS_setgroups, &[0, 0]);
        call(libc::SYS_setresgid, &[PLAIN; 3]);
        call(libc::SYS_setresuid, &[PLAIN; 3]);
    }
    // A change of ids takes it away, and with it the owner of /proc/self.
    call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as u64, 1]);
    call(libc::SYS_umask, &[0o22]);
    if !raw::map_data() {
        raw::leave(99);
    }
    mask(libc::SIG_SETMASK, u64::MAX);
    let posts: Vec<Post> = (0..THREADS).map(|_| Post::new()).collect();
    let vars = vec![u64::MAX; 256];
    let mut runner = Runner { request, shared: &shared, posts: Arc::new(posts), vars, used: 0 };
    runner.start_threads();
    for at in 0..request.exec.calls.len() {
        runner.step(at);
    }
    runner.finish();
    raw::leave(0)
}

fn mask(how: i32, set: u64) {
    call(libc::SYS_rt_sigprocmask, &[how as u64, (&raw const set) as u64, 0, 8]);
}

impl Post {
    fn new() -> Self {
        Self { call: AtomicU32::new(0), args: Default::default(), nr: AtomicU32::new(0) }
    }
}

impl Runner<'_> {
    fn start_threads(&self) {
        let last = self.request.exec.calls.iter().map(|call| call.thread).max().unwrap_or(0);
        for thread in 0..=usize::from(last) {
            let (posts, shared) = (Arc::clone(&self.posts), Arc::clone(self.shared));
            let started = std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || serve(thread, &posts, &shared));
            if started.is_err() {
                raw::leave(98);
            }
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(u64::from(self.request.patience_ms))
    }

    fn post(&self, thread: u8) -> Option<&Post> {
        self.posts.get(usize::from(thread))
    }

    /// Waits until a thread has no call; false when it still has one.
    fn is_free(&self, thread: u8, limit: Duration) -> bool {
        let Some(post) = self.post(thread) else { return false };
        let begin = Instant::now();
        loop {
            let now = post.call.load(Ordering::Acquire);
            if now == 0 {
                return true;
            }
            let Some(left) = limit.checked_sub(begin.elapsed()) else { return false };
            futex_wait(&post.call, now, left.as_millis() as u64 + 1);
        }
    }

    fn value(&self, word: Word) -> u64 {
        match word {
            Word::Known(value) => value,
            Word::Var(var) => self.vars.get(var as usize).copied().unwrap_or(u64::MAX),
            Word::Handler => raw::handler(),
            Word::Restorer => raw::restorer(),
            Word::Port(port) => u64::from((self.request.port + u16::from(port)).swap_bytes()),
        }
    }

    fn step(&mut self, at: usize) {
        let Some(call) = self.request.exec.calls.get(at) else { return };
        if call.after_ms > 0 {
            std::thread::sleep(Duration::from_millis(u64::from(call.after_ms)));
        }
        if !self.is_free(call.thread, self.patience()) {
            self.tell(at, Progress::Skipped);
            return;
        }
        for (addr, bytes) in &call.copy_in {
            raw::poke(*addr, bytes);
        }
        for patch in &call.patches {
            let bytes = self.value(patch.word).to_le_bytes();
            raw::poke(patch.addr, &bytes[..usize::from(patch.width).min(8)]);
        }
        let args = call.args.map(|word| self.value(word));
        if is_refused(call, &args) {
            self.tell(at, Progress::Skipped);
            return;
        }
        self.tell(at, Progress::Waiting);
        let Some(post) = self.post(call.thread) else { return };
        post.nr.store(call.nr, Ordering::Relaxed);
        post.args.iter().zip(args).for_each(|(register, arg)| register.store(arg, Ordering::Relaxed));
        post.call.store(at as u32 + 1, Ordering::Release);
        futex_wake(&post.call);
        if self.is_free(call.thread, self.patience()) {
            self.keep(at);
        }
        if self.request.state == State::With
            && self.posts.iter().any(|post| post.call.load(Ordering::Acquire) != 0)
        {
            std::thread::sleep(SETTLE);
        }
    }

    fn tell(&self, at: usize, progress: Progress) {
        self.shared.word(at * PER_CALL).store(progress as u64, Ordering::Release);
    }

    fn progress(&self, at: usize) -> Progress {
        Progress::of(self.shared.word(at * PER_CALL).load(Ordering::Acquire))
    }

    /// Keeps what a call that has returned wrote.
    fn keep(&mut self, at: usize) {
        let Some(call) = self.request.exec.calls.get(at) else { return };
        let answer = self.shared.word(at * PER_CALL + 1).load(Ordering::Acquire);
        let mut names = Vec::new();
        if let Some(var) = call.result {
            names.push((var, if (answer as i64) < 0 && answer as i64 > -4096 { u64::MAX } else { answer }));
        }
        for (addr, var) in &call.binds {
            let mut bytes = [0; 4];
            raw::peek(*addr, &mut bytes);
            let is_unwritten = bytes == [crate::exec::FILL; 4];
            names.push((*var, if is_unwritten { u64::MAX } else { u64::from(u32::from_le_bytes(bytes)) }));
        }
        for (var, value) in names {
            if let Some(place) = self.vars.get_mut(var as usize) {
                *place = value;
            }
        }
        let start = self.used;
        for region in &call.regions {
            let mut bytes = vec![0; region.len as usize];
            raw::peek(region.addr, &mut bytes);
            if !self.shared.write(self.used, &bytes) {
                break;
            }
            self.used += bytes.len();
        }
        self.shared.word(at * PER_CALL + 2).store(start as u64, Ordering::Relaxed);
        self.shared.word(at * PER_CALL + 3).store((self.used - start) as u64, Ordering::Release);
    }

    fn finish(&mut self) {
        let waiting: Vec<usize> =
            (0..self.request.exec.calls.len()).filter(|&at| self.progress(at) == Progress::Waiting).collect();
        for &at in &waiting {
            self.is_free(self.request.exec.calls[at].thread, self.patience());
        }
        for at in 0..self.request.exec.calls.len() {
            let is_kept = self.shared.word(at * PER_CALL + 3).load(Ordering::Acquire) > 0;
            if self.progress(at) == Progress::Done && !is_kept {
                self.keep(at);
            }
        }
        if self.request.state == State::With {
            let lines = state::of_process().join("\n");
            let len = if self.shared.write(self.used, lines.as_bytes()) { lines.len() } else { 0 };
            self.shared.word(STATE_AT).store(self.used as u64, Ordering::Relaxed);
            self.shared.word(STATE_LEN).store(len as u64 + 1, Ordering::Release);
        }
    }
}

/// A thread that makes the calls it is told to.
fn serve(thread: usize, posts: &[Post], shared: &Shared) {
    mask(libc::SIG_SETMASK, 0);
    let Some(post) = posts.get(thread) else { return };
    loop {
        let at = post.call.load(Ordering::Acquire);
        if at == 0 {
            futex_wait(&post.call, 0, 60_000);
            continue;
        }
        let args = std::array::from_fn(|n| post.args[n].load(Ordering::Relaxed));
        let nr = post.nr.load(Ordering::Relaxed);
        let answer = raw::syscall(nr, args);
        if answer == 0 && [libc::SYS_fork, libc::SYS_clone].contains(&i64::from(nr)) {
            raw::leave(7);
        }
        let at = at as usize - 1;
        shared.word(at * PER_CALL + 1).store(answer as u64, Ordering::Release);
        shared.word(at * PER_CALL).store(Progress::Done as u64, Ordering::Release);
        post.call.store(0, Ordering::Release);
        futex_wake(&post.call);
    }
}
