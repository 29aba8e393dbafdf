//! A sandbox that is looked at while its program waits.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use integration::process;

/// A line of a process's status.
pub(crate) fn status_line(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} of {pid}")).trim().to_owned()
}

/// A sandbox whose program has said a word, and waits for its input's end.
pub(crate) struct Waiting {
    pub(crate) child: Child,
    pub(crate) said: Vec<String>,
}

impl Waiting {
    pub(crate) fn start(command: &mut Command, until: &str) -> Self {
        process::default_signals();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.starts_with(until)) {
            let line = lines.next().unwrap_or_else(|| panic!("it ended after {said:?}"));
            said.push(line.expect("text"));
        }
        Self { child, said }
    }

    /// The host's ids of its guests: processes with a filter of ours below it.
    pub(crate) fn guests(&self) -> Vec<i32> {
        let all = process::tree(self.child.id()).into_iter();
        let own = self.child.id().cast_signed();
        let is_guest = |pid: &i32| {
            let root = fs::read_link(format!("/proc/{pid}/ns/user")).ok();
            *pid != own && root != fs::read_link("/proc/self/ns/user").ok()
        };
        all.filter(is_guest).collect()
    }

    pub(crate) fn end(mut self) -> i32 {
        drop(self.child.stdin.take());
        process::shell_status(self.child.wait().expect("it is ours"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        process::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}
