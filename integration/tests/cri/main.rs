//! What a kubelet does, over containerd's CRI: with Palisade as a runtime handler, and with runc as the control.

mod bridge;
mod client;
mod messages;
mod pods;
mod stream;

use std::fs;

use integration::containerd::Containerd;
use integration::paths;

use crate::client::Cri;
use crate::messages::{
    ContainerState, ContainerStatsResponse, Id, Items, LinuxContainerResources, NamespaceOption, Nothing,
    PodSandboxStatsResponse, UpdateContainerResourcesRequest,
};
use crate::pods::{LOGS, Pod};

/// Runs a test with the control, and with ours where that is wanted.
fn each(test: impl Fn(&mut Containerd, &Cri, &str)) {
    let mut containerd = Containerd::start_cri();
    let cri = pods::connect(&containerd);
    test(&mut containerd, &cri, "runc");
    containerd.assert_clean();
    if paths::palisade_is_wanted() {
        test(&mut containerd, &cri, "palisade");
        containerd.assert_clean();
    }
}

#[test]
fn pod_lives_as_a_kubelet_wants_it() {
    each(|containerd, cri, handler| {
        let pod = pods::run(containerd, cri, handler, pods::OWN_PROCESSES);
        let status = cri.pod_status(&pod.id);
        let address = status.network.expect("an address").ip;
        assert!(status.state == 0 && address.starts_with("10."), "{address}");
        let one = pod.start(cri, "one", "echo out; echo err >&2; trap 'exit 5' TERM; sleep 1000 & wait");
        let two = pod.start(cri, "two", "exec sleep 1000");
        for id in [&one, &two] {
            assert_eq!(cri.sh(id, "hostname; echo bad >&2; exit 7"), ("podhost\nbad\n".to_owned(), 7));
        }
        streams(cri, &one);
        logs(containerd);
        stats(containerd, cri, &pod, &one);
        containerd.restart();
        pods::wait_ready(containerd, cri);
        for id in [&one, &two] {
            assert_eq!(cri.sh(id, "echo still here"), ("still here\n".to_owned(), 0));
        }
        limits(cri, &two);
        cri.stop(&one, 30);
        let status = cri.status(&one);
        assert_eq!((status.state, status.exit_code), (ContainerState::Exited as i32, 5), "{status:?}");
        cri.tell("RemoveContainer", &one);
        pod.remove(cri);
        let pods: Items = cri.must("ListPodSandbox", Nothing {});
        assert_eq!(pods, Items::default());
    });
}

/// Objects of one container that another one of the pod finds: message queues, and who listens on the loopback.
fn shares_objects(containerd: &Containerd, cri: &Cri, one: &str, two: &str) {
    assert_eq!(cri.sh(one, "touch /dev/mqueue/of-one"), (String::new(), 0));
    assert_eq!(cri.sh(two, "ls /dev/mqueue"), ("of-one\n".to_owned(), 0));
    // From files: each side has something to say before it can hear the other's end.
    let listen = "echo hello >/tmp/hello; nc -l -p 7000 </tmp/hello >/tmp/heard 2>&1 & echo";
    assert_eq!(cri.sh(one, listen).1, 0);
    let ask = || cri.sh(two, "echo from two >/tmp/said; nc 127.0.0.1 7000 </tmp/said");
    containerd.eventually("two hears one", || ask() == ("hello\n".to_owned(), 0));
    containerd.eventually("one hears two", || cri.sh(one, "cat /tmp/heard") == ("from two\n".to_owned(), 0));
}

#[test]
fn containers_share_objects_and_not_processes() {
    each(|containerd, cri, handler| {
        let pod = pods::run(containerd, cri, handler, pods::OWN_PROCESSES);
        let one = pod.start(cri, "one", "exec sleep 1111");
        let two = pod.start(cri, "two", "exec sleep 2222");
        shares_objects(containerd, cri, &one, &two);
        let (list, _) = cri.sh(&two, "ps -o pid,args");
        assert!(list.contains("1 sleep 2222") && !list.contains("sleep 1111"), "{list}");
        pod.remove(cri);
    });
}

#[test]
fn processes_are_shared_where_the_pod_wants_it() {
    each(|containerd, cri, handler| {
        let pod = pods::run(containerd, cri, handler, NamespaceOption::default());
        let one = pod.start(cri, "one", "cd /tmp; sleep 1111 & echo mine >file; exec sleep 1112");
        let two = pod.start(cri, "two", "exec sleep 2222");
        shares_objects(containerd, cri, &one, &two);
        let (list, _) = cri.sh(&two, "ps -o pid,args");
        for wanted in ["1 /bin/sleep 1000000", "sleep 1111", "sleep 1112", "sleep 2222"] {
            assert!(list.contains(wanted), "{wanted}: {list}");
        }
        // Their files are their own, but for those who look through a process.
        assert_eq!(cri.sh(&two, "test -e /tmp/file").1, 1);
        assert_eq!(cri.sh(&one, "cat /tmp/file"), ("mine\n".to_owned(), 0));
        // The end of a container's first process is that of all that are its own.
        assert_eq!(
            cri.sh(&two, "kill -9 $(ps -o pid,args | awk '/[s]leep 1112/ { print $1 }')"),
            (String::new(), 0)
        );
        containerd.eventually("one has ended", || cri.status(&one).state == ContainerState::Exited as i32);
        assert_eq!(cri.status(&one).exit_code, 137);
        containerd
            .eventually("nothing of one is left", || !cri.sh(&two, "ps -o args").0.contains("sleep 111"));
        assert_eq!(cri.sh(&two, "echo alive"), ("alive\n".to_owned(), 0));
        cri.tell("RemoveContainer", &one);
        let again = pod.start(cri, "again", "exec sleep 3333");
        assert!(cri.sh(&two, "ps -o args").0.contains("sleep 3333"));
        cri.stop(&again, 0);
        pod.remove(cri);
    });
}

fn streams(cri: &Cri, container: &str) {
    let url = cri.exec(container, "read x; echo got $x; echo err >&2; exit 9");
    let done = stream::converse(&url, "something\n");
    assert_eq!((done.output.as_str(), done.errors.as_str(), done.status), ("got something\n", "err\n", 9));
}

fn logs(containerd: &Containerd) {
    let file = containerd.scratch().join(LOGS).join("one.log");
    let read = || fs::read_to_string(&file).unwrap_or_default();
    containerd.eventually("both lines are in the log", || read().lines().count() == 2);
    for wanted in [" stdout F out", " stderr F err"] {
        assert!(read().lines().any(|line| line.ends_with(wanted)), "{wanted}: {}", read());
    }
    fs::remove_file(&file).expect("it is there");
}

fn stats(containerd: &Containerd, cri: &Cri, pod: &Pod, container: &str) {
    let one: ContainerStatsResponse = cri.must("ContainerStats", Id { id: container.to_owned() });
    let one = one.stats.expect("figures");
    let cpu = one.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |figure| figure.value);
    let memory = one.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |figure| figure.value);
    assert!(cpu > 0 && memory > 0 && memory < 256 << 20, "{cpu} ns, {memory} bytes");
    containerd.eventually("the pod's figures have both containers", || {
        let all: PodSandboxStatsResponse = cri.must("PodSandboxStats", Id { id: pod.id.clone() });
        let all = all.stats.and_then(|stats| stats.linux).expect("figures");
        let memory = all.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |figure| figure.value);
        memory > 0 && all.containers.len() == 2
    });
}

/// A lower limit holds for what runs: its shell is killed for want of memory.
fn limits(cri: &Cri, container: &str) {
    let linux = LinuxContainerResources { memory_limit_in_bytes: 32 << 20 };
    let request = UpdateContainerResourcesRequest { container_id: container.to_owned(), linux: Some(linux) };
    let Nothing {} = cri.must("UpdateContainerResources", request);
    let (_, status) = cri.sh(container, "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}");
    assert_eq!(status, 137);
    assert_eq!(cri.status(container).state, ContainerState::Running as i32);
    assert_eq!(cri.sh(container, "echo alive"), ("alive\n".to_owned(), 0));
}
