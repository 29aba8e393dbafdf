//! execve(2): from a path to a load plan, and the change of image.
//!
//! 1. [`Task::prepare_exec`] finds the file, follows `#!`, reads the ELF headers, computes credentials, and
//!    keeps a [`PendingExec`]. Everything that Linux answers with an errno is answered here.
//! 2. The call is substituted by execveat of the loader; its own notification is recognised by
//!    [`Task::admit_loader_exec`] and continued. If the host refuses it (E2BIG, EFAULT) the caller sees that
//!    errno; what was kept is of no use without a new address space, and forgotten at the next exec.
//! 3. The loader asks for its plan: [`Task::begin_image`]. A guest could ask by hand, so the caller must be
//!    its process's leader and the address space a new one: the host's auxiliary vector differs from the one
//!    recorded for the old image (stack and vDSO are placed at random).
//! 4. [`Task::finish_image`]: the image runs.

mod credentials;
mod hold;
mod image;
mod shebang;

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use guest_loader::{LoadPlan, PlanError};
use kernel_base::cred::Credentials;
use kernel_vfs::busy::Execution;
use kernel_vfs::file::File;
use kernel_vfs::inode::{FileKind, Metadata};
use kernel_vfs::mount::MountFlags;
use kernel_vfs::notify::{self, Happened};
use kernel_vfs::path::Path;
use kernel_vfs::permission::Access;
use kernel_vfs::walk::WalkFlags;

pub(crate) use credentials::{Gifts, after_exec};
pub(crate) use image::{AUXV_MAX, ExecState};
pub use image::{FirstExec, Image, ImageLayout, LoadFiles, PendingExec};
use shebang::shebang;

use crate::elf::{self, ElfImage};
use crate::task::{Task, comm_from};

/// Bytes read from the start of a file: headers are nearly always within.
const HEAD_LEN: usize = 4096;
/// How many interpreters may stand behind each other (fs/exec.c exec_binprm).
const MAX_INTERPRETERS: usize = 5;

/// What to execute.
pub enum ExecTarget<'a> {
    /// A path from `at` (None: the working directory).
    Path { at: Option<&'a Path>, path: &'a [u8], flags: WalkFlags },
    /// As `Path`, by another name for AT_EXECFN and `#!` (execveat with a directory).
    PathNamed { at: Option<&'a Path>, path: &'a [u8], flags: WalkFlags, name: &'a [u8] },
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
        Execution::begin(&path)?;
        let ops = path.inode().open(OpenFlags::empty(), self)?;
        let file = File::new(path.clone(), Arc::clone(path.inode()), ops, OpenFlags::empty());
        let mut head = vec![0; HEAD_LEN];
        let len = file.ops.read(file.io(self, 0), &mut head)?;
        notify::at(&file.path, Happened::OPEN);
        file.accessed();
        head.truncate(len);
        let meta = path.inode().metadata()?;
        Ok(Candidate { path, file, meta, head })
    }

    /// Checks an executable and keeps everything for its start.
    pub fn prepare_exec(&self, target: &ExecTarget<'_>) -> SysResult<()> {
        let mut exec = self.check_exec(target)?;
        exec.execution = Some(Arc::new(Execution::begin(&exec.exe)?));
        self.set_exec_state(ExecState::Pending(Arc::new(exec)));
        Ok(())
    }

    /// As [`Task::prepare_exec`], for the container's first process, which executes the loader by itself.
    pub fn prepare_first_exec(&self, target: &ExecTarget<'_>, role: FirstExec) -> SysResult<()> {
        let exec = self.check_exec(target)?;
        self.set_exec_state(ExecState::First(Arc::new(exec), role));
        Ok(())
    }

    fn set_exec_state(&self, next: ExecState) {
        let old = std::mem::replace(&mut *self.process.exec.lock(), next);
        // Outside the lock: it may hold the last reference to a file.
        drop(old);
    }

    fn check_exec(&self, target: &ExecTarget<'_>) -> SysResult<PendingExec> {
        let (path, name) = match *target {
            ExecTarget::Path { at, path, flags } => {
                (self.with_walk(|walk| walk.resolve(at, path, flags))?, path)
            }
            ExecTarget::PathNamed { at, path, flags, name } => {
                (self.with_walk(|walk| walk.resolve(at, path, flags))?, name)
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
        let (credentials, secure) = self.exec_credentials(&exe)?;
        let comm = comm_from(name.rsplit(|&b| b == b'/').next().unwrap_or(name));
        let (interp_file, interp_object) = interp.unzip();
        let plan = LoadPlan {
            exe: image.object,
            interp: interp_object,
            phdr: image.phdr,
            phnum: image.phnum,
            uid: credentials.user_ns.show_uid(credentials.ruid),
            euid: credentials.user_ns.show_uid(credentials.euid),
            gid: credentials.user_ns.show_gid(credentials.rgid),
            egid: credentials.user_ns.show_gid(credentials.egid),
            secure,
            exec_stack: image.exec_stack,
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
            execution: None,
            exe: exe.path,
            argv_prefix,
            credentials,
            seccomp: self.seccomp(),
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

    /// Credentials after exec, and AT_SECURE.
    fn exec_credentials(&self, exe: &Candidate) -> SysResult<(Credentials, bool)> {
        let (creds, place) = (self.credentials(), &exe.path);
        // Neither a mount of another namespace nor a filesystem that somebody inside the own one made gives anything
        // (mnt_may_suid), nor does an owner who is nobody there (bprm_fill_uid).
        let honoured = !place.mount.flags().contains(MountFlags::NOSUID)
            && place.mount.is_in(&self.process.namespaces().mnt)
            && creds.user_ns.is_within(place.dentry.owner_ns())
            // Somebody else could change the root of what gains (LSM_UNSAFE_SHARE); less than Linux gives, which keeps
            // the ids of who may set them anyway.
            && !self.process.fs.is_shared();
        let mut gifts = if honoured { Gifts::of(&**place.inode(), &exe.meta)? } else { Gifts::default() };
        if !creds.user_ns.owns(exe.meta.uid, exe.meta.gid) {
            (gifts.uid, gifts.gid) = (None, None);
        }
        after_exec(&creds, &gifts)
    }
}

#[cfg(test)]
mod tests;
