//! The states of an exec, with a program that is a static ELF header in memory.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_vfs::anon::{AnonKind, anon_file};
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::inode::{FileKind, Inode, Metadata};
use platform_api::ProcFile;

use super::{ExecTarget, FirstExec, ImageLayout};
use crate::scene::{Scene, file, host};
use crate::task::Task;

struct Program {
    mode: u32,
    text: Vec<u8>,
}

struct Opened(Vec<u8>);

impl FileOps for Opened {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let rest = usize::try_from(io.offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Inode for Program {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(Metadata { mode: 0o100_000 | self.mode, ..Metadata::default() })
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(Arc::new(Opened(self.text.clone())))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn program(mode: u32, text: &[u8]) -> Arc<File> {
    let inode: Arc<dyn Inode> = Arc::new(Program { mode, text: text.to_vec() });
    anon_file(AnonKind::Memory, b"/memfd:program", inode, Arc::new(Opened(text.to_vec())), OpenFlags::empty())
}

/// ET_EXEC with one segment at 0x400000.
fn elf() -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [0x40_0000u64, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0u64, 0x40_0000, 0x40_0000, 120, 120, 4096] {
        out.extend(word.to_le_bytes());
    }
    out
}

fn prepare(task: &Task, file: &Arc<File>) -> SysResult<()> {
    task.prepare_exec(&ExecTarget::File { file, name: b"/dev/fd/3" })
}

fn new_address_space(scene: &Scene, pid: i32, tag: u8) {
    let mut auxv = vec![0; 16];
    auxv[0] = 33;
    auxv[12] = tag;
    scene.host.set_proc(host(pid), ProcFile::Auxv, &auxv);
}

#[test]
fn exec_goes_through_its_states_once() {
    let scene = Scene::new();
    scene.fork(1, 2);
    new_address_space(&scene, 2, 1);
    let task = scene.task(2);
    task.process.files.insert(file(), true, 10).unwrap();
    assert!(!task.admit_loader_exec(true));
    prepare(&task, &program(0o755, &elf())).unwrap();
    assert_eq!(task.begin_image(false).err(), Some(Errno::EPERM), "the host has not replaced the image");
    assert!(!task.admit_loader_exec(false));
    assert!(!scene.thread(3, 2).admit_loader_exec(true), "another thread prepared it");
    assert!(task.admit_loader_exec(true));
    assert!(!task.admit_loader_exec(true), "credentials count once");
    assert!(task.begin_image(false).is_ok());
    assert_eq!(task.process.files.get(Fd(0)).err(), Some(Errno::EBADF));
    assert_eq!(task.process.tasks().len(), 1);
    assert!(task.loading_file(0).is_some() && task.loading_file(1).is_none());
    assert_eq!(task.empty_string(), Ok((1 << 32) + 8));
    assert_eq!(task.finish_image(ImageLayout::default()), Ok(()));
    assert_eq!(task.finish_image(ImageLayout::default()), Err(Errno::EPERM));
    assert!(task.loading_file(0).is_none());
}

#[test]
fn refused_exec_gives_no_plan_in_the_old_address_space() {
    let scene = Scene::new();
    scene.fork(1, 2);
    new_address_space(&scene, 2, 1);
    let task = scene.task(2);
    let run = || {
        prepare(&task, &program(0o755, &elf())).unwrap();
        task.admit_loader_exec(true)
    };
    run();
    task.begin_image(false).unwrap();
    task.finish_image(ImageLayout::default()).unwrap();
    assert!(run());
    // The host answered E2BIG: same vDSO as before.
    assert_eq!(task.begin_image(false).err(), Some(Errno::EPERM));
    new_address_space(&scene, 2, 2);
    assert!(task.begin_image(false).is_ok());
}

#[test]
fn init_of_do_hands_the_program_to_its_child() {
    let scene = Scene::new();
    let init = scene.task(1);
    new_address_space(&scene, 1, 1);
    let target = program(0o755, &elf());
    let target = ExecTarget::File { file: &target, name: b"/bin/true" };
    init.prepare_first_exec(&target, FirstExec::Init).unwrap();
    assert!(init.admit_loader_exec(false));
    assert!(init.begin_image(false).is_ok());
    scene.fork(1, 2);
    // A copy of the init's address space, with the same vDSO.
    new_address_space(&scene, 2, 1);
    let child = scene.task(2);
    assert_eq!(child.begin_image(false).err(), Some(Errno::EPERM));
    assert!(child.begin_image(true).is_ok());
    assert_eq!(&child.comm()[..5], b"true\0");
    assert_eq!(child.begin_image(true).err(), Some(Errno::EPERM));
    child.finish_image(ImageLayout::default()).unwrap();
    scene.fork(2, 3);
    new_address_space(&scene, 3, 1);
    assert_eq!(scene.task(3).begin_image(true).err(), Some(Errno::EPERM));
}

#[test]
fn what_cannot_run_is_refused_before_anything_changes() {
    let scene = Scene::new();
    let task = scene.task(1);
    assert_eq!(prepare(&task, &program(0o644, &elf())), Err(Errno::EACCES));
    assert_eq!(prepare(&task, &program(0o755, b"echo hi\n")), Err(Errno::ENOEXEC));
    assert_eq!(prepare(&task, &program(0o755, b"")), Err(Errno::ENOEXEC));
    assert_eq!(prepare(&task, &program(0o755, &elf()[..100])), Err(Errno::ENOEXEC));
    assert!(!task.process.is_loading());
}
