//! The home directory of a user, which runtimes put into an environment that has no HOME (runc does).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

/// Most bytes of a passwd file that are looked at.
const MAX_PASSWD: u64 = 1 << 20;

/// From the root filesystem's /etc/passwd (passwd(5)); `/` where it says nothing.
pub(crate) fn of(rootfs: &Path, uid: u32) -> String {
    open_passwd(rootfs).and_then(|file| find(file, uid)).unwrap_or_else(|| "/".to_owned())
}

/// Opens it without leaving the root, whatever links the image holds.
fn open_passwd(rootfs: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let root = openat2(CWD, rootfs, flags | OFlags::DIRECTORY, Mode::empty(), ResolveFlags::empty()).ok()?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // A fifo must not hold us up.
    let file = openat2(root, "etc/passwd", flags | OFlags::NONBLOCK, Mode::empty(), resolve).ok()?;
    let file = File::from(file);
    file.metadata().ok()?.is_file().then_some(file)
}

fn find(passwd: impl Read, uid: u32) -> Option<String> {
    BufReader::new(passwd.take(MAX_PASSWD)).lines().map_while(Result::ok).find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, id, _, _, home, ..] = fields.as_slice() else { return None };
        (id.parse() == Ok(uid) && home.starts_with('/')).then(|| (*home).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn sixth_field_of_the_line_with_the_uid_counts() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\nu:x:7:7::/home/u:\nv:x:8:8::relative:\n";
        let home = |uid| find(passwd.as_bytes(), uid);
        assert_eq!(home(0).as_deref(), Some("/root"));
        assert_eq!(home(7).as_deref(), Some("/home/u"));
        assert_eq!((home(8), home(9)), (None, None));
    }
}
