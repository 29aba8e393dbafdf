//! execve(2): from a path to a load plan, and the change of image.
//!
//! 1. [`Task::prepare_exec`] finds the file, follows `#!`, reads the ELF headers, computes credentials, and
//!    keeps a [`PendingExec`]. Everything that Linux answers with an errno is answered here.
//! 2. The call is substituted by execveat of the loader; its own notification is recognised by
//!    [`Task::take_loader_exec`] and continued. If the host refuses it (E2BIG, EFAULT) the caller sees that
//!    errno and the pending exec is forgotten at the next one.
//! 3. The loader asks for its plan: [`Task::begin_image`]. A guest could ask by hand, so the caller must be
//!    its process's only thread and its address space a new one: the host's auxiliary vector differs from
//!    the one recorded for the old image (stack and vDSO are placed at random).
//! 4. [`Task::finish_image`]: the image runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::fs::{OpenFlags, S_ISGID, S_ISUID};
use abi_linux::{Errno, SysResult};
use guest_loader::{LoadPlan, PlanError, encode_init};
use kernel_base::cred::Credentials;
use kernel_vfs::file::File;
use kernel_vfs::inode::{FileKind, Metadata};
use kernel_vfs::mount::MountFlags;
use kernel_vfs::path::Path;
use kernel_vfs::permission::Access;
use kernel_vfs::walk::WalkFlags;
use platform_api::ProcFile;

use crate::elf::{self, ElfImage};
use crate::process::Process;
use crate::task::{Task, comm_from};

/// Bytes of a `#!` line that are looked at (include/uapi/linux/binfmts.h BINPRM_BUF_SIZE).
const SHEBANG_MAX: usize = 256;
/// Bytes read from the start of a file: headers are nearly always within.
const HEAD_LEN: usize = 4096;
/// How many interpreters may stand behind each other (fs/exec.c exec_binprm).
const MAX_INTERPRETERS: usize = 5;
/// Most bytes of the host's auxiliary vector.
const AUXV_MAX: usize = 1024;
const AT_SYSINFO_EHDR: u64 = 33;

/// The program that a process runs.
#[derive(Default)]
pub struct Image {
    /// /proc/pid/exe.
    pub exe: Option<Path>,
    /// What replaced argv[0] for a `#!` file, for /proc/pid/cmdline.
    pub argv_prefix: Vec<Vec<u8>>,
    /// The host's auxiliary vector: tells one address space from the next.
    pub host_auxv: Vec<u8>,
}

impl Image {
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
    tid: i32,
    plan: Arc<[u8]>,
    files: LoadFiles,
    exe: Path,
    argv_prefix: Vec<Vec<u8>>,
    credentials: Credentials,
    comm: [u8; 16],
}

/// Where a process stands between execve and its new image.
#[derive(Default)]
pub(crate) enum ExecState {
    /// A program runs.
    #[default]
    None,
    /// Checked; the host has not replaced the image yet.
    Pending(Arc<PendingExec>),
    /// The init of `palisade do`: its child will become this program.
    Init(Arc<PendingExec>),
    /// The loader maps the new image.
    Loading(LoadFiles),
}

impl ExecState {
    pub(crate) fn inherited(&self) -> Self {
        match self {
            Self::Init(exec) => Self::Init(Arc::clone(exec)),
            _ => Self::None,
        }
    }
}

/// What to execute.
pub enum ExecTarget<'a> {
    /// A path from `at` (None: the working directory).
    Path { at: Option<&'a Path>, path: &'a [u8], flags: WalkFlags },
    /// An open file (execveat with AT_EMPTY_PATH); `name` is "/dev/fd/N".
    File { file: &'a Arc<File>, name: &'a [u8] },
}

/// One file of the chain script → interpreter → … → ELF.
struct Candidate {
    path: Path,
    file: Arc<File>,
    meta: Metadata,
    head: Vec<u8>,
}

impl Task {
    /// Opens a file for execution, checking what Linux's do_open_execat checks.
    fn open_exec(&self, path: Path) -> SysResult<Candidate> {
        if path.inode().kind() != FileKind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
            return Err(Errno::EACCES);
        }
        self.with_walk(|walk| walk.check_access(&path, Access::EXEC))?;
        let ops = path.inode().open(OpenFlags::empty(), self)?;
        let file = File::new(path.clone(), Arc::clone(path.inode()), ops, OpenFlags::empty());
        let mut head = vec![0; HEAD_LEN];
        let len = file.ops.read(file.io(self, 0), &mut head)?;
        head.truncate(len);
        let meta = path.inode().metadata()?;
        Ok(Candidate { path, file, meta, head })
    }

    /// Checks an executable and keeps everything for its start. `argv0` is only for error messages.
    pub fn prepare_exec(&self, target: &ExecTarget<'_>) -> SysResult<()> {
        let exec = self.check_exec(target)?;
        *self.process.exec.lock() = ExecState::Pending(Arc::new(exec));
        Ok(())
    }

    /// As [`Task::prepare_exec`], for the program that the child of an init becomes.
    pub fn prepare_init_child(&self, target: &ExecTarget<'_>) -> SysResult<()> {
        let exec = self.check_exec(target)?;
        *self.process.exec.lock() = ExecState::Init(Arc::new(exec));
        Ok(())
    }

    fn check_exec(&self, target: &ExecTarget<'_>) -> SysResult<PendingExec> {
        let (path, name) = match *target {
            ExecTarget::Path { at, path, flags } => {
                (self.with_walk(|walk| walk.resolve(at, path, flags))?, path)
            }
            ExecTarget::File { file, name } => (file.path.clone(), name),
        };
        let mut candidate = self.open_exec(path)?;
        let mut prefix: Vec<Vec<u8>> = Vec::new();
        let mut display = name.to_vec();
        for _ in 0..=MAX_INTERPRETERS {
            if elf::is_elf(&candidate.head) {
                return self.plan(candidate, name, prefix);
            }
            let (interp, argument) = shebang(&candidate.head)?;
            // The script's own path takes argv[0]'s place; what stood before stays behind it.
            let mut longer = vec![interp.clone()];
            longer.extend(argument);
            longer.push(display);
            longer.extend(prefix.into_iter().skip(1));
            prefix = longer;
            let path = self.with_walk(|walk| walk.resolve(None, &interp, WalkFlags::empty()))?;
            candidate = self.open_exec(path)?;
            display = interp;
        }
        Err(Errno::ELOOP)
    }

    fn plan(&self, exe: Candidate, name: &[u8], argv_prefix: Vec<Vec<u8>>) -> SysResult<PendingExec> {
        let image = self.parse(&exe)?;
        let interp = image.interp.as_deref().map(|path| self.interpreter(path)).transpose()?;
        let credentials = self.exec_credentials(&exe);
        let comm = comm_from(name.rsplit(|&b| b == b'/').next().unwrap_or(name));
        let (interp_file, interp_object) = interp.unzip();
        let plan = LoadPlan {
            exe: image.object,
            interp: interp_object,
            phdr: image.phdr,
            phnum: image.phnum,
            uid: credentials.ruid,
            euid: credentials.euid,
            gid: credentials.rgid,
            egid: credentials.egid,
            secure: is_secure(&self.process.credentials(), &credentials),
            exec_stack: image.exec_stack,
            comm: comm.to_vec().into_iter().take_while(|&b| b != 0).collect(),
            execfn: name.to_vec(),
            argv_prefix: argv_prefix.clone(),
        };
        let plan = plan.encode().map_err(|error| match error {
            PlanError::TooLong => Errno::E2BIG,
            _ => Errno::ENOEXEC,
        })?;
        Ok(PendingExec {
            tid: self.tid,
            plan: plan.into(),
            files: LoadFiles { exe: exe.file, interp: interp_file },
            exe: exe.path,
            argv_prefix,
            credentials,
            comm,
        })
    }

    fn parse(&self, candidate: &Candidate) -> SysResult<ElfImage> {
        let file = &candidate.file;
        elf::parse(&candidate.head, &|offset, buf| file.ops.read(file.io(self, offset), buf))
    }

    fn interpreter(&self, path: &[u8]) -> SysResult<(Arc<File>, guest_loader::Object)> {
        let path = self.with_walk(|walk| walk.resolve(None, path, WalkFlags::empty()))?;
        let candidate = self.open_exec(path)?;
        let image = self.parse(&candidate).map_err(|error| match error {
            Errno::ENOEXEC => Errno::ELIBBAD,
            other => other,
        })?;
        Ok((candidate.file, image.object))
    }

    /// Credentials after exec: set-user-ID, set-group-ID and the capability rules of capabilities(7).
    fn exec_credentials(&self, exe: &Candidate) -> Credentials {
        const SECBIT_NOROOT: u32 = 1;
        const SECBIT_KEEP_CAPS: u32 = 1 << 4;
        let old = self.process.credentials();
        let mut new = (*old).clone();
        let honours_suid = !new.no_new_privs && !exe.path.mount.flags().contains(MountFlags::NOSUID);
        if honours_suid && exe.meta.mode & S_ISUID != 0 {
            new.euid = exe.meta.uid;
        }
        if honours_suid && exe.meta.mode & (S_ISGID | 0o010) == (S_ISGID | 0o010) {
            new.egid = exe.meta.gid;
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        let root_rules = new.securebits & SECBIT_NOROOT == 0;
        let changed_ids = new.euid != old.euid || new.egid != old.egid;
        if changed_ids {
            new.ambient = kernel_base::cred::CapSet::EMPTY;
        }
        let inheritable_or_bounding = kernel_base::cred::CapSet(new.inheritable.0 | new.bounding.0);
        if root_rules && (new.euid == 0 || new.ruid == 0) {
            new.permitted = inheritable_or_bounding;
            new.effective = if new.euid == 0 { new.permitted } else { new.ambient };
        } else {
            new.permitted = new.ambient;
            new.effective = new.ambient;
        }
        new.securebits &= !SECBIT_KEEP_CAPS;
        new
    }

    /// Whether this call is the substituted execveat of an exec that this thread has prepared.
    #[must_use]
    pub fn has_pending_exec(&self) -> bool {
        matches!(&*self.process.exec.lock(), ExecState::Pending(exec) if exec.tid == self.tid)
    }

    /// The loader's call for its plan: the image is new from here on. EPERM when a guest asks by hand.
    pub fn begin_image(&self, init_child: bool) -> SysResult<Arc<[u8]>> {
        let host_auxv = self.host_auxv()?;
        let process = &self.process;
        let mut state = process.exec.lock();
        let exec = match &*state {
            ExecState::Pending(exec) if !init_child && self.is_leader() => Arc::clone(exec),
            ExecState::Init(exec) if init_child && process.pid != 1 => Arc::clone(exec),
            ExecState::Init(_) if process.pid == 1 => {
                let plan = encode_init(b"palisade-init");
                drop(state);
                self.set_comm(b"palisade-init");
                process.image.write().clone_from(&Arc::new(Image { host_auxv, ..Image::default() }));
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

    fn host_auxv(&self) -> SysResult<Vec<u8>> {
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
        for file in process.files.remove_cloexec() {
            file.ops.flush(self);
        }
        process.mapped_fds.lock().clear();
        process.set_credentials(exec.credentials.clone());
        process.did_exec.store(true, Ordering::Relaxed);
        process.dumpable.store(1, Ordering::Relaxed);
        self.set_comm(&exec.comm);
        let image =
            Image { exe: Some(exec.exe.clone()), argv_prefix: exec.argv_prefix.clone(), host_auxv };
        *process.image.write() = Arc::new(image);
    }

    /// The loader says that the image is complete.
    pub fn finish_image(&self) -> SysResult<()> {
        let mut state = self.process.exec.lock();
        match &*state {
            ExecState::Loading(_) => {
                *state = ExecState::None;
                Ok(())
            }
            _ => Err(Errno::EPERM),
        }
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
    /// Whether the loader is at work in this process.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        !matches!(*self.exec.lock(), ExecState::None | ExecState::Pending(_))
    }
}

fn is_secure(old: &Credentials, new: &Credentials) -> bool {
    new.euid != new.ruid || new.egid != new.rgid || (old.euid, old.egid) != (new.euid, new.egid)
}

/// `#! interpreter [argument]`; fs/binfmt_script.c:load_script, Linux v6.12.
fn shebang(head: &[u8]) -> SysResult<(Vec<u8>, Option<Vec<u8>>)> {
    let head = &head[..head.len().min(SHEBANG_MAX)];
    let line = head.strip_prefix(b"#!").ok_or(Errno::ENOEXEC)?;
    let end = line.iter().position(|&b| b == b'\n');
    // Without an end of line the interpreter's name must at least end within the buffer.
    let cut = end.is_none() && head.len() == SHEBANG_MAX;
    let line = &line[..end.unwrap_or(line.len())];
    let line = line.split(|&b| b == 0).next().unwrap_or(line);
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let line = line.trim_ascii_start();
    let interp_end = line.iter().position(is_blank);
    if cut && interp_end.is_none() {
        return Err(Errno::ENOEXEC);
    }
    let (interp, rest) = line.split_at(interp_end.unwrap_or(line.len()));
    if interp.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let argument = rest.trim_ascii();
    Ok((interp.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::shebang;
    use abi_linux::Errno;

    #[test]
    fn shebang_takes_one_argument_with_blanks_inside() {
        let parsed = shebang(b"#! /bin/awk  -f  -v \nrest");
        assert_eq!(parsed, Ok((b"/bin/awk".to_vec(), Some(b"-f  -v".to_vec()))));
        assert_eq!(shebang(b"#!/bin/sh\n"), Ok((b"/bin/sh".to_vec(), None)));
        assert_eq!(shebang(b"#!/bin/sh"), Ok((b"/bin/sh".to_vec(), None)));
    }

    #[test]
    fn text_and_empty_shebang_are_no_programs() {
        assert_eq!(shebang(b"echo hi\n"), Err(Errno::ENOEXEC));
        assert_eq!(shebang(b"#!  \n"), Err(Errno::ENOEXEC));
        assert_eq!(shebang(&[b"#!".as_slice(), &[b'a'; 300]].concat()), Err(Errno::ENOEXEC));
    }
}
