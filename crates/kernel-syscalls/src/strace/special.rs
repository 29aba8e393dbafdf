//! Arguments whose type another argument gives.

use std::fmt::Write;

use abi_linux::names;

use super::Printer;

/// FD_SETSIZE; select(2) with more is legal, but not worth printing.
const FD_SET_BYTES: usize = 1024 / 8;
/// struct sockaddr_un, the largest address that is printed.
const LARGEST_ADDRESS: usize = 110;

/// What stands behind an ioctl's or fcntl's argument.
enum Behind {
    Structure(&'static str),
    Flags(&'static str),
    Number,
    Nothing,
    Unknown,
}

impl Printer<'_> {
    pub(super) fn ioctl_argument(&mut self, request: u64, register: u64) {
        let name = names::find("IOCTL").and_then(|set| set.name_of(request));
        let reads =
            name.is_some_and(|name| name.contains("TCG") || name.contains("CG") || name == "FIONREAD");
        let behind = match name.unwrap_or("") {
            "TCGETS" | "TCSETS" | "TCSETSW" | "TCSETSF" => Behind::Structure("termios"),
            "TIOCGWINSZ" | "TIOCSWINSZ" => Behind::Structure("winsize"),
            "TIOCGPGRP" | "TIOCSPGRP" | "TIOCGSID" | "TIOCGPTN" | "TIOCSPTLCK" | "TIOCGPTLCK"
            | "TIOCOUTQ" | "FIONREAD" | "FIONBIO" | "FIOASYNC" | "TIOCPKT" | "TIOCGETD" | "TIOCSETD" => {
                Behind::Structure("int")
            }
            "TCSBRK" | "TCXONC" | "TCFLSH" | "TIOCSCTTY" | "TCSBRKP" | "FICLONE" => Behind::Number,
            "TIOCNOTTY" | "TIOCEXCL" | "TIOCNXCL" | "FIOCLEX" | "FIONCLEX" => Behind::Nothing,
            _ => Behind::Unknown,
        };
        self.behind(behind, register, reads);
    }

    pub(super) fn fcntl_argument(&mut self, op: u64, register: u64) {
        let name = names::find("FCNTL").and_then(|set| set.name_of(op)).unwrap_or("");
        let behind = match name {
            "F_SETFD" => Behind::Flags("FD"),
            "F_SETFL" => Behind::Flags("OPEN"),
            "F_ADD_SEALS" => Behind::Flags("SEAL"),
            "F_GETLK" | "F_SETLK" | "F_SETLKW" | "F_OFD_GETLK" | "F_OFD_SETLK" | "F_OFD_SETLKW" => {
                Behind::Structure("flock")
            }
            "F_GETFD" | "F_GETFL" | "F_GETOWN" | "F_GETSIG" | "F_GETLEASE" | "F_GETPIPE_SZ"
            | "F_GET_SEALS" => Behind::Nothing,
            "F_DUPFD" | "F_DUPFD_CLOEXEC" | "F_SETOWN" | "F_SETSIG" | "F_SETPIPE_SZ" | "F_SETLEASE" => {
                Behind::Number
            }
            _ => Behind::Unknown,
        };
        self.behind(behind, register, name == "F_GETLK" || name == "F_OFD_GETLK");
    }

    fn behind(&mut self, behind: Behind, register: u64, is_output: bool) {
        match behind {
            Behind::Structure(name) if is_output => {
                self.output(register, |this| this.structure(name, register))
            }
            Behind::Structure(name) => self.structure(name, register),
            Behind::Flags(set) => self.named(set, register & 0xffff_ffff),
            Behind::Number => {
                let _ = write!(self.out, "{}", register as i32);
            }
            Behind::Nothing => {
                // The argument is unused: take the separator back.
                let kept = self.out.strip_suffix(", ").map_or(self.out.len(), str::len);
                self.out.truncate(kept);
            }
            Behind::Unknown => self.hex(register),
        }
    }

    /// `[0 3]`: the descriptors in a set.
    pub(super) fn fd_set(&mut self, address: u64, bits: u64) {
        let bits = usize::try_from(bits as u32).unwrap_or(usize::MAX).min(FD_SET_BYTES * 8);
        let mut bytes = [0; FD_SET_BYTES];
        let wanted = bytes.get_mut(..bits.div_ceil(8)).unwrap_or(&mut []);
        let len = wanted.len();
        if address == 0 || self.read(address, wanted).len() < len {
            return self.address(address);
        }
        let set = |fd: &usize| bytes.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
        let members: Vec<String> = (0..bits).filter(set).map(|fd| fd.to_string()).collect();
        let _ = write!(self.out, "[{}]", members.join(" "));
    }

    pub(super) fn socket_address(&mut self, address: u64, len: u64) {
        let len = usize::try_from(len as u32).unwrap_or(usize::MAX).min(LARGEST_ADDRESS);
        let mut bytes = [0; LARGEST_ADDRESS];
        let wanted = bytes.get_mut(..len).unwrap_or(&mut []);
        if address == 0 || len < 2 || self.read(address, wanted).len() < len {
            return self.address(address);
        }
        let family = u64::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        self.out.push_str("{sa_family=");
        self.named("AF", family);
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        let _ = match names::find("AF").and_then(|set| set.name_of(family)) {
            Some("AF_UNIX") => self.unix_path(bytes.get(2..len).unwrap_or(&[])),
            Some("AF_INET") if len >= 8 => {
                let ip = std::net::Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                write!(self.out, ", sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")")
            }
            Some("AF_INET6") if len >= 24 => {
                let ip: [u8; 16] = bytes.get(8..24).and_then(|ip| ip.try_into().ok()).unwrap_or_default();
                write!(self.out, ", sin6_port=htons({port}), sin6_addr=\"{}\"", std::net::Ipv6Addr::from(ip))
            }
            _ => Ok(()),
        };
        self.out.push('}');
    }

    /// A path, an abstract name (`@`), or nothing.
    fn unix_path(&mut self, path: &[u8]) -> std::fmt::Result {
        match path {
            [] => return Ok(()),
            [0, name @ ..] => {
                self.out.push_str(", sun_path=@");
                self.quoted(name, false);
            }
            path => {
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                self.out.push_str(", sun_path=");
                self.quoted(path.get(..end).unwrap_or(path), false);
            }
        }
        Ok(())
    }
}
