//! The control socket's side of the supervisor, and `palisade supervise`.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signalfd::{SfdFlags, SignalFd};
use runtime_control::{Reply, Request, frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;

use crate::error::Error;
use crate::jobs;
use crate::supervisor::{Answer, Supervisor};

/// Stack of a connection's thread, which may build what a process needs.
const STACK: usize = 512 * 1024;
/// How long a supervisor for one container waits for somebody to ask for it.
const FIRST_CLIENT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// When no descriptor or thread is left for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers whoever connects; a thread for each.
pub(crate) fn serve(listener: &UnixListener, supervisor: &Arc<Supervisor>) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                thread::sleep(PAUSE);
                continue;
            }
        };
        let answering = Arc::clone(supervisor);
        let body = move || converse(&stream, &answering);
        let started = thread::Builder::new().name("client".to_owned()).stack_size(STACK).spawn(body);
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a thread for a connection");
        }
    }
}

/// Only who may do anything to us anyway.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    socket_peercred(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}

fn converse(stream: &UnixStream, supervisor: &Arc<Supervisor>) {
    if !is_trusted(stream) {
        return;
    }
    loop {
        let (request, fds) = match frame::receive::<Request>(stream) {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "a client said something that cannot be understood");
                break;
            }
        };
        let busy = supervisor.enter();
        let is_last = matches!(request, Request::Shutdown);
        let (reply, fd) = match supervisor.answer(request, fds, stream) {
            Ok(Answer::Now(reply, fd)) => (reply, fd),
            Ok(Answer::Later) => return,
            Err(error) => (Reply::Refused(error.refusal()), None),
        };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        let sent = frame::send(stream, &reply, &fds);
        drop(busy);
        if is_last {
            supervisor.wait_idle();
            std::process::exit(0);
        }
        if sent.is_err() {
            break;
        }
    }
    // Whoever wanted the container was refused, or is dead.
    if supervisor.is_single() && supervisor.is_empty() {
        std::process::exit(i32::from(crate::FAILED));
    }
}

/// `palisade supervise`: the control socket is standard input. Returns only to tell of a failure.
pub fn supervise(dir: &Path, single: bool) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Control(error);
    // Fails for the leader of a group, who would have been started by hand.
    let _ = rustix::process::setsid();
    // In place of "exe".
    let _ = rustix::thread::set_name(c"palisade");
    let listener = UnixListener::from(rustix::stdio::stdin().try_clone_to_owned().map_err(failed)?);
    let null = std::fs::File::open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdin(&null).map_err(|errno| failed(errno.into()))?;
    runtime_control::note_supervisor(dir).map_err(failed)?;
    crate::prepare_process()?;
    let signals = jobs::block_signals()?;
    let supervisor = Supervisor::new(single);
    if single {
        let queue = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(jobs::platform_error)?;
        let forwarding = Arc::clone(&supervisor);
        jobs::start_thread("signals", move || {
            while let Ok(info) = queue.read_signal() {
                info.iter().for_each(|info| forwarding.forward(info.ssi_signo.cast_signed()));
            }
        })?;
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut ready, Some(&FIRST_CLIENT)) == Ok(0) {
            return Err(Error::Control(std::io::ErrorKind::TimedOut.into()));
        }
    }
    serve(&listener, &supervisor);
    Ok(())
}
