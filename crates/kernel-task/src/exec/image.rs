//! The change of image: from the loader's execveat to the running program.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use abi_linux::{Errno, SysResult};
use guest_loader::encode_init;
use kernel_base::cred::Credentials;
use kernel_vfs::busy::Execution;
use kernel_vfs::file::File;
use kernel_vfs::path::Path;
use platform_api::ProcFile;

use crate::process::Process;
use crate::seccomp::Mode;
use crate::signal_actions::{SignalActions, SignalPage};
use crate::task::Task;
use crate::thread_credentials::gains;

/// Most bytes of the host's auxiliary vector.
pub(crate) const AUXV_MAX: usize = 1024;
const AT_SYSINFO_EHDR: u64 = 33;

/// The program that a process runs.
#[derive(Default)]
pub struct Image {
    /// /proc/pid/exe.
    pub exe: Option<Path>,
    /// Keeps that from being written.
    pub(crate) execution: Option<Arc<Execution>>,
    /// What replaced argv[0] for a `#!` file, for /proc/pid/cmdline.
    pub argv_prefix: Vec<Vec<u8>>,
    /// The host's auxiliary vector: tells one address space from the next.
    pub host_auxv: Vec<u8>,
    /// Where its parts lie; empty while the loader is at work. The guest's word, for display only.
    pub layout: OnceLock<ImageLayout>,
}

/// Addresses of a finished image, as the loader reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageLayout {
    pub stack_pointer: u64,
    pub exe_bias: u64,
    pub arg_start: u64,
    pub arg_end: u64,
}

impl Image {
    /// Whether the loader has asked for it: false until the container's first process executes.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.host_auxv.is_empty()
    }

    /// Address of the vDSO in this image, if the host gave one.
    #[must_use]
    pub fn vdso(&self) -> Option<u64> {
        let (words, _) = self.host_auxv.as_chunks::<16>();
        words.iter().find_map(|entry| {
            let key = u64::from_le_bytes(entry[..8].try_into().ok()?);
            let value = u64::from_le_bytes(entry[8..].try_into().ok()?);
            (key == AT_SYSINFO_EHDR && value != 0).then_some(value)
        })
    }
}

/// The files that the loader maps.
#[derive(Clone)]
pub struct LoadFiles {
    pub exe: Arc<File>,
    pub interp: Option<Arc<File>>,
}

/// An exec that has been checked and waits for the host.
#[derive(Clone)]
pub struct PendingExec {
    pub(super) tid: i32,
    pub(super) plan: Arc<[u8]>,
    pub(super) files: LoadFiles,
    pub(super) exe: Path,
    /// From the check until the image stands for it; the container's first program is not written yet.
    pub(super) execution: Option<Arc<Execution>>,
    pub(super) argv_prefix: Vec<Vec<u8>>,
    pub(super) credentials: Credentials,
    pub(super) seccomp: Mode,
    pub(super) comm: [u8; 16],
}

/// What the container's first process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstExec {
    /// The program itself (`palisade run`).
    Program,
    /// A reaper, whose child becomes the program (`palisade do`).
    Init,
}

/// Where a process stands between execve and its new image.
#[derive(Default)]
pub(crate) enum ExecState {
    /// A program runs.
    #[default]
    None,
    /// The container's first process is about to execute the loader by itself.
    First(Arc<PendingExec>, FirstExec),
    /// Checked; the substituted call has not arrived yet.
    Pending(Arc<PendingExec>),
    /// The host performs the loader's execveat, or has refused it.
    Started(Arc<PendingExec>),
    /// The init of `palisade do`: its child will become this program.
    Init(Arc<PendingExec>),
    /// The loader maps the new image.
    Loading(LoadFiles),
}

impl ExecState {
    fn is_under_way_beside(&self, task: &Task) -> bool {
        match self {
            Self::Pending(exec) | Self::Started(exec) => exec.tid != task.tid,
            _ => false,
        }
    }

    pub(crate) fn inherited(&self) -> Self {
        match self {
            Self::Init(exec) => Self::Init(Arc::clone(exec)),
            _ => Self::None,
        }
    }
}

impl Task {
    /// Whether this call is an execveat of the loader that has been prepared, so that the
    /// host may perform it (it holds the loader: the first process from its start, others for this call). `is_substituted` says that its registers are those of the substitution. Admits
    /// a prepared exec once, so that credentials computed for it cannot be had later.
    pub fn admit_loader_exec(&self, is_substituted: bool) -> bool {
        let mut state = self.process.exec.lock();
        let next = match &*state {
            ExecState::First(exec, FirstExec::Program) => ExecState::Started(Arc::clone(exec)),
            ExecState::First(exec, FirstExec::Init) => ExecState::Init(Arc::clone(exec)),
            ExecState::Pending(exec) if is_substituted && exec.tid == self.tid => {
                ExecState::Started(Arc::clone(exec))
            }
            _ => return false,
        };
        *state = next;
        drop(state);
        self.settle_all_forks();
        true
    }

    /// Whether another thread of this process is being sent into a new image: the host's table holds the
    /// loader then. An exec of this very thread has failed if it can ask.
    #[must_use]
    pub fn exec_is_under_way(&self) -> bool {
        self.process.exec.lock().is_under_way_beside(self)
    }

    /// Does `act`, a short thing, before any other thread's exec begins; `None` when one has begun.
    pub fn before_any_exec<R>(&self, act: impl FnOnce() -> R) -> Option<R> {
        let state = self.process.exec.lock();
        (!state.is_under_way_beside(self)).then(act)
    }

    /// Address of an empty string that the guest cannot change: the padding of the vDSO's ELF header.
    /// ENOMEM when the process has no vDSO.
    pub fn empty_string(&self) -> SysResult<u64> {
        // e_ident[EI_ABIVERSION], 0, and seven bytes of padding (include/uapi/linux/elf.h).
        const EI_ABIVERSION: u64 = 8;
        let vdso = self.process.image.read().vdso().ok_or(Errno::ENOMEM)?;
        vdso.checked_add(EI_ABIVERSION).ok_or(Errno::ENOMEM)
    }

    /// The loader's call for its plan: the image is new from here on. EPERM when a guest asks by hand.
    pub fn begin_image(&self, init_child: bool) -> SysResult<Arc<[u8]>> {
        let host_auxv = self.host_auxv()?;
        let process = &self.process;
        let mut state = process.exec.lock();
        let exec = match &*state {
            ExecState::Started(exec) if !init_child && self.is_leader() => Arc::clone(exec),
            ExecState::Init(exec) if init_child && process.pid != 1 => Arc::clone(exec),
            ExecState::Init(_) if process.pid == 1 => {
                let plan = encode_init();
                drop(state);
                self.set_comm(b"palisade-init");
                process.set_image(Image { host_auxv, ..Image::default() });
                return Ok(plan.into());
            }
            _ => return Err(Errno::EPERM),
        };
        // A child of the init runs in a copy of the init's address space; anything else must be new.
        if !init_child && process.image.read().host_auxv == host_auxv {
            return Err(Errno::EPERM);
        }
        *state = ExecState::Loading(exec.files.clone());
        drop(state);
        self.replace_image(&exec, host_auxv);
        Ok(Arc::clone(&exec.plan))
    }

    pub(super) fn host_auxv(&self) -> SysResult<Vec<u8>> {
        let mut auxv = Vec::new();
        self.kernel().platform.read_proc(self.tid, ProcFile::Auxv, AUXV_MAX, &mut auxv)?;
        Ok(auxv)
    }

    fn replace_image(&self, exec: &PendingExec, host_auxv: Vec<u8>) {
        let process = &self.process;
        let kernel = self.kernel();
        for other in process.tasks().iter().filter(|task| task.tid != self.tid) {
            kernel.remove_task(other);
        }
        kernel.settle_orphans_of(self);
        process.files.unshare();
        for file in process.files.remove_cloexec() {
            file.flush(self);
        }
        process.mapped_fds.lock().clear();
        process.leave_shm();
        process.signal_actions.part(|_| SignalActions::default());
        process.signal_actions.write(SignalActions::reset);
        process.posix_timers.clear();
        process.aio.clear();
        // What gains by its file is not for its user to look into (fs/exec.c:begin_new_exec, kernel/cred.c:commit_creds).
        let (old, new) = (process.credentials(), &exec.credentials);
        let is_users = new.euid == new.ruid && new.egid == new.rgid && !gains(&old, new);
        process.dumpable.store(u32::from(is_users), Ordering::Relaxed);
        process.set_credentials(exec.credentials.clone());
        // The leader's place is taken by the thread that executes.
        self.set_seccomp(exec.seccomp.clone());
        process.did_exec.store(true, Ordering::Relaxed);
        self.set_comm(&exec.comm);
        let begin = || Execution::begin(&exec.exe).ok().map(Arc::new);
        let execution = exec.execution.clone().or_else(begin);
        let (exe, argv_prefix) = (Some(exec.exe.clone()), exec.argv_prefix.clone());
        let layout = OnceLock::new();
        process.set_image(Image { exe, execution, argv_prefix, host_auxv, layout });
    }

    /// The loader says that the image is complete, and where its parts lie.
    pub fn finish_image(&self, layout: ImageLayout) -> SysResult<()> {
        let mut state = self.process.exec.lock();
        if !matches!(&*state, ExecState::Loading(_)) {
            return Err(Errno::EPERM);
        }
        let loaded = std::mem::take(&mut *state);
        drop(state);
        drop(loaded);
        let _ = self.process.image.read().layout.set(layout);
        Ok(())
    }

    /// The loader's word, with its call for the plan, for where it put the signal page.
    pub fn set_signal_page(&self, page: SignalPage) {
        self.process.signal_actions.write(|actions| actions.set_page(page));
    }

    /// While the loader maps an image: the file behind `fd` (0 the executable, 1 the interpreter).
    #[must_use]
    pub fn loading_file(&self, fd: i32) -> Option<Arc<File>> {
        match (&*self.process.exec.lock(), fd) {
            (ExecState::Loading(files), guest_loader::protocol::FD_EXE) => Some(Arc::clone(&files.exe)),
            (ExecState::Loading(files), guest_loader::protocol::FD_INTERP) => files.interp.clone(),
            _ => None,
        }
    }
}

impl Process {
    /// Whether an exec was begun, and its program does not run yet.
    pub(crate) fn is_changing_image(&self) -> bool {
        !matches!(*self.exec.lock(), ExecState::None)
    }

    /// Runs no program any more, but did.
    pub(crate) fn end_image(&self) {
        let host_auxv = self.image.read().host_auxv.clone();
        self.set_image(Image { host_auxv, ..Image::default() });
        let state = std::mem::take(&mut *self.exec.lock());
        // Outside the lock: it may hold the last reference to a file.
        drop(state);
    }

    /// Runs another program.
    pub(crate) fn set_image(&self, image: Image) {
        let old = std::mem::replace(&mut *self.image.write(), Arc::new(image));
        // Outside the lock: it may hold the last reference to a file.
        drop(old);
    }

    /// Whether this is `palisade do`'s init: the loader itself, for good. What it tells the supervisor is worth as much as
    /// its memory, which is therefore nobody's to change.
    #[must_use]
    pub fn is_loaders_init(&self) -> bool {
        self.pid == 1 && self.is_loading()
    }

    /// Whether the loader is at work in this process.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        !matches!(*self.exec.lock(), ExecState::None | ExecState::Pending(_) | ExecState::Started(_))
    }
}
