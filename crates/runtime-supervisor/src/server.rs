//! The control socket's side of the supervisor, and `palisade supervise`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signalfd::{SfdFlags, SignalFd};
use platform_notify::home::HostRoot;
use platform_notify::maker::Maker;
use runtime_control::{Reply, Request, frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;

use crate::confinement::{Report, Sockets};
use crate::error::Error;
use crate::group::Placing;
use crate::observe::tap::ToClient;
use crate::supervisor::{Answer, Supervisor};
use crate::{confinement, group, jobs};

/// Stack of a connection's thread, which may build what a process needs.
const STACK: usize = 512 * 1024;
/// How long a supervisor for one container waits for somebody to ask for it.
const FIRST_CLIENT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// When no descriptor or thread is left for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// A request with its descriptors.
type Message = (Request, Vec<OwnedFd>);

/// Answers whoever connects; a thread for each.
pub(crate) fn serve(listener: &UnixListener, supervisor: &Arc<Supervisor>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => attend(stream, None, supervisor),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Starts the thread of a connection, whose first request may have been received.
fn attend(stream: UnixStream, first: Option<Message>, supervisor: &Arc<Supervisor>) {
    let answering = Arc::clone(supervisor);
    let body = move || converse(&stream, first, &answering);
    let started = thread::Builder::new().name("client".to_owned()).stack_size(STACK).spawn(body);
    if let Err(error) = started {
        tracing::warn!(%error, "cannot start a thread for a connection");
    }
}

/// Connections, of which one has sent the first request.
struct First {
    streams: Vec<UnixStream>,
    /// The index of that one, and the request.
    request: Option<(usize, Message)>,
}

/// Waits for the first request, not longer than `limit`, without a thread: it says what the process has to be able to do.
fn first_request(listener: &UnixListener, limit: Option<&Timespec>) -> Result<First, Error> {
    let mut streams: Vec<UnixStream> = Vec::new();
    loop {
        let mut watched = vec![PollFd::new(listener, PollFlags::IN)];
        watched.extend(streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        match poll(&mut watched, limit) {
            Ok(0) => return Err(Error::Control(std::io::ErrorKind::TimedOut.into())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::Control(error.into())),
        }
        let ready: Vec<bool> = watched.iter().map(|it| !it.revents().is_empty()).collect();
        drop(watched);
        if let Some(at) = ready.iter().skip(1).position(|&ready| ready)
            && let Some(stream) = streams.get(at)
        {
            let message = if is_trusted(stream) { frame::receive(stream).ok().flatten() } else { None };
            match message {
                Some(message) => return Ok(First { streams, request: Some((at, message)) }),
                // Whoever wanted the container is dead.
                None if limit.is_some() => {
                    return Err(Error::Control(std::io::ErrorKind::UnexpectedEof.into()));
                }
                None => drop(streams.swap_remove(at)),
            }
        } else if ready.first() == Some(&true) {
            match listener.accept() {
                Ok((stream, _)) => streams.push(stream),
                Err(error) => return Err(Error::Control(error)),
            }
        }
    }
}

/// Which sockets a sandbox needs whose first request this is.
fn sockets(first: &First) -> Sockets {
    match &first.request {
        Some((_, (Request::Create(create), _))) => Sockets::of(&create.spec),
        _ => Sockets::None,
    }
}

/// Only who may do anything to us anyway.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    socket_peercred(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == own)
}

fn converse(stream: &UnixStream, mut first: Option<Message>, supervisor: &Arc<Supervisor>) {
    if !is_trusted(stream) {
        return;
    }
    loop {
        let received =
            first.take().map_or_else(|| frame::receive::<Request>(stream), |first| Ok(Some(first)));
        let (request, fds) = match received {
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
            Ok(Answer::Trace(trace)) => return trace.run(&mut ToClient(stream)),
            Err(error) => (Reply::Refused(error.refusal()), None),
        };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        let sent = frame::send(stream, &reply, &fds);
        drop(busy);
        if is_last {
            supervisor.wait_idle();
            supervisor.exit(0);
        }
        if sent.is_err() {
            break;
        }
    }
    // Whoever wanted the container was refused, or is dead.
    if supervisor.is_single() && supervisor.is_empty() {
        supervisor.exit(i32::from(crate::FAILED));
    }
}

/// Waits until nobody reads standard output any more.
fn wait_for_reader() {
    let stdout = rustix::stdio::stdout();
    loop {
        let mut reader = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut reader, None) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// `palisade supervise`: the control socket is standard input. Returns only to tell of a failure.
///
/// `tied`: whoever reads standard output is its maker, with whom it ends.
pub fn supervise(dir: &Path, single: bool, tied: bool) -> Result<(), Error> {
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
    confinement::scope();
    let mut placing = Placing::default();
    let errands = Box::new(move |what: &[u8]| placing.errand(what).unwrap_or_default());
    let maker = Arc::new(Maker::start(errands).map_err(Error::Maker)?);
    let signals = jobs::block_signals()?;
    let first = first_request(&listener, (single || tied).then_some(&FIRST_CLIENT))?;
    let sockets = sockets(&first);
    let report = Report::wanted();
    if let Some((_, (Request::Create(create), _))) = &first.request {
        group::tell(create.cgroup.as_ref(), &maker)?;
    }
    let mut home = confinement::leave(HostRoot::Left)?;
    home.leave_it_to(&maker).map_err(Error::Maker)?;
    confinement::settle(&home)?;
    confinement::confine(sockets, report)?;
    let supervisor = Supervisor::new(single, sockets, maker, Arc::new(home));
    if tied {
        let ending = Arc::clone(&supervisor);
        jobs::start_thread("tie", move || {
            wait_for_reader();
            ending.shutdown();
            ending.exit(i32::from(crate::FAILED));
        })?;
    }
    if single {
        let queue = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(jobs::platform_error)?;
        let forwarding = Arc::clone(&supervisor);
        jobs::start_thread("signals", move || {
            while let Ok(info) = queue.read_signal() {
                info.iter().for_each(|info| forwarding.forward(info.ssi_signo.cast_signed()));
            }
        })?;
    }
    let First { streams, mut request } = first;
    for (at, stream) in streams.into_iter().enumerate() {
        let message = request.take_if(|(whose, _)| *whose == at).map(|(_, message)| message);
        attend(stream, message, &supervisor);
    }
    serve(&listener, &supervisor);
    Ok(())
}
