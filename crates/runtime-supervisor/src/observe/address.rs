//! Addresses of sockets, as text.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use crate::error::shown as text;

/// struct sockaddr_un, the longest that is looked at.
pub(super) const LONGEST: usize = 110;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `unix:/run/x`, `unix:@abstract`, `192.0.2.1:80`, `[::1]:80`, or the family's number.
pub(super) fn shown(address: &[u8]) -> String {
    let Some((&family, rest)) = address.split_first_chunk::<2>() else { return "none".to_owned() };
    let family = u16::from_ne_bytes(family);
    let port = rest.first_chunk::<2>().map_or(0, |port| u16::from_be_bytes(*port));
    match family {
        AF_UNIX => match rest.split_first() {
            None => "unix:".to_owned(),
            Some((0, name)) => format!("unix:@{}", text(name)),
            Some(_) => format!("unix:{}", text(rest.split(|&byte| byte == 0).next().unwrap_or_default())),
        },
        AF_INET => match rest.get(2..).and_then(<[u8]>::first_chunk::<4>) {
            Some(ip) => SocketAddrV4::new(Ipv4Addr::from(*ip), port).to_string(),
            None => "inet".to_owned(),
        },
        // Behind the port there is the flow information.
        AF_INET6 => match rest.get(6..).and_then(<[u8]>::first_chunk::<16>) {
            Some(ip) => SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, 0).to_string(),
            None => "inet6".to_owned(),
        },
        other => format!("family {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn addresses_have_their_usual_form_whatever_their_length() {
        let unix = [&1u16.to_ne_bytes()[..], b"/run/x\0rest"].concat();
        let inet = [&2u16.to_ne_bytes()[..], &80u16.to_be_bytes(), &[192, 0, 2, 1], &[0; 8]].concat();
        let mut inet6 = [&10u16.to_ne_bytes()[..], &443u16.to_be_bytes(), &[0; 4], &[0; 16]].concat();
        inet6[23] = 1;
        for (bytes, wanted) in [
            (unix.as_slice(), "unix:/run/x"),
            (&inet, "192.0.2.1:80"),
            (&inet6, "[::1]:443"),
            (&[1, 0, 0, b'a'], "unix:@a"),
            (&[1, 0], "unix:"),
            (&[2, 0, 1], "inet"),
            (&[10, 0], "inet6"),
            (&[16, 0], "family 16"),
            (&[1], "none"),
        ] {
            assert_eq!(shown(bytes), wanted);
        }
    }
}
