//! The structures.

use core::mem::{offset_of, size_of};

use linux_raw_sys::{general, system};

use super::Kind::{
    Array, Bytes, Enum, Fd, Flags, Hex, Id, Int, Limit, Octal, Port, Signals, Sockaddr, Struct, Text, Uint,
    WaitStatus,
};
use super::{Field, Layout};

/// A structure of the raw headers: offsets are the compiler's.
macro_rules! raw {
    ($id:ident, $name:literal, $ty:ty { $($field:ident: $kind:expr),* $(,)? }) => {
        static $id: Layout = Layout {
            name: $name,
            size: size_of::<$ty>(),
            fields: &[$(Field { name: stringify!($field), offset: offset_of!($ty, $field), kind: $kind }),*],
        };
    };
}

/// A structure whose offsets are written out.
macro_rules! plain {
    ($id:ident, $name:literal, $size:literal { $($field:literal @ $offset:literal: $kind:expr),* $(,)? }) => {
        static $id: Layout = Layout {
            name: $name,
            size: $size,
            fields: &[$(Field { name: $field, offset: $offset, kind: $kind }),*],
        };
    };
}

plain!(INT, "int", 4 { "" @ 0: Int(4) });
plain!(UINT, "uint", 4 { "" @ 0: Uint(4) });
plain!(LONG, "long", 8 { "" @ 0: Int(8) });
plain!(ULONG, "ulong", 8 { "" @ 0: Uint(8) });
plain!(OFF, "off", 8 { "" @ 0: Int(8) });
plain!(HEX, "hex", 8 { "" @ 0: Hex(8) });
plain!(WSTATUS, "wstatus", 4 { "" @ 0: WaitStatus });
plain!(SIGSET, "sigset", 8 { "" @ 0: Signals });
plain!(FDPAIR, "fdpair", 8 { "" @ 0: Int(4), "" @ 4: Int(4) });
plain!(PIPE_PAIR, "pipe_pair", 8 { "" @ 0: Fd("pipe"), "" @ 4: Fd("pipe") });
plain!(SOCK_PAIR, "sock_pair", 8 { "" @ 0: Fd("sock"), "" @ 4: Fd("sock") });
plain!(AIO_CONTEXT, "aio_context", 8 { "" @ 0: Hex(8) });
plain!(TIMER_ID, "timer_id", 4 { "" @ 0: Id("timer") });
plain!(IOVEC, "iovec", 16 { "iov_base" @ 0: Bytes, "iov_len" @ 8: Uint(8) });
plain!(SOCKADDR_UN, "sockaddr_un", 110 { "sun_family" @ 0: Enum(2, "AF"), "sun_path" @ 2: Text(108) });
plain!(SOCKADDR_IN, "sockaddr_in", 16 { "sin_family" @ 0: Enum(2, "AF"), "sin_port" @ 2: Port, "sin_addr" @ 4: Hex(4) });
plain!(SOCKADDR_IN6, "sockaddr_in6", 28 {
    "sin6_family" @ 0: Enum(2, "AF"), "sin6_port" @ 2: Port, "sin6_flowinfo" @ 4: Hex(4), "sin6_addr_high" @ 8: Hex(8),
    "sin6_addr_low" @ 16: Hex(8), "sin6_scope_id" @ 24: Uint(4),
});
plain!(MQ_ATTR, "mq_attr", 64 { "mq_flags" @ 0: Flags(8, "OPEN"), "mq_maxmsg" @ 8: Int(8), "mq_msgsize" @ 16: Int(8), "mq_curmsgs" @ 24: Int(8) });
plain!(SIGEVENT, "sigevent", 64 { "sigev_value" @ 0: Hex(8), "sigev_signo" @ 8: Enum(4, "SIGNAL"), "sigev_notify" @ 12: Enum(4, "SIGEV"), "sigev_tid" @ 16: Int(4) });
plain!(SCHED_ATTR, "sched_attr", 56 {
    "size" @ 0: Uint(4), "sched_policy" @ 4: Flags(4, "SCHED"), "sched_flags" @ 8: Hex(8), "sched_nice" @ 16: Int(4),
    "sched_priority" @ 20: Uint(4),
});
plain!(MSGBUF, "msgbuf", 40 { "mtype" @ 0: Int(8), "mtext" @ 8: Text(32) });
// struct ipc64_perm of x86_64 comes first in all three.
plain!(MSQID_DS, "msqid_ds", 120 {
    "key" @ 0: Hex(4), "uid" @ 4: Uint(4), "gid" @ 8: Uint(4), "cuid" @ 12: Uint(4), "cgid" @ 16: Uint(4),
    "mode" @ 20: Octal(4), "stime" @ 48: Int(8), "rtime" @ 56: Int(8), "ctime" @ 64: Int(8), "cbytes" @ 72: Uint(8),
    "qnum" @ 80: Uint(8), "qbytes" @ 88: Uint(8), "lspid" @ 96: Int(4), "lrpid" @ 100: Int(4),
});
plain!(SHMID_DS, "shmid_ds", 112 {
    "key" @ 0: Hex(4), "uid" @ 4: Uint(4), "gid" @ 8: Uint(4), "cuid" @ 12: Uint(4), "cgid" @ 16: Uint(4),
    "mode" @ 20: Octal(4), "segsz" @ 48: Uint(8), "atime" @ 56: Int(8), "dtime" @ 64: Int(8), "ctime" @ 72: Int(8),
    "cpid" @ 80: Int(4), "lpid" @ 84: Int(4), "nattch" @ 88: Uint(8),
});
plain!(SIGSET_REF, "sigset_ref", 16 { "sigmask" @ 0: Hex(8), "sigsetsize" @ 8: Uint(8) });
plain!(TIMESPEC2, "timespec2", 32 { "" @ 0: Struct(&TIMESPEC), "" @ 16: Struct(&TIMESPEC) });
plain!(TIMEVAL2, "timeval2", 32 { "" @ 0: Struct(&TIMEVAL), "" @ 16: Struct(&TIMEVAL) });
plain!(ITIMERSPEC, "itimerspec", 32 { "it_interval" @ 0: Struct(&TIMESPEC), "it_value" @ 16: Struct(&TIMESPEC) });
plain!(ITIMERVAL, "itimerval", 32 { "it_interval" @ 0: Struct(&TIMEVAL), "it_value" @ 16: Struct(&TIMEVAL) });
plain!(CAP_HEADER, "cap_header", 8 { "version" @ 0: Hex(4), "pid" @ 4: Int(4) });
// Versions 2 and 3 have a second element of this kind; the first is enough to recognise a call.
plain!(CAP_DATA, "cap_data", 12 { "effective" @ 0: Hex(4), "permitted" @ 4: Hex(4), "inheritable" @ 8: Hex(4) });
plain!(TMS, "tms", 32 { "tms_utime" @ 0: Int(8), "tms_stime" @ 8: Int(8), "tms_cutime" @ 16: Int(8), "tms_cstime" @ 24: Int(8) });
plain!(UTIMBUF, "utimbuf", 16 { "actime" @ 0: Int(8), "modtime" @ 8: Int(8) });
plain!(SEMBUF, "sembuf", 6 { "sem_num" @ 0: Uint(2), "sem_op" @ 2: Int(2), "sem_flg" @ 4: Hex(2) });
// struct user_msghdr, include/linux/socket.h.
plain!(MSGHDR, "msghdr", 56 {
    "msg_name" @ 0: Sockaddr, "msg_namelen" @ 8: Int(4), "msg_iov" @ 16: Array(&IOVEC), "msg_iovlen" @ 24: Uint(8),
    "msg_control" @ 32: Bytes, "msg_controllen" @ 40: Uint(8), "msg_flags" @ 48: Flags(4, "MSG"),
});
// The fields of SIGCHLD and kill(2); other signals use the same bytes for other things.
plain!(SIGINFO, "siginfo", 128 {
    "si_signo" @ 0: Enum(4, "SIGNAL"), "si_errno" @ 4: Int(4), "si_code" @ 8: Int(4), "si_pid" @ 16: Int(4),
    "si_uid" @ 20: Uint(4), "si_status" @ 24: Int(4),
});
// include/uapi/linux/eventpoll.h: packed on x86_64.
plain!(EPOLL_EVENT, "epoll_event", 12 { "events" @ 0: Flags(4, "EPOLL"), "data" @ 4: Hex(8) });
// struct kernel_termios: 19 control characters.
plain!(TERMIOS, "termios", 36 {
    "c_iflag" @ 0: Flags(4, "IFLAG"), "c_oflag" @ 4: Flags(4, "OFLAG"), "c_cflag" @ 8: Flags(4, "CFLAG"),
    "c_lflag" @ 12: Flags(4, "LFLAG"),
});
// struct kernel_sigaction of x86: handler, flags, restorer, mask.
plain!(SIGACTION, "sigaction", 32 {
    "sa_handler" @ 0: Hex(8), "sa_mask" @ 24: Signals, "sa_flags" @ 8: Flags(8, "SA"), "sa_restorer" @ 16: Hex(8),
});
plain!(STACK, "stack", 24 { "ss_sp" @ 0: Hex(8), "ss_flags" @ 8: Flags(4, "SS"), "ss_size" @ 16: Uint(8) });

raw!(TIMESPEC, "timespec", general::timespec { tv_sec: Int(8), tv_nsec: Int(8) });
raw!(TIMEVAL, "timeval", general::__kernel_old_timeval { tv_sec: Int(8), tv_usec: Int(8) });
raw!(TIMEZONE, "timezone", general::timezone { tz_minuteswest: Int(4), tz_dsttime: Int(4) });
raw!(
    STAT,
    "stat",
    general::stat {
        st_dev: Hex(8),
        st_ino: Uint(8),
        st_mode: Flags(4, "S_IF"),
        st_nlink: Uint(8),
        st_uid: Uint(4),
        st_gid: Uint(4),
        st_rdev: Hex(8),
        st_blksize: Uint(8),
        st_blocks: Uint(8),
        st_size: Int(8),
        st_atime: Int(8),
        st_atime_nsec: Uint(8),
        st_mtime: Int(8),
        st_mtime_nsec: Uint(8),
        st_ctime: Int(8),
        st_ctime_nsec: Uint(8),
    }
);
raw!(STATX_TIMESTAMP, "statx_timestamp", general::statx_timestamp { tv_sec: Int(8), tv_nsec: Uint(4) });
raw!(
    STATX,
    "statx",
    general::statx {
        stx_mask: Flags(4, "STATX"),
        stx_blksize: Uint(4),
        stx_attributes: Flags(8, "STATX_ATTR"),
        stx_nlink: Uint(4),
        stx_uid: Uint(4),
        stx_gid: Uint(4),
        stx_mode: Flags(2, "S_IF"),
        stx_ino: Uint(8),
        stx_size: Uint(8),
        stx_blocks: Uint(8),
        stx_attributes_mask: Flags(8, "STATX_ATTR"),
        stx_atime: Struct(&STATX_TIMESTAMP),
        stx_btime: Struct(&STATX_TIMESTAMP),
        stx_ctime: Struct(&STATX_TIMESTAMP),
        stx_mtime: Struct(&STATX_TIMESTAMP),
        stx_rdev_major: Uint(4),
        stx_rdev_minor: Uint(4),
        stx_dev_major: Uint(4),
        stx_dev_minor: Uint(4),
        stx_mnt_id: Hex(8),
    }
);
raw!(
    STATFS,
    "statfs",
    general::statfs {
        f_type: Hex(8),
        f_bsize: Int(8),
        f_blocks: Uint(8),
        f_bfree: Uint(8),
        f_bavail: Uint(8),
        f_files: Uint(8),
        f_ffree: Uint(8),
        f_namelen: Int(8),
        f_frsize: Int(8),
        f_flags: Hex(8),
        f_fsid: Hex(8),
    }
);
raw!(RLIMIT, "rlimit", general::rlimit64 { rlim_cur: Limit, rlim_max: Limit });
raw!(
    RUSAGE,
    "rusage",
    general::rusage {
        ru_utime: Struct(&TIMEVAL),
        ru_stime: Struct(&TIMEVAL),
        ru_maxrss: Int(8),
        ru_minflt: Int(8),
        ru_majflt: Int(8),
        ru_nvcsw: Int(8),
        ru_nivcsw: Int(8),
    }
);
raw!(POLLFD, "pollfd", general::pollfd { fd: Fd(""), events: Flags(2, "POLL"), revents: Flags(2, "POLL") });
raw!(
    WINSIZE,
    "winsize",
    general::winsize { ws_row: Uint(2), ws_col: Uint(2), ws_xpixel: Uint(2), ws_ypixel: Uint(2) }
);
raw!(
    FLOCK,
    "flock",
    general::flock {
        l_type: Enum(2, "LOCKTYPE"),
        l_whence: Enum(2, "SEEK"),
        l_start: Int(8),
        l_len: Int(8),
        l_pid: Int(4),
    }
);
raw!(
    OPEN_HOW,
    "open_how",
    general::open_how { flags: Flags(8, "OPEN"), mode: Octal(8), resolve: Flags(8, "RESOLVE") }
);
raw!(
    UTSNAME,
    "utsname",
    system::new_utsname {
        sysname: Text(65),
        nodename: Text(65),
        release: Text(65),
        version: Text(65),
        machine: Text(65),
        domainname: Text(65),
    }
);
raw!(
    SYSINFO,
    "sysinfo",
    system::sysinfo {
        uptime: Int(8),
        totalram: Uint(8),
        freeram: Uint(8),
        sharedram: Uint(8),
        bufferram: Uint(8),
        totalswap: Uint(8),
        freeswap: Uint(8),
        procs: Uint(2),
        totalhigh: Uint(8),
        freehigh: Uint(8),
        mem_unit: Uint(4),
    }
);

pub(super) static ALL: &[&Layout] = &[
    &INT,
    &UINT,
    &LONG,
    &ULONG,
    &OFF,
    &HEX,
    &WSTATUS,
    &SIGSET,
    &FDPAIR,
    &PIPE_PAIR,
    &SOCK_PAIR,
    &AIO_CONTEXT,
    &TIMER_ID,
    &IOVEC,
    &SOCKADDR_UN,
    &SOCKADDR_IN,
    &SOCKADDR_IN6,
    &MQ_ATTR,
    &SIGEVENT,
    &SCHED_ATTR,
    &MSGBUF,
    &MSQID_DS,
    &SHMID_DS,
    &SIGSET_REF,
    &TIMESPEC2,
    &TIMEVAL2,
    &ITIMERSPEC,
    &ITIMERVAL,
    &CAP_HEADER,
    &CAP_DATA,
    &TMS,
    &UTIMBUF,
    &SEMBUF,
    &MSGHDR,
    &SIGINFO,
    &EPOLL_EVENT,
    &TERMIOS,
    &SIGACTION,
    &STACK,
    &TIMESPEC,
    &TIMEVAL,
    &TIMEZONE,
    &STAT,
    &STATX_TIMESTAMP,
    &STATX,
    &STATFS,
    &RLIMIT,
    &RUSAGE,
    &POLLFD,
    &WINSIZE,
    &FLOCK,
    &OPEN_HOW,
    &UTSNAME,
    &SYSINFO,
];
