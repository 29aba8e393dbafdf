//! Runs `tests/platform/guest.c` under a platform whose calls a closure answers.

use std::ffi::CString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use platform_api::{HostTid, KernelEvents, Platform, Reply, Syscall, Worker};
use platform_notify::{Container, Ending, GuestIds, Instruction, NotifyPlatform, SpawnSpec, spawn};

pub(crate) const EXECVEAT: i32 = 322;

/// Calls that the test filter lets pass: munmap, sigaction, sigreturn, clone, exit, wait4, gettid, exit_group.
const NATIVE: [u32; 8] = [11, 13, 15, 56, 60, 61, 186, 231];

const RET_ALLOW: u32 = 0x7fff_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;

/// A filter as small as the tests need: by number alone.
pub(crate) fn filter() -> Vec<Instruction> {
    let load = Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
    let ret = |k| Instruction { code: 0x06, jt: 0, jf: 0, k };
    let mut program = vec![load];
    for nr in NATIVE {
        program.push(Instruction { code: 0x15, jt: 0, jf: 1, k: nr });
        program.push(ret(RET_ALLOW));
    }
    program.push(ret(RET_USER_NOTIF));
    program
}

/// Compiles the guest once. A C compiler is there, since rustc links with it.
pub(crate) fn guest() -> &'static [u8] {
    static GUEST: OnceLock<Vec<u8>> = OnceLock::new();
    GUEST.get_or_init(|| {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/platform/guest.c");
        let output = std::env::temp_dir().join(format!("palisade-guest-{}", std::process::id()));
        let status = Command::new("cc")
            .args([
                "-O2",
                "-Wall",
                "-Wextra",
                "-ffreestanding",
                "-fno-stack-protector",
                "-fcf-protection=none",
            ])
            .args(["-static", "-nostdlib", "-o"])
            .arg(&output)
            .arg(source)
            .status()
            .expect("cc runs");
        assert!(status.success());
        let bytes = std::fs::read(&output).expect("the guest was compiled");
        let _ = std::fs::remove_file(output);
        bytes
    })
}

pub(crate) fn container(scenario: &str) -> Container {
    container_with(scenario, &filter())
}

pub(crate) fn container_with(scenario: &str, filter: &[Instruction]) -> Container {
    let string = |text: &str| CString::new(text).expect("no NUL");
    let spec = SpawnSpec {
        filter,
        program: guest(),
        argv: vec![string("guest"), string(scenario)],
        envp: vec![],
        ids: GuestIds { uid: 0, gid: 0 },
        place: &platform_notify::stay,
        doors: &[],
        network: None,
        maker: None,
        oom_score_adj: None,
        sysctls: &[],
    };
    spawn(spec).expect("a container can be made")
}

/// The closures of one test.
pub(crate) struct Hooks<C, E> {
    platform: Arc<NotifyPlatform>,
    call: C,
    exited: E,
}

struct Caller<C, E>(Arc<Hooks<C, E>>);

impl<C: Fn(&NotifyPlatform, Syscall) + Send + Sync, E: Send + Sync> Worker for Caller<C, E> {
    fn call(&mut self, call: Syscall) {
        if call.nr == EXECVEAT {
            // The init's first, or one that a test substituted.
            self.0.platform.reply(call.id, Reply::Continue);
        } else {
            (self.0.call)(&self.0.platform, call);
        }
    }
}

impl<C: Send + Sync, E: Fn(HostTid) + Send + Sync> KernelEvents for Hooks<C, E> {
    fn exited(&self, tgid: HostTid) {
        (self.exited)(tgid);
    }
    fn timer_expired(&self) {}
    fn drain(&self) {}
}

/// Runs a scenario; its exit status must be 0.
pub(crate) fn run<C, E>(scenario: &str, workers: usize, call: C, exited: E)
where
    C: Fn(&NotifyPlatform, Syscall) + Send + Sync + 'static,
    E: Fn(HostTid) + Send + Sync + 'static,
{
    let platform = NotifyPlatform::new(container(scenario)).expect("the container becomes a platform");
    let hooks = Arc::new(Hooks { platform: Arc::clone(&platform), call, exited });
    let threads = (0..workers).map(|_| Box::new(Caller(Arc::clone(&hooks))) as Box<dyn Worker>).collect();
    let events: Arc<dyn KernelEvents> = hooks;
    assert_eq!(platform.run(threads, &events), Ok(Ending::Exited(0)), "{scenario}");
}
