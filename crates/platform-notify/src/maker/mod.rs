//! The maker: the process that makes guests on the supervisor's behalf once the supervisor may not fork any more.
//!
//! A process that is forked inherits filter and capabilities, so whoever makes guests must have neither: it is forked
//! from the supervisor before that confines itself, and does one thing at a time on request, over a socket that nobody
//! else has. What it makes is the *supervisor's* child (CLONE_PARENT), so ends and exit statuses go where they would
//! otherwise; PR_SET_PDEATHSIG belongs to the thread that started the maker.
//!
//! A request may come from a supervisor that a guest has taken over. So the maker makes only what is a guest: a process
//! in namespaces of its own, or in those of an init that it made itself, never in ones that a request names. It ends
//! with the supervisor.

mod outside;
mod wire;

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use abi_linux::{Errno, SysResult};
use host_sys::child::{self as host, Strings};
use host_sys::pidfd;
use parking_lot::Mutex;
use platform_api::HostTid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::errno;
use crate::spawn::child::{self, Plan};
use crate::spawn::{Away, GuestIds, SpawnError, SpawnSpec, Step, write_id_maps};
use outside::{Hangings, OomScore};
use wire::{Fds, Kind, Request};

/// PR_SET_DUMPABLE of include/uapi/linux/prctl.h.
const PR_SET_DUMPABLE: i32 = 4;

/// What else a maker does: gets bytes, gives bytes.
pub type Errands<'a> = Box<dyn FnMut(&[u8]) -> Vec<u8> + 'a>;

/// The supervisor's side. Dropping it ends the maker.
pub struct Maker {
    /// `None` once it is to end.
    socket: Mutex<Option<UnixStream>>,
    process: OwnedFd,
}

fn io_errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EPIPE))
}

impl Maker {
    /// Forks a maker from this process, which must have one thread. `errands` run in the maker, unconfined.
    pub fn start(errands: Errands<'_>) -> SysResult<Self> {
        // A copy of a process with other threads has their locks, but not them. Two links are "." and "..".
        let threads = rustix::fs::stat("/proc/self/task").map_err(errno)?.st_nlink;
        if threads != 3 {
            return Err(Errno::EBUSY);
        }
        let (ours, theirs) = UnixStream::pair().map_err(|error| io_errno(&error))?;
        // SAFETY: this process has one thread, so nothing in the copy is in the middle of a change, and the child may do
        // what any program may. It leaves by exit, not by returning.
        let made = unsafe { host::clone(0) }?;
        match made {
            host::Side::Child => {
                drop(ours);
                // What a terminal sends is for the supervisor.
                let _ = host::new_group();
                let _ = rustix::thread::set_name(c"palisade-maker");
                // Not for the supervisor to look into. Who is no user of rank needs its own children's files in /proc.
                if rustix::process::geteuid().is_root() {
                    let _ = host::prctl(PR_SET_DUMPABLE, 0);
                }
                serve(&theirs, errands);
                host::exit(0)
            }
            host::Side::Parent { pidfd, .. } => Ok(Self { socket: Mutex::new(Some(ours)), process: pidfd }),
        }
    }

    /// Has the maker do something else.
    pub fn errand(&self, what: &[u8]) -> SysResult<Vec<u8>> {
        let socket = self.socket.lock();
        let socket = socket.as_ref().ok_or(Errno::ESRCH)?;
        wire::send(socket, &Request::errand(what), &[])?;
        wire::receive(socket)?.map(|(bytes, _)| bytes).ok_or(Errno::ESRCH)
    }

    /// Has a guest made that talks over `socket`: an init, or the helper that joins the container of the init `target`.
    pub(crate) fn make(
        &self,
        spec: &SpawnSpec<'_>,
        target: Option<HostTid>,
        socket: BorrowedFd<'_>,
        loader: BorrowedFd<'_>,
    ) -> Result<HostTid, SpawnError> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![socket, loader];
        fds.extend(spec.network);
        fds.extend(spec.doors.iter().map(AsFd::as_fd));
        self.ask(&Request::spawn(spec, target), &fds)
    }

    /// Says in which mount namespace the maker is to hang trees; once.
    pub(crate) fn serve_home(&self, namespace: BorrowedFd<'_>) -> SysResult<()> {
        self.mounts(Kind::Home, &[namespace])
    }

    /// Has a tree hung there.
    pub(crate) fn hang(&self, number: u32, tree: BorrowedFd<'_>) -> SysResult<()> {
        self.mounts(Kind::Hang(number), &[tree])
    }

    /// Has one taken down.
    pub(crate) fn take_down(&self, number: u32) -> SysResult<()> {
        self.mounts(Kind::TakeDown(number), &[])
    }

    fn mounts(&self, kind: Kind<'_>, fds: &[BorrowedFd<'_>]) -> SysResult<()> {
        self.ask(&Request::mounts(kind), fds).map(drop).map_err(|error| error.errno)
    }

    /// Asks for what is answered by a number, or a step that failed.
    fn ask(&self, request: &[u8], fds: &[BorrowedFd<'_>]) -> Result<HostTid, SpawnError> {
        let lost = |errno| SpawnError { step: Step::Clone, errno };
        let held = self.socket.lock();
        let stream = held.as_ref().ok_or(lost(Errno::ESRCH))?;
        wire::send(stream, request, fds).map_err(lost)?;
        let mut answer = [0; 8];
        let mut reader = stream;
        reader.read_exact(&mut answer).map_err(|error| lost(io_errno(&error)))?;
        wire::outcome(answer)
    }

    /// Ends the maker and waits until it is gone.
    pub fn end(&self) {
        if self.socket.lock().take().is_some() {
            let _ = pidfd::reap(self.process.as_fd());
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.end();
    }
}

/// An init that was made here.
struct Init {
    pid: HostTid,
    pidfd: OwnedFd,
}

impl Init {
    fn is_dead(&self) -> bool {
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) != Ok(0)
    }
}

/// The maker's life.
fn serve(socket: &UnixStream, mut errands: Errands<'_>) {
    let (mut inits, mut hangings) = (Vec::new(), Hangings::default());
    while let Ok(Some((bytes, fds))) = wire::receive(socket) {
        inits.retain(|init: &Init| !init.is_dead());
        let Some(request) = Request::parse(&bytes) else { return };
        if let Kind::Errand(what) = request.kind {
            let answer = errands(what);
            if wire::send_bytes(socket, &answer, &[]).is_err() {
                return;
            }
            continue;
        }
        let first = |fds: Vec<OwnedFd>| fds.into_iter().next();
        let hung = |errno| SpawnError { step: Step::Mounts, errno };
        let made = match request.kind {
            Kind::Home => hangings.settle(first(fds)).map(|()| 0).map_err(hung),
            Kind::Hang(number) => hangings.hang(number, first(fds)).map(|()| 0).map_err(hung),
            Kind::TakeDown(number) => hangings.take_down(number).map(|()| 0).map_err(hung),
            _ => wire::split(fds, &request).and_then(|fds| make(&request, fds, &mut inits, &hangings)),
        };
        let mut writer = socket;
        if writer.write_all(&wire::answer(made)).is_err() {
            return;
        }
    }
}

fn make(
    request: &Request<'_>,
    fds: Fds,
    inits: &mut Vec<Init>,
    hangings: &Hangings,
) -> Result<HostTid, SpawnError> {
    let at = |step: Step| move |errno: Errno| SpawnError { step, errno };
    let target = match request.kind {
        Kind::Join(pid) => {
            let init = inits.iter().find(|init| init.pid == pid);
            Some(init.ok_or(at(Step::Join)(Errno::ESRCH))?.pidfd.as_fd())
        }
        _ => None,
    };
    let plan = Plan {
        filter: &request.filter,
        argv: Strings::new(request.argv.clone()),
        envp: Strings::new(request.envp.clone()),
        loader: host::number(fds.loader.as_fd()),
        socket: host::number(fds.socket.as_fd()),
        parent_socket: None,
        target: target.map(host::number),
        privileged: rustix::process::geteuid().is_root(),
        ids: GuestIds { uid: request.uid, gid: request.gid },
        doors: fds.doors.iter().map(|door| host::number(door.as_fd())).collect(),
    };
    let score = request.oom_score_adj.map(OomScore::set).transpose().map_err(at(Step::OomScore))?;
    let away = fds.network.as_ref().map(|network| Away::enter(network.as_fd()));
    let away = away.transpose().map_err(at(Step::Network))?;
    let namespaces = match (target, &away) {
        (Some(_), _) => 0,
        (None, Some(_)) => child::NAMESPACES & !libc::CLONE_NEWNET,
        (None, None) => child::NAMESPACES,
    };
    let clone = || {
        // SAFETY: the child runs child::run or child::run_helper only, which neither allocate, lock nor unwind, and never
        // return.
        match unsafe { host::clone_sibling(namespaces) }? {
            0 if target.is_some() => child::run_helper(&plan),
            0 => child::run(&plan),
            pid => Ok(pid),
        }
    };
    let pid = if target.is_some() { clone() } else { hangings.make(clone) }.map_err(at(Step::Clone))?;
    drop((away, score));
    if target.is_none() {
        // It waits for the supervisor's word, and is nobody's id else until the supervisor reaps it.
        let pidfd = pidfd::open_process(pid).map_err(at(Step::Clone))?;
        inits.push(Init { pid, pidfd });
        write_id_maps(pid, &plan)?;
        outside::set_sysctls(pid, &request.sysctls).map_err(at(Step::Network))?;
    }
    Ok(pid)
}
