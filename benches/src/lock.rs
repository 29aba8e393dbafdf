//! One benchmark at a time: two would measure each other.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

const PATH: &str = "/run/palisade-bench.lock";

/// Held until it is dropped, or this process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// Takes the lock, or says who has it.
pub(crate) fn take() -> Result<Lock> {
    let path = Path::new(PATH);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.with_context(|| PATH.to_owned())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who it is is a courtesy.
            let _ = file.read_to_string(&mut pid);
            bail!("another benchmark runs (process {}): two at once would measure each other", pid.trim());
        }
        Err(TryLockError::Error(error)) => return Err(error).context(PATH),
    }
    let write =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    write.context(PATH)?;
    Ok(Lock(file))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file stays: who removed it would race whoever waits for it.
        let _ = self.0.set_len(0);
    }
}
