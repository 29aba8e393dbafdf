//! What /proc/net/unix says of a socket (net/unix/af_unix.c unix_seq_show, Linux v6.18).

use kernel_vfs::file::File;

use super::garbage::unix_socket;
use super::names::PATH_OFFSET;
use super::{Phase, UnixSocket};

/// SO_ACCEPTCON of the flags: it listens.
const LISTENING: u32 = 1 << 16;
/// SS_UNCONNECTED and SS_CONNECTED (include/uapi/linux/net.h).
const UNCONNECTED: u8 = 1;
const CONNECTED: u8 = 3;

/// The line of the Unix socket behind `file`, whose inode has the number `ino`; `None` for another file.
#[must_use]
pub fn line(file: &File, ino: u64) -> Option<Vec<u8>> {
    unix_socket(file).map(|socket| socket.line(ino))
}

impl UnixSocket {
    fn line(&self, ino: u64) -> Vec<u8> {
        let (listening, connected) = {
            let state = self.state.lock();
            (state.phase == Phase::Listening, state.phase == Phase::Established)
        };
        let flags = if listening { LISTENING } else { 0 };
        let state = if connected { CONNECTED } else { UNCONNECTED };
        let kind = self.kind.to_raw();
        let mut line = format!("{:016x}: {:08X} {:08X} {flags:08X} {kind:04X} {state:02X} {ino:5}", 0, 2, 0);
        let path = self.name.get().and_then(|address| address.get(PATH_OFFSET..)).unwrap_or_default();
        if path.is_empty() {
            line.push('\n');
            return line.into_bytes();
        }
        let mut line = line.into_bytes();
        line.push(b' ');
        // The NUL that ends a path is not shown, those of an abstract name are.
        let shown = if path.first() == Some(&0) { path } else { path.strip_suffix(&[0]).unwrap_or(path) };
        line.extend(shown.iter().map(|&byte| if byte == 0 { b'@' } else { byte }));
        line.push(b'\n');
        line
    }
}
