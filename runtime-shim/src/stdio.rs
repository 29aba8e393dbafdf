//! A process's standard streams, as containerd names them: FIFOs that it reads and writes, files, or a logging program.
//!
//! Without a terminal the supervisor gets the FIFOs themselves; nothing is copied.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::error::{Error, io};
use crate::logger::{self, Logged};

/// How long whoever asked for a process may take to open the FIFO that it is to read.
const READER: Duration = Duration::from_secs(10);

/// Where the streams go; empty for nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
    /// Whose they are, for a logging program: the container's id, or the exec's, and containerd's namespace.
    pub(crate) id: String,
    pub(crate) namespace: String,
}

/// Descriptors that outlive containerd, so that what a process writes meanwhile is not lost, nor its input ended.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The writing side of standard input, until CloseIO.
    input: Option<OwnedFd>,
    /// The reading sides of the outputs, or what tells a logging program that its process has ended.
    _outputs: Vec<OwnedFd>,
}

impl Kept {
    /// Input ends when its last other writer goes.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }
}

/// The three streams of a process. With a terminal the third leads nowhere.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
    pub(crate) kept: Kept,
}

impl Streams {
    /// Opens what the paths name.
    pub(crate) fn open(paths: &Paths) -> Result<Self, Error> {
        let (input, writer) = input(&paths.stdin)?;
        if let Some(program) = paths.stdout.strip_prefix("binary://") {
            // As runc's shim: one program logs both, and the second URI is not looked at.
            let Logged { output, errors, process } = logger::start(program, &paths.id, &paths.namespace)?;
            return Ok(Self { input, output, errors, kept: Kept { input: writer, _outputs: vec![process] } });
        }
        let (output, reader) = output(&paths.stdout)?;
        let (errors, error_reader) = self::output(if paths.terminal { "" } else { &paths.stderr })?;
        let _outputs = [reader, error_reader].into_iter().flatten().collect();
        Ok(Self { input, output, errors, kept: Kept { input: writer, _outputs } })
    }
}

fn open(path: &str, read: bool, flags: OFlags) -> Result<OwnedFd, Error> {
    let mut options = OpenOptions::new();
    options.read(read).write(!read).custom_flags(flags.bits().cast_signed());
    options.open(path).map(File::into).map_err(io(path))
}

/// Standard input, and a writer that keeps it from ending.
fn input(path: &str) -> Result<(OwnedFd, Option<OwnedFd>), Error> {
    if path.is_empty() {
        return Ok((open("/dev/null", true, OFlags::empty())?, None));
    }
    // Without waiting for a writer; the container then sees a blocking one.
    let reader = open(path, true, OFlags::NONBLOCK)?;
    let writer = open(path, false, OFlags::NONBLOCK)?;
    let flags = fcntl_getfl(reader.as_fd()).map_err(io(path))?;
    fcntl_setfl(reader.as_fd(), flags - OFlags::NONBLOCK).map_err(io(path))?;
    Ok((reader, Some(writer)))
}

/// An output, and a reader that keeps it open.
fn output(path: &str) -> Result<(OwnedFd, Option<OwnedFd>), Error> {
    if path.is_empty() {
        return Ok((open("/dev/null", false, OFlags::empty())?, None));
    }
    match path.split_once("://") {
        None | Some(("fifo", _)) => {
            let path = path.trim_start_matches("fifo://");
            let writer = writer_for_its_reader(path)?;
            Ok((writer, Some(open(path, true, OFlags::NONBLOCK)?)))
        }
        Some(("file", path)) => {
            if let Some(above) = Path::new(path).parent() {
                fs::create_dir_all(above).map_err(io(path))?;
            }
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            Ok((file.map_err(io(path))?.into(), None))
        }
        Some(_) => Err(Error::Invalid(format!(
            "{path}: name a FIFO, file:// and a path, or binary:// and a program"
        ))),
    }
}

/// The writing side of a FIFO that somebody has open for reading: containerd's clients open theirs in the background, and
/// what a short process wrote and left before that would be lost.
fn writer_for_its_reader(path: &str) -> Result<OwnedFd, Error> {
    let deadline = Instant::now() + READER;
    let writer = loop {
        match OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path) {
            Err(error)
                if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            opened => break opened.map_err(io(path))?,
        }
    };
    let flags = fcntl_getfl(&writer).map_err(io(path))?;
    fcntl_setfl(&writer, flags - OFlags::NONBLOCK).map_err(io(path))?;
    Ok(writer.into())
}
