//! `--publish`: connections to ports of the host, passed on to ports inside. Each has two threads of its own, which copy
//! bytes one way each: what a container publishes is a handful of services on a developer's machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown as Ends, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_net::inet::address::{Endpoint, Version};
use kernel_net::socket::{Destination, Outgoing, SendControl, Shutdown};
use kernel_net::{MessageFlags, Socket, SocketKind};
use kernel_task::{Kernel, Task};
use platform_api::KernelEvents;
use runtime_oci::Publish;

use crate::error::Error;
use crate::jobs::start_thread;

/// Most connections of a sandbox at a time.
const MOST: usize = 512;
const BUFFER: usize = 64 * 1024;
/// How long a container's end waits for what its programs had sent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ports that are listened on.
#[derive(Default)]
pub(crate) struct Published(Vec<(TcpListener, u16)>);

/// Takes the ports, before anything of the container is made.
pub(crate) fn listen(ports: &[Publish]) -> Result<Published, Error> {
    let listen = |publish: &Publish| {
        let listener = TcpListener::bind(publish.listen);
        let listener = listener.map_err(|error| Error::Publish { port: publish.to_string(), error })?;
        Ok((listener, publish.port))
    };
    ports.iter().map(listen).collect::<Result<_, Error>>().map(Published)
}

/// What a connection needs to know.
struct Inside {
    kernel: Weak<Kernel>,
    events: Arc<dyn KernelEvents>,
    count: AtomicUsize,
    /// Of them, those from which something may still come out.
    talking: AtomicUsize,
}

/// What passes connections on.
#[derive(Default)]
pub(crate) struct Publisher(Option<Arc<Inside>>);

impl Publisher {
    /// The container has ended: what its programs had sent gets a moment to leave.
    pub(crate) fn finish(&self) {
        let until = Instant::now() + LAST_WORDS;
        let is_talking = || self.0.as_ref().is_some_and(|inside| inside.talking.load(Ordering::Acquire) > 0);
        while is_talking() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Serves the ports from now on.
pub(crate) fn start(
    published: Published,
    kernel: &Arc<Kernel>,
    events: &Arc<dyn KernelEvents>,
) -> Result<Publisher, Error> {
    if published.0.is_empty() {
        return Ok(Publisher::default());
    }
    let inside = Arc::new(Inside {
        kernel: Arc::downgrade(kernel),
        events: Arc::clone(events),
        count: AtomicUsize::new(0),
        talking: AtomicUsize::new(0),
    });
    for (listener, port) in published.0 {
        kernel.platform.always_tell();
        let inside = Arc::clone(&inside);
        start_thread("publish", move || {
            for stream in listener.incoming() {
                // A connection that was given up before it was taken.
                let Ok(stream) = stream else { continue };
                take(&inside, stream, port);
            }
        })?;
    }
    Ok(Publisher(Some(inside)))
}

/// A connection, unless there are too many.
fn take(inside: &Arc<Inside>, stream: TcpStream, port: u16) {
    if inside.count.fetch_add(1, Ordering::Relaxed) >= MOST {
        inside.count.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let serving = Arc::clone(inside);
    let started = start_thread("published", move || {
        if let Err(error) = serving.pass_on(stream, port) {
            tracing::debug!(%error, port, "a published connection");
        }
        serving.count.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        inside.count.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inside {
    /// In whose name the supervisor connects.
    fn task(&self) -> SysResult<Arc<Task>> {
        let kernel = self.kernel.upgrade().ok_or(Errno::ECONNREFUSED)?;
        kernel.init().and_then(|init| init.any_task()).ok_or(Errno::ECONNREFUSED)
    }

    /// Tries until the answer is not EAGAIN; guests that were waiting for what happened go on.
    fn wait<T>(
        &self,
        socket: &dyn Socket,
        interest: Events,
        mut attempt: impl FnMut() -> SysResult<T>,
    ) -> SysResult<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut key = None;
        let result = loop {
            match attempt() {
                Err(Errno::EAGAIN) if key.is_none() => {
                    key = Some(socket.wait_queue().add_waker(interest, &waker))
                }
                Err(Errno::EAGAIN) => thread::park(),
                result => break result,
            }
        };
        if let Some(key) = key {
            socket.wait_queue().remove(key);
        }
        self.events.drain();
        result
    }

    fn connect(&self, port: u16) -> SysResult<Arc<dyn Socket>> {
        let task = self.task()?;
        let socket = task.kernel().net().stack().create(Version::V4, &*task, SocketKind::Stream, 0)?;
        let to = Endpoint { ip: Ipv4Addr::LOCALHOST.into(), port }.to_bytes(Version::V4);
        let begin = || task.with_walk(|walk| socket.connect(Destination { address: &to, walk }));
        match self.wait(&*socket, Events::OUT, begin) {
            Err(Errno::EINPROGRESS) => self.wait(&*socket, Events::OUT, || socket.finish_connect())?,
            begun => begun?,
        }
        Ok(socket)
    }

    fn pass_on(self: &Arc<Self>, outside: TcpStream, port: u16) -> SysResult<()> {
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let socket = self.connect(port)?;
        let (inward, source) = (Arc::clone(&socket), outside.try_clone().map_err(errno)?);
        let serving = Arc::clone(self);
        let copier = thread::Builder::new().name("published".to_owned()).spawn(move || {
            let _ = serving.copy_in(source, &*inward);
            let _ = inward.shutdown(Shutdown::Write);
            serving.events.drain();
        });
        let copier = copier.map_err(errno)?;
        self.talking.fetch_add(1, Ordering::AcqRel);
        let result = self.copy_out(&*socket, &outside);
        self.talking.fetch_sub(1, Ordering::AcqRel);
        // What still comes from outside finds nobody to read it, if the guest has closed.
        let _ = outside.shutdown(if result.is_ok() { Ends::Write } else { Ends::Both });
        let _ = copier.join();
        result
    }

    fn copy_in(&self, mut from: TcpStream, to: &dyn Socket) -> SysResult<()> {
        let (task, mut buffer) = (self.task()?, vec![0; BUFFER]);
        loop {
            let len = from.read(&mut buffer).unwrap_or(0);
            let mut rest = buffer.get(..len).filter(|bytes| !bytes.is_empty()).ok_or(Errno::EPIPE)?;
            while !rest.is_empty() {
                let sent = self.wait(to, Events::OUT, || {
                    let flags = MessageFlags::DONTWAIT | MessageFlags::NOSIGNAL;
                    let control = &mut SendControl::default();
                    to.send(&*task as &dyn Caller, Outgoing { bytes: rest, to: None, flags, control })
                });
                let sent = sent.inspect_err(|_| drop(from.shutdown(Ends::Both)))?;
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
    }

    fn copy_out(&self, from: &dyn Socket, mut to: &TcpStream) -> SysResult<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let receive = || from.receive(&mut buffer, MessageFlags::DONTWAIT);
            let len = self.wait(from, Events::IN, receive)?.len;
            let bytes = buffer.get(..len).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            to.write_all(bytes).map_err(|_| Errno::EPIPE)?;
        }
    }
}
