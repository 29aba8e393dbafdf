//! Security events: a line of JSON for each, to a file or socket that was opened outside. deploy/security-events.schema.json
//! says what they look like.
//!
//! What an event says comes from the kernel's own books where they know (the program that runs, the file that was opened,
//! the peer of a socket). What a call merely asked for is the guest's word, which another of its threads may have
//! changed meanwhile: such events have `"claimed": true`.
//!
//! A thread of its own writes. Whoever reads slowly loses events, which are counted and told; a reader that has gone ends
//! the stream.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use kernel_base::reg::Fd;
use kernel_base::sync::Mutex;
use kernel_net::SocketFile;
use kernel_syscalls::{Ending, Observed, Observer, Observers, Outcome, strace};
use kernel_task::{Kernel, Task};
use kernel_vfs::inode::FileKind;
use platform_api::ProcFile;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use syscall_table::Disposition;

use super::Attached;
use super::address;
use crate::error::{Error, shown};

/// The version of the schema.
const VERSION: u32 = 1;
/// Lines that wait for the writer, and their bytes.
const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 2 << 20;
/// How long the writer sleeps when there is nothing to write.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a reader may take for what is left at a container's end.
const LAST: Duration = Duration::from_secs(1);
/// Stack of the writer.
const STACK: usize = 128 * 1024;
/// How much of a command line is told.
const ARGV_LEN: usize = 4096;
/// EPERM and EACCES.
const DENIALS: [i32; 2] = [1, 13];
/// Calls that change who a thread is.
const IDENTITY: &[&str] = &[
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
];
const OPENS: &[&str] = &["open", "openat", "openat2", "creat"];

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    bytes: usize,
    /// Events that found no room since the last line.
    dropped: u64,
}

/// The events of a container.
pub(crate) struct Monitor {
    container: String,
    /// Directories whose files may be written.
    volumes: Vec<Vec<u8>>,
    queue: Mutex<Queue>,
    over: AtomicBool,
}

impl Monitor {
    /// Begins to tell, on `to`, which must not block.
    pub(crate) fn start(
        container: &str,
        volumes: Vec<Vec<u8>>,
        to: OwnedFd,
        observers: &Arc<Observers>,
        kernel: &Arc<Kernel>,
    ) -> Result<JoinHandle<()>, Error> {
        let monitor = Arc::new(Self {
            container: container.to_owned(),
            volumes,
            queue: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let observer: Arc<dyn Observer> = Arc::<Self>::clone(&monitor);
        let attached = Attached::new(observers, kernel, observer)?;
        let body = move || {
            if let Err(error) = monitor.write(&to) {
                tracing::warn!(%error, "nobody takes security events any more");
            }
            drop(attached);
        };
        thread::Builder::new().name("monitor".to_owned()).stack_size(STACK).spawn(body).map_err(Error::Thread)
    }

    /// Writes until the container has ended.
    fn write(&self, to: &OwnedFd) -> std::io::Result<()> {
        let (mut deadline, mut seq) = (None, 0u64);
        loop {
            let over = self.over.load(Ordering::SeqCst);
            if over && deadline.is_none() {
                deadline = Some(Instant::now() + LAST);
            }
            let (mut lines, dropped) = self.take();
            if lines.is_empty() && dropped == 0 {
                if over {
                    return Ok(());
                }
                // Whoever is gone is noticed before there is something to tell.
                wait(to, PollFlags::empty(), PAUSE)?;
                thread::sleep(PAUSE);
                continue;
            }
            if dropped > 0 {
                lines.push(self.line(json!({ "type": "dropped", "count": dropped })));
            }
            let mut text = String::new();
            for line in lines {
                // Counted as they are written, so that a number that lacks is a line that was lost.
                text.push_str(&format!("{{\"seq\":{seq},{}", line.trim_start_matches('{')));
                seq += 1;
            }
            self.write_all(to, text.as_bytes(), deadline)?;
        }
    }

    fn write_all(
        &self,
        to: &OwnedFd,
        mut bytes: &[u8],
        mut deadline: Option<Instant>,
    ) -> std::io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(to, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    wait(to, PollFlags::OUT, PAUSE)?;
                    if deadline.is_none() && self.over.load(Ordering::SeqCst) {
                        deadline = Some(Instant::now() + LAST);
                    }
                    if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                        return Err(std::io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&self) -> (Vec<String>, u64) {
        let mut queue = self.queue.lock();
        queue.bytes = 0;
        (queue.lines.drain(..).collect(), std::mem::take(&mut queue.dropped))
    }

    /// A line: what all events have but its number, and what is this one's own.
    fn line(&self, mut event: Value) -> String {
        event["version"] = VERSION.into();
        event["time"] = runtime_oci::rfc3339(SystemTime::now()).into();
        event["container"] = self.container.as_str().into();
        format!("{event}\n")
    }

    fn tell(&self, task: &Task, call: &str, mut event: Value) {
        if !self.queue.lock().has_room() {
            return;
        }
        event["call"] = call.into();
        event["process"] = process(task);
        let line = self.line(event);
        let mut queue = self.queue.lock();
        queue.bytes += line.len();
        queue.lines.push_back(line);
    }

    fn succeeded(&self, observed: &Observed<'_>, name: &str, value: i64) {
        let task = observed.task;
        match name {
            // The loader has the new program in place.
            "loader_done" => {
                let event = json!({ "type": "exec", "path": program(task), "argv": arguments(task), "claimed": false });
                self.tell(task, "execve", event);
            }
            "connect" => self.tell(task, name, connection(observed, None)),
            _ if OPENS.contains(&name) => {
                if let Some(event) = self.opened(task, value) {
                    self.tell(task, name, event);
                }
            }
            // What they are now is what every event says.
            _ if IDENTITY.contains(&name) => {
                self.tell(task, name, json!({ "type": "credentials", "claimed": false }))
            }
            _ => {}
        }
    }

    /// A regular file outside all volumes that was opened for writing.
    fn opened(&self, task: &Task, value: i64) -> Option<Value> {
        let file = task.process.files.get(Fd(i32::try_from(value).ok()?)).ok()?;
        if !file.flags().writable() || file.inode.kind() != FileKind::Regular {
            return None;
        }
        let path = file.path.display(&task.process.fs.get().root);
        let is_below = |volume: &Vec<u8>| {
            path.strip_prefix(volume.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        if self.volumes.iter().any(is_below) {
            return None;
        }
        Some(
            json!({ "type": "open-write", "path": shown(&path), "created": file.was_created(), "claimed": false }),
        )
    }

    fn failed(&self, observed: &Observed<'_>, name: &str, row: Disposition, errno: abi_linux::Errno) {
        let call = observed.call;
        let known = errno.name().unwrap_or("?");
        if row == Disposition::Native {
            let args: Vec<String> = call.args.iter().map(|arg| format!("{arg:#x}")).collect();
            let event = json!({ "type": "gate-refusal", "args": args, "errno": known, "claimed": true });
            return self.tell(observed.task, name, event);
        }
        if name == "connect" {
            return self.tell(observed.task, name, connection(observed, Some(known)));
        }
        if DENIALS.contains(&errno.raw()) {
            let mem = |addr: u64, buf: &mut [u8]| observed.task.mem().read_partial(addr, buf).unwrap_or(0);
            let text = strace::line(call.nr, &call.args, observed.ending, &mem);
            let event = json!({ "type": "denied", "text": text, "errno": known, "claimed": true });
            self.tell(observed.task, name, event);
        }
    }
}

impl Queue {
    /// Whether a line may be put in; if not, that is counted.
    fn has_room(&mut self) -> bool {
        let has = self.lines.len() < MOST_LINES && self.bytes < MOST_BYTES;
        self.dropped += u64::from(!has);
        has
    }
}

impl Observer for Monitor {
    fn call(&self, observed: &Observed<'_>) {
        let Some(row) = syscall_table::by_nr(observed.call.nr) else { return };
        match observed.ending {
            Ending::Answered(Ok(Outcome::Value(value))) => self.succeeded(observed, row.name, *value),
            Ending::Answered(Err(errno)) => self.failed(observed, row.name, row.disposition, *errno),
            Ending::Answered(Ok(_)) | Ending::Interrupted => {}
        }
    }

    fn ended(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Waits for a reader's room; an error when it has gone.
fn wait(to: &OwnedFd, wanted: PollFlags, limit: Duration) -> std::io::Result<()> {
    let limit =
        Timespec { tv_sec: 0, tv_nsec: if wanted.is_empty() { 0 } else { limit.subsec_nanos().into() } };
    let mut watched = [PollFd::new(to, wanted)];
    match poll(&mut watched, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = watched.iter().any(|it| it.revents().intersects(PollFlags::ERR | PollFlags::HUP));
    if gone { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

/// Who made the call, as it is now.
fn process(task: &Task) -> Value {
    let credentials = task.credentials();
    json!({
        "pid": task.process.pid, "tid": task.guest_tid, "ppid": task.process.ppid(),
        "comm": text(&task.comm()), "exe": program(task),
        "uid": credentials.ruid, "euid": credentials.euid, "gid": credentials.rgid, "egid": credentials.egid,
        "capabilities": format!("{:#x}", credentials.effective.0),
    })
}

/// The program that a process runs, by the kernel's books.
fn program(task: &Task) -> String {
    let exe = task.process.image.read().exe.clone();
    exe.map(|exe| shown(&exe.display(&task.process.fs.get().root))).unwrap_or_default()
}

/// Its command line, which it may change.
fn arguments(task: &Task) -> Vec<String> {
    let mut line = Vec::new();
    if task.kernel().platform.read_proc(task.tid, ProcFile::Cmdline, ARGV_LEN, &mut line).is_err() {
        return Vec::new();
    }
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// To whom a connect(2) went. The socket knows its peer once there is one.
fn connection(observed: &Observed<'_>, errno: Option<&str>) -> Value {
    let [fd, at, len, ..] = observed.call.args;
    let task = observed.task;
    let peer = || {
        let file = task.process.files.get(Fd(fd as i32)).ok()?;
        SocketFile::of(&file).ok()?.socket().peer_name().ok()
    };
    let known = if errno.is_none() { peer() } else { None };
    let claimed = known.is_none();
    let address = known.unwrap_or_else(|| {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(address::LONGEST)];
        let got = task.mem().read_partial(at, &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        bytes
    });
    let mut event = json!({ "type": "connect", "address": address::shown(&address), "claimed": claimed });
    if let Some(errno) = errno {
        event["errno"] = errno.into();
    }
    event
}
