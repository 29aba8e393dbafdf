//! The containers of one sandbox, and what clients of the control socket ask about them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex as StdMutex, PoisonError};
use std::thread;
use std::time::Duration;

use kernel_base::executor::ReadyQueue;
use kernel_base::sync::Mutex;
use platform_notify::home::Home;
use platform_notify::maker::Maker;
use runtime_control::{
    Container as Listed, Create, Exec, Place, Places, Reply, Request, Started, Streams as Wanted, frame,
};
use runtime_oci::{Entry, Status};

use crate::confinement::Sockets;
use crate::container::{Container, Making};
use crate::error::Error;
use crate::keeper::Keeper;
use crate::life::shell_status;
use crate::observe::LiveTrace;
use crate::observe::strace::TraceTo;
use crate::pod::Shared;
use crate::stdio::Streams;

/// Stack of a container's thread, which builds its file tree; untouched pages cost nothing.
const STACK: usize = 1 << 20;
/// How long the end of the process waits for answers that are under way.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long a container may take to die of SIGKILL.
const DEATH: Duration = Duration::from_secs(10);

/// How long calls are counted at most when nobody asks again.
const MOST_LEASE: Duration = Duration::from_secs(24 * 3600);

/// A container and its record.
pub(crate) struct Held {
    pub(crate) container: Arc<Container>,
    pub(crate) keeper: Option<Arc<Keeper>>,
}

/// All containers of this process.
pub(crate) struct Supervisor {
    /// `None`: being made.
    containers: Mutex<BTreeMap<String, Option<Arc<Held>>>>,
    /// The process ends with its first container, and with its status.
    single: bool,
    /// What this process kept the right to make.
    sockets: Sockets,
    maker: Arc<Maker>,
    home: Arc<Home>,
    /// Calls that have become ready in any of them: they may share what others wait for.
    ready: Arc<ReadyQueue>,
    /// Requests that are being answered.
    busy: StdMutex<usize>,
    idle: Condvar,
}

/// What becomes of a request.
pub(crate) enum Answer {
    Now(Reply, Option<OwnedFd>),
    /// Somebody else will answer.
    Later,
    /// Calls of a container, as long as the client listens.
    Trace(LiveTrace),
}

/// A request that is being answered.
pub(crate) struct Busy<'a>(&'a Supervisor);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy -= 1;
        self.0.idle.notify_all();
    }
}

impl Supervisor {
    pub(crate) fn new(single: bool, sockets: Sockets, maker: Arc<Maker>, home: Arc<Home>) -> Arc<Self> {
        let (containers, busy) = (Mutex::default(), StdMutex::new(0));
        let (ready, idle) = (Arc::default(), Condvar::new());
        Arc::new(Self { containers, single, sockets, maker, home, ready, busy, idle })
    }

    /// Ends the process, after the one that makes guests.
    pub(crate) fn exit(&self, status: i32) -> ! {
        self.maker.end();
        std::process::exit(status)
    }

    pub(crate) fn enter(&self) -> Busy<'_> {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Busy(self)
    }

    /// Waits, not for long, until nobody is being answered.
    pub(crate) fn wait_idle(&self) {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.idle.wait_timeout_while(busy, LAST_ANSWERS, |busy| *busy > 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.containers.lock().is_empty()
    }

    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    /// Answers a request.
    pub(crate) fn answer(
        self: &Arc<Self>,
        request: Request,
        fds: Vec<OwnedFd>,
        stream: &UnixStream,
    ) -> Result<Answer, Error> {
        match request {
            Request::Create(create) => {
                let held = self.create(*create, fds)?;
                let pid = held.container.init.pid;
                Ok(Answer::Now(started(pid), held.container.take_master()))
            }
            Request::Start { id } => self.start(&id).map(done),
            Request::Exec(exec) => self.exec(*exec, fds),
            Request::Kill { id, exec_id: None, signal, all: true } => {
                self.find(&id)?.container.kill_all(signal).map(done)
            }
            Request::Kill { id, exec_id, signal, .. } => {
                self.find(&id)?.container.kill(exec_id.as_deref(), signal).map(done)
            }
            Request::Resize { id, exec_id, size } => {
                match self.find(&id)?.container.life(exec_id.as_deref())?.resize(size) {
                    true => Ok(done(())),
                    false => Err(Error::WrongState("the process has no terminal")),
                }
            }
            Request::State { id, exec_id } => {
                let life = self.find(&id)?.container.life(exec_id.as_deref())?;
                Ok(Answer::Now(Reply::State(life.state()), None))
            }
            Request::Update { id, resources } => {
                let held = self.find(&id)?;
                if held.container.has_own_processes() {
                    *held.container.kernel.cgroup_files.write() =
                        runtime_oci::cgroup::files_shown(&resources);
                }
                Ok(done(()))
            }
            Request::Pids { id } => Ok(Answer::Now(Reply::Pids(self.find(&id)?.container.pids()), None)),
            Request::Wait { id, exec_id } => self.wait(&id, exec_id.as_deref(), stream),
            Request::Delete { id, exec_id: Some(exec_id) } => {
                self.find(&id)?.container.forget(&exec_id).map(done)
            }
            Request::Delete { id, exec_id: None } => self.delete(&id).map(done),
            Request::Trace { id, filter } => Ok(Answer::Trace(self.find(&id)?.container.trace(&filter)?)),
            Request::Stats { id, depth, lease_ms } => {
                let lease = Duration::from_millis(lease_ms).min(MOST_LEASE);
                let stats = self.find(&id)?.container.stats(depth, lease);
                Ok(Answer::Now(Reply::Stats(Box::new(stats)), None))
            }
            Request::Inspect { id } => {
                let inspection = self.find(&id)?.container.inspect();
                Ok(Answer::Now(Reply::Inspection(Box::new(inspection)), None))
            }
            Request::Monitor { id } => {
                let to = fds.into_iter().next().ok_or(Error::WrongState("a monitor needs a descriptor"))?;
                self.find(&id)?.container.monitor(&id, to).map(done)
            }
            Request::List => Ok(Answer::Now(Reply::Containers(self.list()), None)),
            Request::Shutdown => {
                self.shutdown();
                Ok(done(()))
            }
        }
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Held>, Error> {
        let found = self.containers.lock().get(id).cloned().flatten();
        found.ok_or_else(|| Error::NotFound(format!("container {id:?}")))
    }

    fn all(&self) -> Vec<(String, Arc<Held>)> {
        let containers = self.containers.lock();
        containers.iter().filter_map(|(id, held)| Some((id.clone(), held.clone()?))).collect()
    }

    fn list(&self) -> Vec<Listed> {
        self.all().into_iter().map(|(id, held)| Listed { id, state: held.container.state() }).collect()
    }

    /// Takes a container in that its own thread has made.
    pub(crate) fn adopt(&self, id: &str, held: Arc<Held>) -> Result<(), Error> {
        if let Some(keeper) = &held.keeper {
            keeper.created(held.container.init.pid)?;
            let keeper = Arc::clone(keeper);
            // The first to hear of the end: whoever else does finds it written down.
            held.container.init.on_end(Box::new(move |exit| keeper.stopped(exit)));
        }
        self.containers.lock().insert(id.to_owned(), Some(held));
        Ok(())
    }

    fn create(self: &Arc<Self>, create: Create, fds: Vec<OwnedFd>) -> Result<Arc<Held>, Error> {
        let id = create.id.clone();
        if !self.home.takes_more() {
            return Err(Error::WrongState("a sandbox in the foreground has one container"));
        }
        if self.sockets == Sockets::None && Sockets::of(&create.spec) != Sockets::None {
            return Err(Error::WrongState("the sandbox was made for containers without the host's network"));
        }
        {
            let mut containers = self.containers.lock();
            if containers.contains_key(&id) {
                return Err(Error::ContainerExists(id));
            }
            containers.insert(id.clone(), None);
        }
        let (tell, told) = channel();
        let supervisor = Arc::clone(self);
        let body = move || supervisor.host(create, fds, &tell);
        let thread = thread::Builder::new().name("container".to_owned()).stack_size(STACK).spawn(body);
        let made = match thread {
            // Without a word it panicked.
            Ok(_) => told.recv().unwrap_or(Err(Error::NeverStarted)),
            Err(error) => Err(Error::Thread(error)),
        };
        if made.is_err() {
            self.containers.lock().remove(&id);
        }
        made
    }

    /// A container's thread.
    fn host(self: &Arc<Self>, create: Create, fds: Vec<OwnedFd>, tell: &Sender<Result<Arc<Held>, Error>>) {
        let id = create.id.clone();
        let others: Vec<_> = self.all().into_iter().map(|(_, held)| Arc::clone(&held.container)).collect();
        let made = self.make(create, fds, &others).and_then(|held| {
            self.adopt(&id, Arc::clone(&held))?;
            Ok(held)
        });
        drop(others);
        let held = match made {
            Ok(held) => held,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let _ = tell.send(Ok(Arc::clone(&held)));
        let status = held.container.deliver();
        if let Err(error) = &status {
            tracing::error!(%error, id, "a container failed");
        }
        if self.single {
            self.wait_idle();
            self.exit(status.map_or(i32::from(crate::FAILED), |status| shell_status(status).into()));
        }
    }

    /// Makes a container for a client.
    fn make(
        &self,
        create: Create,
        mut fds: Vec<OwnedFd>,
        others: &[Arc<Container>],
    ) -> Result<Arc<Held>, Error> {
        let places = Places::received(&create.places, &mut fds);
        let mut places = places.ok_or(Error::WrongState("descriptors are missing from the request"))?;
        let shared = Shared::find(&create.spec, &places, others, &self.ready)?;
        let (streams, size) = streams(create.streams, fds);
        let trace = places.take(Place::Trace).pop().map(|file| TraceTo::File(file.into()));
        let keeper = match places.take(Place::Record).pop() {
            Some(directory) => {
                let entry = Entry::behind(&create.id, directory.as_fd()).map_err(Error::State)?;
                let record = entry.read().map_err(Error::State)?;
                let record = record.ok_or_else(|| Error::NotFound("the container's record".to_owned()))?;
                Some(Arc::new(Keeper::new(entry, record)))
            }
            None => None,
        };
        let (maker, home) = (Some(Arc::clone(&self.maker)), Arc::clone(&self.home));
        let making = Making { streams, size, cgroup: create.cgroup, maker, trace, places, home };
        let container = Container::create(create.spec, making, shared)?;
        container.set_owner(None);
        Ok(Arc::new(Held { container, keeper }))
    }

    fn start(&self, id: &str) -> Result<(), Error> {
        let held = self.find(id)?;
        if let Some(keeper) = &held.keeper {
            held.container.run_start_hooks(&keeper.oci_state(Status::Created))?;
        }
        held.container.start()?;
        match &held.keeper {
            Some(keeper) if !held.container.init.has_ended() => keeper.running(),
            _ => Ok(()),
        }
    }

    fn exec(&self, exec: Exec, fds: Vec<OwnedFd>) -> Result<Answer, Error> {
        let (streams, size) = streams(exec.streams, fds);
        let held = self.find(&exec.id)?;
        let (life, master) = held.container.exec(&exec.exec_id, exec.process, &streams, size)?;
        if exec.forget {
            let (held, exec_id) = (Arc::downgrade(&held), exec.exec_id);
            life.on_end(Box::new(move |_| {
                let _ = held.upgrade().map(|held| held.container.forget(&exec_id));
            }));
        }
        Ok(Answer::Now(started(life.pid), master))
    }

    fn wait(&self, id: &str, exec_id: Option<&str>, stream: &UnixStream) -> Result<Answer, Error> {
        let life = self.find(id)?.container.life(exec_id)?;
        let stream = stream.try_clone().map_err(Error::Thread)?;
        life.on_end(Box::new(move |exit| {
            // Nobody waits any more.
            let _ = frame::send(&stream, &Reply::Exited(exit), &[]);
        }));
        Ok(Answer::Later)
    }

    /// Ends a container and forgets it.
    fn delete(&self, id: &str) -> Result<(), Error> {
        let held = self.find(id)?;
        end(&held.container)?;
        held.container.let_go();
        self.containers.lock().remove(id);
        Ok(())
    }

    /// Ends all containers.
    pub(crate) fn shutdown(&self) {
        for (id, held) in self.all() {
            if let Err(error) = end(&held.container) {
                tracing::error!(%error, id, "cannot end a container");
            }
        }
    }

    /// A signal to this process that is meant for its only container.
    pub(crate) fn forward(&self, signal: i32) {
        for (id, held) in self.all() {
            if let Err(error) = held.container.kill(None, signal) {
                tracing::debug!(%error, id, signal, "cannot pass a signal on");
            }
        }
    }
}

/// Kills a container and waits for its end.
fn end(container: &Container) -> Result<(), Error> {
    let (ended, end) = channel();
    container.init.on_end(Box::new(move |_| {
        let _ = ended.send(());
    }));
    if !container.init.has_ended() {
        container.destroy()?;
    }
    end.recv_timeout(DEATH).map_err(|_| Error::WrongState("the container does not die; try again"))
}

fn streams(wanted: Wanted, fds: Vec<OwnedFd>) -> (Streams, Option<runtime_control::WindowSize>) {
    match wanted {
        Wanted::Given => (Streams::Given(fds), None),
        Wanted::Terminal(size) => (Streams::Terminal(fds), size),
    }
}

fn done((): ()) -> Answer {
    Answer::Now(Reply::Done, None)
}

fn started(pid: i32) -> Reply {
    Reply::Started(Started { pid, supervisor: std::process::id().cast_signed() })
}
