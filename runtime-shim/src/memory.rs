//! Kills for want of memory, told as they happen: the container may go on without the process.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use runtime_oci::cgroup::OomWatch;
use rustix::event::{PollFd, PollFlags, poll};

use crate::container::Container;
use crate::events::Events;

/// It only polls and reads a small file.
const STACK: usize = 64 * 1024;

/// Has a thread watch a container's group, until that is gone.
pub(crate) fn watch(container: &Arc<Container>, events: &Events) {
    let watch = match container.cgroup().and_then(|cgroup| Ok(cgroup.oom_watch()?)) {
        Ok(watch) => watch,
        // What has been killed is told at the end at the latest.
        Err(error) => return tracing::debug!("{error}"),
    };
    let (container, events) = (Arc::downgrade(container), events.clone());
    let body = move || {
        wait(watch, || {
            container.upgrade().is_some_and(|container| {
                container.tell_oom(&events);
                true
            })
        });
    };
    if let Err(error) = thread::Builder::new().name("oom".to_owned()).stack_size(STACK).spawn(body) {
        tracing::warn!(%error, "memory is not watched");
    }
}

/// Calls `tell` at each kill until that says no.
fn wait(mut watch: OomWatch, tell: impl Fn() -> bool) {
    loop {
        let polled = poll(&mut [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)], None);
        match polled {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if watch.has_ended() || (watch.happened() && !tell()) {
            return;
        }
    }
}
