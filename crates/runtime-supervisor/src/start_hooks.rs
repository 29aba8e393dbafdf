//! `startContainer` hooks: programs of the container, run inside as guests before its own program.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use oci_spec::runtime::Hook;
use runtime_oci::ProcessSpec;
use runtime_oci::hooks::HookKind;
use serde_json::Value;

use crate::container::Container;
use crate::error::Error;
use crate::stdio::Streams;

const SIGKILL: i32 = abi_linux::signal::Signal::SIGKILL.raw();
/// For hooks without a timeout: longer than anybody waits.
const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Container {
    /// Runs them, one after the other; the first that fails ends it.
    pub(crate) fn run_start_hooks(self: &Arc<Self>, state: &Value) -> Result<(), Error> {
        let hooks = HookKind::StartContainer.of(&self.spec().hooks);
        hooks.iter().enumerate().try_for_each(|(index, hook)| {
            self.run_start_hook(index, hook, state).map_err(|problem| Error::Hook {
                index,
                path: hook.path().display().to_string(),
                problem,
            })
        })
    }

    fn run_start_hook(self: &Arc<Self>, index: usize, hook: &Hook, state: &Value) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let (stdin, mut writer) = std::io::pipe().map_err(text)?;
        let null = self.home.null().map_err(|errno| errno.to_string())?;
        let copy = null.try_clone().map_err(text)?;
        let streams = Streams::Given(vec![OwnedFd::from(stdin), null, copy]);
        // A name that no client can take: they come from command lines.
        let name = format!("startContainer\n{index}");
        let process = process(hook, &self.spec().process);
        let (life, _) = self.exec(&name, process, &streams, None).map_err(|error| error.to_string())?;
        drop(streams);
        // It is smaller than a pipe; a hook that does not care for it may have closed it.
        let _ = writer.write_all(state.to_string().as_bytes());
        drop(writer);
        let (ended, end) = channel();
        life.on_end(Box::new(move |exit| {
            let _ = ended.send(exit);
        }));
        let seconds = hook.timeout().map(|seconds| Duration::from_secs(seconds.max(0).cast_unsigned()));
        let exit = end.recv_timeout(seconds.unwrap_or(NO_TIMEOUT));
        if exit.is_err() {
            let _ = self.kill(Some(&name), SIGKILL);
        }
        let _ = self.forget(&name);
        match exit {
            Ok(exit) if exit.status == 0 => Ok(()),
            Ok(exit) => Err(format!("ended with status {}", exit.status)),
            Err(_) => Err(format!("was killed after its timeout of {} s", hook.timeout().unwrap_or(0))),
        }
    }
}

/// A hook as a process beside the container's own, with its rights.
fn process(hook: &Hook, own: &ProcessSpec) -> ProcessSpec {
    let path = hook.path().display().to_string().into_bytes();
    let rest = hook.args().iter().flatten().skip(1).map(|arg| arg.clone().into_bytes());
    ProcessSpec {
        args: std::iter::once(path).chain(rest).collect(),
        env: hook.env().iter().flatten().map(|pair| pair.clone().into_bytes()).collect(),
        cwd: b"/".to_vec(),
        terminal: false,
        ..own.clone()
    }
}
