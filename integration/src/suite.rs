//! Test suites of others. A script runs one and prints `ok NAME`, `skip NAME` or `FAIL NAME` for each of its tests;
//! what passes under the control has to pass under Palisade.
//!
//! The control has what a sandbox has: a container's usual capabilities, and no network but loopback. What it gave is
//! kept in `target/roots/results`, because suites take minutes and a root never changes.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths;
use crate::process::{self, Finished};
use crate::runner::{Runner, Sandbox};

/// What the programs of a container may do unless its owner says otherwise, as setpriv(1) takes it.
const CAPABILITIES: &str = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
     +net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap";

/// A suite that a script runs.
pub struct Suite<'a> {
    pub root: &'a Path,
    /// The interpreter, the script and its arguments.
    pub argv: Vec<String>,
    /// After which it hangs.
    pub limit: Duration,
}

/// What became of each test.
type Results = BTreeMap<String, String>;

impl Suite<'_> {
    /// Runs it both ways; panics with what passed under the control alone.
    pub fn assert_passes_as_under_control(&self) {
        let expected = self.control();
        let passed = |results: &Results| -> Vec<String> {
            results.iter().filter(|(_, result)| *result == "ok").map(|(name, _)| name.clone()).collect()
        };
        let wanted = passed(&expected);
        assert!(!wanted.is_empty(), "nothing passes under the control: {expected:?}");
        if !paths::palisade_is_wanted() {
            return;
        }
        let mut command = Runner::Palisade(Sandbox::on(self.root)).command(&self.argv);
        let done = process::run_within(&mut command, b"", self.limit);
        let got = results(&done.stdout);
        let lost: Vec<_> = wanted
            .iter()
            .map(|name| (name, got.get(name).map_or("missing", String::as_str)))
            .filter(|(_, result)| *result != "ok")
            .collect();
        println!("{} of {} tests pass as under the control", wanted.len() - lost.len(), wanted.len());
        assert!(lost.is_empty() && !done.hung, "{} tests are lost: {lost:#?}\n{done:?}", lost.len());
    }

    /// The control's results, from the cache if it has them.
    fn control(&self) -> Results {
        let cached = self.cached();
        if let Ok(text) = fs::read_to_string(&cached) {
            return results(&text);
        }
        let done = self.run_control();
        assert!(!done.hung, "the control hung: {done:?}");
        let results = results(&done.stdout);
        // A control that went wrong as a whole is not to be kept.
        if results.values().any(|result| result == "ok") {
            let new = cached.with_extension(std::process::id().to_string());
            fs::write(&new, &done.stdout).expect("target is writable");
            fs::rename(&new, &cached).expect("both are in one directory");
        }
        results
    }

    fn run_control(&self) -> Finished {
        let confined: Vec<String> = ["setpriv", CAPABILITIES]
            .into_iter()
            .map(str::to_owned)
            .chain(self.argv.iter().cloned())
            .collect();
        let mut command = Runner::Chroot(self.root.to_owned()).command(&confined);
        process::run_within(&mut command, b"", self.limit)
    }

    fn cached(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self.root.file_name(), &self.argv, CAPABILITIES, "with_loopback").hash(&mut hasher);
        let results = paths::roots_dir().join("results");
        fs::create_dir_all(&results).expect("target is writable");
        results.join(format!("{:016x}", hasher.finish()))
    }
}

/// The lines of a suite's script.
fn results(text: &str) -> Results {
    let line = |line: &str| {
        let (result, name) = line.split_once(' ')?;
        matches!(result, "ok" | "skip" | "FAIL").then(|| (name.to_owned(), result.to_owned()))
    };
    text.lines().filter_map(line).collect()
}
