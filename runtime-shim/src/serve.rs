//! The shim itself: one thread that answers containerd, and a few that wait for the supervisor.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc::r#async::Server;
use containerd_shim_protos::ttrpc::r#async::transport::Listener;

use crate::args::Args;
use crate::events::Events;
use crate::pod::Pod;
use crate::task::Service;
use crate::{log, start};

/// The service's name for containerd 1.x; its messages are those of 3.
const TASK_V2: &str = "containerd.task.v2.Task";
/// Stack of a thread that talks to the supervisor; a container's specification is parsed on it.
pub(crate) const STACK: usize = 512 * 1024;
/// Requests that are carried out at once; further ones wait.
const WORKERS: usize = 8;
/// Idle threads go.
const IDLE: Duration = Duration::from_secs(2);
/// How long the last events may take to reach containerd.
const LAST_EVENTS: Duration = Duration::from_secs(3);

/// Serves until containerd says that the last container is gone.
pub(crate) fn serve(args: &Args) -> Result<()> {
    // Fails for the leader of a group, who would have been started by hand.
    let _ = rustix::process::setsid();
    log::init(args);
    let stdin = rustix::stdio::stdin().try_clone_to_owned().context("standard input")?;
    let listener = UnixListener::from(stdin);
    let null = std::fs::File::open("/dev/null").context("/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("standard input")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORKERS)
        .thread_stack_size(STACK)
        .thread_keep_alive(IDLE)
        .build()
        .context("cannot start")?;
    let done = runtime.block_on(answer(args, listener));
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn answer(args: &Args, listener: UnixListener) -> Result<()> {
    let events = Events::start(&args.namespace);
    let pod = Arc::new(Pod::new(args.debug, events.clone()));
    let service = Arc::new(Service::new(Arc::clone(&pod)));
    let mut services = create_task(service.clone());
    if let Some((_, same)) = create_task(service).into_iter().next() {
        services.insert(TASK_V2.to_owned(), same);
    }
    listener.set_nonblocking(true).context("the socket")?;
    let listener = Listener::try_from(listener).context("the socket")?;
    let mut server = Server::new().add_listener(listener).register_service(services);
    server.start().await.context("cannot serve")?;
    tracing::debug!("serving");
    let resting = Arc::clone(&pod);
    tokio::spawn(async move { resting.rest().await });
    pod.ended().await;
    events.flush(LAST_EVENTS).await;
    if let Some(socket) = std::env::current_dir().ok().and_then(|bundle| start::socket_of(&bundle)) {
        let _ = std::fs::remove_file(socket);
    }
    // The answer to the request that ended us is on its way.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _ = server.shutdown().await;
    Ok(())
}
