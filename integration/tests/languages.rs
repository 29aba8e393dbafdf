//! Language runtimes on an everyday Debian: what works under the control works under Palisade.
//!
//! Programs give the same output and status as in a chroot. CPython's and Go's own test suites are compared test by
//! test ([`integration::suite`]), with a control that has no network but loopback, as Palisade has by default. The long
//! modules of CPython run in part; `INTEGRATION_FULL=1` runs all of them. Debian does not package test_sqlite3, test_tty is of a
//! later Python, and test_ioctl wants a terminal.

use std::env;
use std::time::Duration;

use integration::suite::Suite;
use integration::{roots, runner};

/// After which regrtest ends a test, in seconds.
const TEST_LIMIT: &str = "180";
/// After which a suite hangs.
const SUITE_LIMIT: Duration = Duration::from_secs(600);

/// Runs a module of CPython's tests with regrtest's options.
fn cpython(module: &str, options: &[&str]) {
    let root = roots::everyday();
    let script = include_str!("../scripts/regrtest.py");
    let words = ["python3", "-c", script, module, TEST_LIMIT];
    let argv = words.iter().chain(options).map(|&word| word.to_owned()).collect();
    Suite { root: &root, argv, limit: SUITE_LIMIT }.assert_passes_as_under_control();
}

/// [`cpython`] for a long module: only these tests, unless all are wanted.
fn long_cpython(module: &str, chosen: &[&str]) {
    let full = env::var_os("INTEGRATION_FULL").is_some();
    let options: Vec<_> = chosen.iter().filter(|_| !full).flat_map(|&pattern| ["-m", pattern]).collect();
    cpython(module, &options);
}

macro_rules! cpython {
    ($($module:ident)*) => {
        $(
            #[test]
            fn $module() {
                cpython(stringify!($module), &[]);
            }
        )*
    };
}

cpython! {
    test_epoll
    test_fcntl
    test_file
    test_fileio
    test_ftplib
    test_glob
    test_grp
    test_httpservers
    test_io
    test_mmap
    test_os
    test_pathlib
    test_poll
    test_posix
    test_posixpath
    test_pty
    test_pwd
    test_resource
    test_select
    test_selectors
    test_shutil
    test_signal
    test_smtplib
    test_socket
    test_ssl
    test_stat
    test_subprocess
    test_tarfile
    test_tempfile
    test_thread
    test_threading
    test_time
    test_urllib2_localnet
    test_venv
    test_zipfile
}

#[test]
fn test_multiprocessing_fork() {
    long_cpython("test_multiprocessing_fork", &["WithProcesses*", "Test*"]);
}

#[test]
fn test_multiprocessing_spawn() {
    long_cpython("test_multiprocessing_spawn", &["WithProcessesTest[A-P]*"]);
}

#[test]
fn test_concurrent_futures() {
    long_cpython("test_concurrent_futures", &["ThreadPool*", "ProcessPoolFork[A-Z]*"]);
}

#[test]
fn test_asyncio() {
    long_cpython(
        "test_asyncio",
        &[
            "test.test_asyncio.test_subprocess.*",
            "test.test_asyncio.test_unix_events.*",
            "test.test_asyncio.test_server.*",
            "test.test_asyncio.test_sock_lowlevel.*",
            "test.test_asyncio.test_streams.*",
            "EPoll*",
            "*.Queue*",
        ],
    );
}

/// Runs the tests of a package of Go's library.
fn go(package: &str) {
    let root = roots::everyday();
    let words = ["bash", "-c", include_str!("../scripts/languages/go_test.sh"), "go_test.sh", package];
    let argv = words.map(str::to_owned).to_vec();
    Suite { root: &root, argv, limit: SUITE_LIMIT }.assert_passes_as_under_control();
}

macro_rules! go {
    ($($name:ident = $package:literal;)*) => {
        $(
            #[test]
            fn $name() {
                go($package);
            }
        )*
    };
}

go! {
    go_internal_poll = "internal/poll";
    go_os = "os";
    go_os_exec = "os/exec";
    go_os_signal = "os/signal";
    go_syscall = "syscall";
    go_time = "time";
}

macro_rules! programs {
    ($($name:ident = $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let script = include_str!(concat!("../scripts/languages/", $file));
                runner::assert_same_script(&roots::everyday(), script);
            }
        )*
    };
}

programs! {
    go_builds_and_runs_a_program = "go_build.sh";
    java_compiles_and_runs_a_project = "java.sh";
    node_runs_a_program = "node.sh";
    perl_runs_a_program = "perl.sh";
    php_runs_a_program = "php.sh";
    ruby_runs_a_program = "ruby.sh";
    rust_builds_and_runs_a_crate = "rust.sh";
}
