//! /sys and cgroup2 over a scripted host.

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use kernel_base::cred::{CapSet, Credentials};
use kernel_task::Kernel;
use kernel_task::kernel::Uts;
use kernel_vfs::inode::SuperBlock;
use platform_api::fake::FakePlatform;
use platform_api::{HostFile, Platform};

use super::SysFs;
use super::cgroup::CgroupFs;
use crate::fs_test::Rig;
use crate::io_test::FakeCaller;

fn kernel() -> (Arc<FakePlatform>, Arc<Kernel>) {
    let fake = FakePlatform::new(0);
    fake.set_host(HostFile::Cpuinfo, b"processor\t: 0\ncore id\t\t: 0\n\nprocessor\t: 1\ncore id\t\t: 1\n\n");
    fake.set_host(HostFile::Meminfo, b"MemTotal:   100 kB\nMemFree:    40 kB\nCommitLimit:  9 kB\n");
    let uts = Uts { hostname: Vec::new(), domainname: Vec::new() };
    let kernel = Kernel::new(Arc::clone(&fake) as Arc<dyn Platform>, uts);
    (fake, kernel)
}

fn rig(superblock: &Arc<dyn SuperBlock>) -> Rig {
    let mut rig = Rig::on(FakeCaller::new(), superblock);
    rig.creds = Credentials::new(0, 0, CapSet::CONTAINER_DEFAULT);
    rig
}

fn read(rig: &Rig, path: &str) -> String {
    let file = rig.open(path, OpenFlags::empty()).expect(path);
    let mut buf = [0; 4096];
    let len = file.ops.read(file.io(&rig.caller, 0), &mut buf).expect(path);
    String::from_utf8_lossy(&buf[..len]).into_owned()
}

#[test]
fn processors_and_memory_are_the_hosts() {
    let (_fake, kernel) = kernel();
    let rig = rig(&SysFs::new(&kernel));
    assert_eq!(read(&rig, "/devices/system/cpu/online"), "0-1\n");
    assert_eq!(read(&rig, "/devices/system/cpu/cpu1/topology/core_cpus"), "2\n");
    assert_eq!(read(&rig, "/devices/system/node/node0/cpu1/topology/package_cpus_list"), "0-1\n");
    let memory = "Node 0 MemTotal:            100 kB\nNode 0 MemFree:              40 kB\n\
                  Node 0 MemUsed:              60 kB\n";
    assert_eq!(read(&rig, "/devices/system/node/node0/meminfo"), memory);
    assert_eq!(read(&rig, "/class/net/lo/mtu"), "65536\n");
    assert!(rig.open("/class/net/lo/mtu", OpenFlags::WRONLY).is_err());
}

#[test]
fn limits_of_a_cgroup_are_shown() {
    let (_fake, kernel) = kernel();
    kernel.cgroup_files.write().insert("memory.max".to_owned(), (1 << 20).to_string());
    let rig = rig(&CgroupFs::new(&kernel));
    assert_eq!(read(&rig, "/memory.max"), "1048576\n");
    assert_eq!(read(&rig, "/cpu.max"), "max 100000\n");
    assert_eq!(read(&rig, "/cgroup.procs"), "");
}
