//! What is known to be answered otherwise than by Linux, so that the test finds what is new. Options: nothing here acts on
//! filters, time stamps of packets, devices, source routes, TCP repair, keys or ciphers; capabilities over the host's network
//! (CAP_NET_ADMIN, CAP_NET_RAW) are nobody's in mode `host`.

/// Options of one level.
pub(crate) struct Options {
    /// `none`, `host`, or either.
    pub(crate) network: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) level: i32,
    pub(crate) names: &'static [i32],
}

const fn options(
    network: &'static str,
    operation: &'static str,
    level: i32,
    names: &'static [i32],
) -> Options {
    Options { network, operation, level, names }
}

#[rustfmt::skip]
pub(crate) const OPTIONS: &[Options] = &[
    options("", "get", 0, &[4, 5, 9, 41, 48, 51, 64, 65, 66, 67, 80, 83]),
    options("", "set", 0, &[1, 4, 5, 8, 10, 16, 17, 18, 24, 41, 48, 50, 51, 64, 65]),
    options("", "get", 1, &[25, 26, 29, 35, 37, 40, 42, 47, 55, 57, 60, 61, 62, 63, 64, 65, 70, 73, 75, 76, 77, 83]),
    options("", "set", 1, &[25, 26, 27, 29, 34, 35, 37, 40, 42, 47, 50, 51, 52, 53, 60, 61, 62, 63, 64, 65, 68, 73,
        75, 76, 80, 83, 84]),
    options("", "get", 6, &[20, 21, 29, 33, 35, 43]),
    options("", "set", 6, &[14, 19, 20, 21, 22, 29, 32, 33]),
    options("", "get", 17, &[10, 11]),
    options("", "get", 41, &[1, 2, 3, 4, 5, 6, 8, 11, 18, 19, 22, 26, 30, 31, 32, 33, 48, 53, 54, 55, 57, 59, 64,
        65, 68, 69, 72, 75, 80]),
    options("", "set", 41, &[1, 2, 3, 4, 5, 6, 8, 11, 22, 27, 28, 30, 32, 33, 34, 35, 48, 50, 54, 55, 57, 59, 62,
        64, 65, 75, 76, 77]),
    options("", "get", 136, &[10, 11]),
    options("none", "get", 0, &[18, 22, 25, 26, 32, 50, 52]),
    options("none", "set", 0, &[25, 26, 33, 36, 37, 38, 39, 40, 42, 43, 44, 45, 46, 47, 49]),
    options("none", "get", 6, &[11, 17, 19, 26, 28, 34, 37, 44, 45, 46]),
    options("none", "set", 6, &[13, 16, 17, 24, 30, 34, 36, 37, 44, 45, 46]),
    options("none", "get", 17, &[1]),
    options("none", "set", 17, &[1]),
    options("none", "get", 41, &[7, 24, 61, 74, 76, 77]),
    options("none", "set", 41, &[17, 18, 19, 20, 21, 24, 31, 42, 43, 44, 45, 46, 47, 72, 74]),
    options("none", "get", 136, &[1]),
    options("none", "set", 136, &[1]),
    options("host", "get", 0, &[3]),
    options("host", "set", 0, &[19, 35]),
    options("host", "get", 1, &[71]),
    options("host", "set", 1, &[1, 12, 32, 33, 36, 44, 46, 69, 70]),
    options("host", "get", 6, &[31]),
    options("host", "set", 6, &[1, 2, 6, 8, 9, 13, 17, 18, 23, 24, 25, 27, 30, 31, 34, 36, 37, 44, 45, 46]),
    options("host", "set", 17, &[1]),
    options("host", "set", 58, &[1]),
];

/// How lines begin, after the kind of the socket. UDP looks at the family of an address before it looks at control data, and
/// at the control data of a connected socket before its memory; link-local addresses have no device of their own on lo.
#[rustfmt::skip]
pub(crate) const LINES: &[(&str, &str)] = &[
    ("", "114 sendto [10, 0, 0, 0, 0, 0, 0, 0, 32, 1, 13, 184, 0, 0, 0, 0, 0, 0,"),
    ("", "22 sendto [40, 0, 0, 9, 224, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,"),
    ("", "9 sendto [10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,"),
    ("", "receive flags 4140 name true iov [(true, 3)] 1 control 184467440737095"),
    ("", "send flags 4040 name false iov [(true, 8), (false, 3)] 2 control 80 [7"),
    ("", "send flags 4040 name true iov [] 0 control 56 [28, 0, 0, 0, 0, 0, 0, 0"),
    ("", "send flags 4042 name false iov [(false, 8)] 1 control 40 [40, 0, 0, 0,"),
    ("", "send flags 4140 name false iov [(true, 8), (true, 8), (true, 0)] 3 con"),
    ("", "send flags 4140 name true iov [(true, 3), (true, 8), (true, 8)] 3 cont"),
    ("", "send flags 6040 name false iov [(false, 64)] 1 control 0 []"),
    ("none", "112 sendto [2, 0, 0, 9, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0,"),
    ("none", "116 sendto [0, 0, 255, 240, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "),
    ("none", "23 bind [10, 0, 255, 240, 0, 0, 0, 0, 255, 2, 0, 0, 0, 0, 0, 0, 0, 0, "),
    ("none", "79 connect [2, 0, 255, 240, 127, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0"),
    ("none", "79 names"),
    ("none", "83 connect [2, 0, 255, 240, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0"),
    ("none", "97 names"),
    ("none", "97 sendto [99, 0, 0, 9, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0,"),
];
