//! The guest programs: every check passes on the host, and then in a sandbox on the host's root.

use std::path::Path;

use integration::paths;
use integration::runner::{Runner, Sandbox, assert_equal};

/// Where the programs are inside the sandbox.
const MOUNT: &str = "/t";

fn passes(program: &str) {
    let program = Path::new(program);
    let native = Runner::Native.run(&[program]);
    println!("{native:?}");
    assert!(native.status == 0 && !native.hung, "fails on the host: {native:?}");
    if paths::palisade_is_wanted() {
        let dir = program.parent().expect("a program is in a directory");
        let name = program.file_name().expect("a program has a name").to_string_lossy();
        let sandbox = Sandbox::default().with_volume(dir, MOUNT);
        let palisade = Runner::Palisade(sandbox).run(&[format!("{MOUNT}/{name}")]);
        assert_equal(&native, &palisade);
    }
}

macro_rules! guests {
    ($($test:ident = $program:literal;)*) => {
        $(
            #[test]
            fn $test() {
                passes(env!(concat!("CARGO_BIN_EXE_", $program)));
            }
        )*
    };
}

guests! {
    descriptors = "guest_fds";
    files = "guest_files";
    attributes = "guest_attributes";
    transfers = "guest_transfers";
    holds = "guest_holds";
    splices = "guest_splice";
    file_events = "guest_inotify";
    system_v_ipc = "guest_sysv";
    posix_message_queues = "guest_mqueue";
    signals_of_files = "guest_sigio";
    asynchronous_io_and_newer_file_calls = "guest_aio";
    posix_timers = "guest_timers";
    signalfds = "guest_signalfd";
    precedence_of_refusals = "guest_precedence";
    pidfds = "guest_pidfd";
    pipes = "guest_pipes";
    unix_sockets = "guest_unix";
    inet_sockets = "guest_inet";
    waiting = "guest_poll";
    memory_maps = "guest_mmap";
    ends_of_mapped_files = "guest_sigbus";
    files_of_tmpfs = "guest_tmpfs";
    fork_exec_wait = "guest_exec";
    signals = "guest_signals";
    signal_handlers = "guest_handlers";
    faults_stops_and_threads = "guest_faults";
    threads = "guest_threads";
    sharing_processes = "guest_sharing";
    storms = "guest_storms";
    credentials = "guest_credentials";
    seccomp = "guest_seccomp";
    process_controls = "guest_prctl";
    scheduling_and_other_processes = "guest_scheduling";
    identity_and_system = "guest_ids";
    mounts = "guest_mounts";
    namespaces = "guest_namespaces";
    terminals = "guest_tty";
    proc_files = "guest_proc";
    machine_files_and_devices = "guest_machine";
}
