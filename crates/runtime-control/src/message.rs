//! What is said over a control socket.
//!
//! A process is named by its container's id and, if it was started by [`Request::Exec`], by its exec id.

use std::path::PathBuf;

use runtime_oci::cgroup::Cgroup;
use runtime_oci::{ContainerSpec, LinuxResources, ProcessSpec};
use serde::{Deserialize, Serialize};

use crate::observe::{Depth, Inspection, Stats, TraceBatch, TraceFilter};
use crate::places::Place;

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Makes a container that waits for [`Request::Start`]. Answered by [`Reply::Started`].
    Create(Box<Create>),
    /// Runs a created container's program. [`Reply::Done`].
    Start { id: String },
    /// Runs another process in a container that is created or running. [`Reply::Started`].
    Exec(Box<Exec>),
    /// Sends a signal. [`Reply::Done`].
    Kill {
        id: String,
        exec_id: Option<String>,
        signal: i32,
        /// To all processes of the container.
        #[serde(default)]
        all: bool,
    },
    /// Sets the size of a process's terminal. [`Reply::Done`].
    Resize { id: String, exec_id: Option<String>, size: WindowSize },
    /// [`Reply::State`].
    State { id: String, exec_id: Option<String> },
    /// The container has other limits now, and shows them; its cgroup holds them already. [`Reply::Done`].
    Update { id: String, resources: Box<LinuxResources> },
    /// The container's processes by their host ids. [`Reply::Pids`].
    Pids { id: String },
    /// Answered by [`Reply::Exited`] when the process has ended, at once if it has. The last request of a
    /// connection.
    Wait { id: String, exec_id: Option<String> },
    /// Forgets what has ended: a process started by Exec, or a container; one that is not running is ended first.
    /// [`Reply::Done`].
    Delete { id: String, exec_id: Option<String> },
    /// [`Reply::Containers`].
    List,
    /// Tells of a container's calls: [`Reply::Traced`] again and again, until the container has ended or the connection is
    /// closed. Its last request.
    Trace { id: String, filter: TraceFilter },
    /// Counts a container's calls for so long from now on (none: counts no more), and tells what was counted so far.
    /// [`Reply::Stats`].
    Stats { id: String, depth: Depth, lease_ms: u64 },
    /// Tells what a container is doing at this moment. [`Reply::Inspection`].
    Inspect { id: String },
    /// Writes a container's security events to the descriptor that comes with it, which must not block, until the container
    /// has ended or nobody reads. [`Reply::Done`].
    Monitor { id: String },
    /// Ends all containers, and the supervisor. [`Reply::Done`], before it is gone.
    Shutdown,
}

/// A container to be made.
///
/// With the request come descriptors: standard input, output and error unless it gets a terminal, then those
/// that the program finds at 3 and above, and at the end the places.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub id: String,
    pub bundle: PathBuf,
    pub spec: ContainerSpec,
    pub streams: Streams,
    /// What of the host's files comes with the request. With its record, that is kept up to date.
    pub places: Vec<Place>,
    /// Where its host processes go.
    #[serde(default)]
    pub cgroup: Option<Cgroup>,
}

/// A process to be started in a container. Descriptors come as with [`Create`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exec {
    pub id: String,
    /// Names the process in later requests; of several that ask for one name the first gets it.
    pub exec_id: String,
    pub process: ProcessSpec,
    pub streams: Streams,
    /// Nobody will ask for its end: it is forgotten then.
    #[serde(default)]
    pub forget: bool,
}

/// Where a process's standard streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Streams {
    /// To the three descriptors that come with the request.
    Given,
    /// To a terminal of the container, whose other side is a pty of the host: its master comes with the reply.
    Terminal(Option<WindowSize>),
}

/// struct winsize, without the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// A supervisor's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Done,
    Started(Started),
    State(State),
    Pids(Vec<i32>),
    Exited(Exit),
    Containers(Vec<Container>),
    Traced(TraceBatch),
    Stats(Box<Stats>),
    Inspection(Box<Inspection>),
    Refused(Refusal),
}

/// A process that was made. The master of its terminal, if it has one, comes as a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its host id.
    pub pid: i32,
    /// The supervisor's.
    pub supervisor: i32,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    Created { pid: i32 },
    Running { pid: i32 },
    Stopped(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 0 to 255; 128 and the signal's number where one killed it.
    pub status: u8,
    /// Nanoseconds since 1970.
    pub at_ns: u64,
}

/// A container in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub state: State,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: Kind,
    /// One line for the user.
    pub message: String,
}

/// What sort of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    NotFound,
    Exists,
    /// The container or process is in another state than the request needs.
    WrongState,
    /// The request asks for something that cannot be.
    Invalid,
    /// The program does not exist in the container.
    NoProgram,
    /// The program cannot be executed.
    BadProgram,
    /// Anything else that failed.
    Failed,
}
