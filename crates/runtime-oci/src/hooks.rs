//! The hooks of a container: programs of the host that are told its state on standard input, at six points of its
//! life (runtime-spec, config.md "POSIX-platform Hooks").
//!
//! All of them run on the host. A container of ours has no mount namespace that a program of the host could be put
//! into: for `createContainer` hooks, "the container namespace" is the host process of its init, whose id and network
//! namespace the state names. `startContainer` hooks name programs of the container, so they are guests:
//! [`guests`] gives them as processes to be run inside before the container's own.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Hooks};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

/// When hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// As `CreateRuntime`, before it: the older name.
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookKind {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// Its name in config.json.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The hooks of this kind.
    #[must_use]
    pub fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// A hook that failed.
#[derive(Debug, thiserror::Error)]
#[error("config.json: hooks.{}[{index}]: {path} {problem}", .kind.name())]
pub struct HookError {
    pub kind: HookKind,
    pub index: usize,
    pub path: String,
    pub problem: String,
}

/// Most bytes of a failed hook's output that are told.
const MAX_SAID: usize = 4096;

/// Runs the hooks of a kind, one after the other. The first that fails ends it, except after the container's end:
/// then the rest still runs, and failures are logged only.
///
/// `state` is the container's, as runtime.md "State" has it.
pub fn run(kind: HookKind, hooks: &Hooks, state: &impl Serialize) -> Result<(), HookError> {
    let list = kind.of(hooks);
    if list.is_empty() {
        return Ok(());
    }
    // A state has nothing that JSON has not.
    let state = serde_json::to_vec(state).unwrap_or_default();
    for (index, hook) in list.iter().enumerate() {
        let path = hook.path().display().to_string();
        tracing::debug!(kind = kind.name(), path, "running a hook");
        match run_one(hook, &state) {
            Ok(()) => {}
            Err(problem) if kind == HookKind::Poststop => {
                tracing::warn!("{}", HookError { kind, index, path, problem });
            }
            Err(problem) => return Err(HookError { kind, index, path, problem }),
        }
    }
    Ok(())
}

/// What config.json says that cannot be run at all.
pub(crate) fn check(hooks: &Hooks) -> Result<(), HookError> {
    for kind in HookKind::ALL {
        for (index, hook) in kind.of(hooks).iter().enumerate() {
            let path = hook.path().display().to_string();
            let problem = match hook.timeout() {
                _ if !hook.path().is_absolute() => "is not an absolute path",
                Some(..=0) => "has a timeout that is not greater than 0; leave it out for none",
                _ => continue,
            };
            return Err(HookError { kind, index, path, problem: problem.to_owned() });
        }
    }
    Ok(())
}

fn command(hook: &Hook) -> Command {
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    let env = hook.env().iter().flatten().filter_map(|pair| pair.split_once('='));
    command.env_clear().envs(env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    let until = hook.timeout().map(|seconds| Instant::now() + Duration::from_secs(seconds.max(0) as u64));
    let mut child = command(hook).spawn().map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not care for the state may have closed it. It is smaller than a pipe.
        let _ = stdin.write_all(state);
    }
    let ended = wait(&mut child, until);
    if !matches!(ended, Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = said(&mut child);
    match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{}{said}", outcome(status))),
        Ok(None) => Err(format!("was killed after its timeout of {} s{said}", hook.timeout().unwrap_or(0))),
        Err(errno) => Err(format!("cannot be waited for: {errno}")),
    }
}

fn outcome(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("was killed by signal {signal}"),
        None => format!("ended with status {}", status.code().unwrap_or(-1)),
    }
}

/// Its end; `None` if it has not come in time.
fn wait(child: &mut Child, until: Option<Instant>) -> Result<Option<ExitStatus>, std::io::Error> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], limit.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => return child.wait().map(Some),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What it wrote, as far as that is there: children that it left behind are not waited for.
fn said(child: &mut Child) -> String {
    let mut text = Vec::new();
    let mut read = |from: &mut dyn Read, fd: rustix::fd::BorrowedFd<'_>| {
        let _ = rustix::io::ioctl_fionbio(fd, true);
        let mut buffer = [0; MAX_SAID];
        loop {
            match from.read(&mut buffer) {
                Ok(count) if count > 0 && text.len() < MAX_SAID => text.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
    };
    if let Some(mut stderr) = child.stderr.take() {
        let fd = stderr.as_fd().try_clone_to_owned();
        fd.iter().for_each(|fd| read(&mut stderr, fd.as_fd()));
    }
    if let Some(mut stdout) = child.stdout.take() {
        let fd = stdout.as_fd().try_clone_to_owned();
        fd.iter().for_each(|fd| read(&mut stdout, fd.as_fd()));
    }
    let text = String::from_utf8_lossy(&text).trim().replace(char::is_control, " ");
    if text.is_empty() { text } else { format!("; it said: {text}") }
}

#[cfg(test)]
mod tests {
    use super::{HookKind, check, run};
    use oci_spec::runtime::{Hooks, State};
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn hooks(script: &str, timeout: Option<i64>) -> Hooks {
        let hook = json!({ "path": "/bin/sh", "args": ["zero", "-c", script], "env": ["A=b=c"], "timeout": timeout });
        serde_json::from_value(json!({ "createRuntime": [hook], "poststop": [hook, hook] })).unwrap()
    }

    #[test]
    fn state_comes_on_standard_input() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!("cat >{0}; echo \"$0 $A $HOME\" >>{0}", out.display());
        let mut state = State::default();
        state.set_id("one".to_owned());
        run(HookKind::CreateRuntime, &hooks(&script, None), &state).unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        assert!(text.contains("\"id\":\"one\"") && text.ends_with("zero b=c \n"), "{text}");
    }

    #[test]
    fn failure_names_the_hook_and_what_it_said() {
        let failing = hooks("echo no >&2; exit 3", None);
        let error = run(HookKind::CreateRuntime, &failing, &State::default()).unwrap_err().to_string();
        assert_eq!(error, "config.json: hooks.createRuntime[0]: /bin/sh ended with status 3; it said: no");
        assert!(run(HookKind::Poststop, &failing, &State::default()).is_ok());
        assert!(run(HookKind::Poststart, &failing, &State::default()).is_ok());
    }

    #[test]
    fn slow_hook_is_killed() {
        let started = Instant::now();
        let error = run(HookKind::CreateRuntime, &hooks("sleep 60", Some(1)), &State::default()).unwrap_err();
        assert!(error.to_string().contains("timeout of 1 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn hooks_that_cannot_be_run_are_told_before() {
        let wrong = json!({ "poststop": [{ "path": "/a" }, { "path": "a" }] });
        let error = check(&serde_json::from_value(wrong).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("config.json: hooks.poststop[1]: a is not"), "{error}");
        assert!(check(&hooks("", Some(0))).is_err());
    }
}
