//! The command line that runc has, and crun, youki, runsc and Palisade have after it.

use std::path::Path;
use std::process::Command;

use super::{Bundle, Runtime};

/// A runtime that is there.
pub(super) struct Oci<'a> {
    pub(super) program: &'a Path,
    pub(super) runtime: &'a Runtime,
}

impl Oci<'_> {
    fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.runtime.global).arg(verb);
        command
    }

    pub(super) fn run(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.verb("run");
        command.args(&self.runtime.creation).arg("--bundle").arg(bundle.path()).arg(id);
        command
    }

    pub(super) fn create(&self, bundle: &Bundle, id: &str) -> Command {
        let mut command = self.verb("create");
        command.args(&self.runtime.creation).arg("--bundle").arg(bundle.path());
        command.arg("--pid-file").arg(bundle.pid_file()).arg(id);
        command
    }

    pub(super) fn exec(&self, id: &str, argv: &[&str]) -> Command {
        let mut command = self.verb("exec");
        command.arg(id).args(argv);
        command
    }

    pub(super) fn with_id(&self, verb: &str, id: &str) -> Command {
        let mut command = self.verb(verb);
        command.arg(id);
        command
    }

    pub(super) fn delete_by_force(&self, id: &str) -> Command {
        let mut command = self.verb("delete");
        command.arg("--force").arg(id);
        command
    }
}
