//! Log lines for containerd: it reads them from a FIFO in the bundle.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Args;

/// Drops what does not go in: without containerd nobody reads it.
#[derive(Clone)]
struct Pipe(Arc<File>);

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = (&*self.0).write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Pipe {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts logging to the FIFO of the bundle that is the working directory.
pub(crate) fn init(args: &Args) {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    // For reading as well: it then stays when containerd goes and comes again.
    let pipe = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open("log");
    let Ok(pipe) = pipe else { return };
    let level = if args.debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    tracing_subscriber::fmt().with_writer(Pipe(Arc::new(pipe))).with_ansi(false).with_max_level(level).init();
}
