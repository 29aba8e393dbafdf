//! Hot paths of the kernel in this process, without a platform: a guest that is a byte array makes calls, which go the same way as
//! real ones from the worker on. What a notification and guest memory cost on the host is not in it.

mod rig;

use abi_linux::raw::general as nr;
use criterion::{Criterion, criterion_group, criterion_main};
use platform_api::fake::BASE;
use rig::Rig;

const PATH_AT: u64 = BASE;
const BUFFER: u64 = BASE + 0x4000;

/// Everything between a call and its answer that is not the call itself: the task by its thread, dispatch, decode, reply.
fn decode(c: &mut Criterion) {
    let mut rig = Rig::new();
    c.bench_function("decode: getppid", |b| b.iter(|| rig.value(nr::__NR_getppid, &[])));
    c.bench_function("decode: fcntl(F_GETFD), refused", |b| b.iter(|| rig.call(nr::__NR_fcntl, &[999, 1])));
}

fn path_walk(c: &mut Criterion) {
    let mut rig = Rig::new();
    let mut path = String::new();
    for depth in 0..16 {
        path.push_str(&format!("/d{depth}"));
        let at = rig.text(PATH_AT, &path);
        rig.value(nr::__NR_mkdir, &[at, 0o755]);
    }
    for depth in [1, 4, 16] {
        let part: String = path.split_inclusive('/').take(depth + 1).collect();
        let at = rig.text(PATH_AT, part.trim_end_matches('/'));
        c.bench_function(&format!("path walk: stat of {depth} names"), |b| {
            b.iter(|| rig.value(nr::__NR_stat, &[at, BUFFER]))
        });
    }
    let at = rig.text(PATH_AT, "/d0/d1/../d1/./d2");
    c.bench_function("path walk: stat with dots", |b| b.iter(|| rig.value(nr::__NR_stat, &[at, BUFFER])));
}

fn dentry_lookup(c: &mut Criterion) {
    let mut rig = Rig::new();
    for number in 0..2000 {
        let fd = rig.open(&format!("/file{number}"), libc_flags::CREATE);
        rig.value(nr::__NR_close, &[fd]);
    }
    let at = rig.text(PATH_AT, "/file1234");
    c.bench_function("dentry lookup: one of 2,000", |b| b.iter(|| rig.value(nr::__NR_access, &[at, 0])));
    let at = rig.text(PATH_AT, "/none1234");
    c.bench_function("dentry lookup: none of 2,000", |b| b.iter(|| rig.call(nr::__NR_access, &[at, 0])));
}

fn pipe(c: &mut Criterion) {
    let mut rig = Rig::new();
    rig.value(nr::__NR_pipe, &[BUFFER]);
    let [reader, writer] = [BUFFER, BUFFER + 4].map(|at| u64::from(rig.peek_u32(at)));
    for size in [1, 4096] {
        c.bench_function(&format!("pipe: write and read of {size} B"), |b| {
            b.iter(|| {
                rig.value(nr::__NR_write, &[writer, BUFFER, size]);
                rig.value(nr::__NR_read, &[reader, BUFFER, size])
            });
        });
    }
}

fn epoll(c: &mut Criterion) {
    let mut rig = Rig::new();
    let set = rig.value(nr::__NR_epoll_create1, &[0]);
    for watched in 0..100_u64 {
        let fd = rig.value(nr::__NR_eventfd2, &[u64::from(watched == 0), 0]);
        // EPOLLIN, and the descriptor as its data.
        rig.poke(BUFFER, &[&1_u32.to_ne_bytes()[..], &fd.to_ne_bytes()].concat());
        rig.value(nr::__NR_epoll_ctl, &[set, 1, fd, BUFFER]);
    }
    c.bench_function("epoll: wait, 1 of 100 ready", |b| {
        b.iter(|| rig.value(nr::__NR_epoll_wait, &[set, BUFFER, 16, 0]))
    });
}

fn fd_table(c: &mut Criterion) {
    let mut rig = Rig::new();
    let fd = rig.open("/data", libc_flags::CREATE);
    for _ in 0..1000 {
        rig.value(nr::__NR_dup, &[fd]);
    }
    c.bench_function("fd table: dup and close beside 1,000", |b| {
        b.iter(|| {
            let new = rig.value(nr::__NR_dup, &[fd]);
            rig.value(nr::__NR_close, &[new])
        });
    });
    c.bench_function("fd table: fstat", |b| b.iter(|| rig.value(nr::__NR_fstat, &[fd, BUFFER])));
    c.bench_function("file: pread of 4 KiB", |b| {
        b.iter(|| rig.value(nr::__NR_pread64, &[fd, BUFFER, 4096, 0]))
    });
}

mod libc_flags {
    /// O_RDWR | O_CREAT
    pub(super) const CREATE: u64 = 0o102;
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().sample_size(50);
    targets = decode, path_walk, dentry_lookup, pipe, epoll, fd_table
}
criterion_main!(benches);
