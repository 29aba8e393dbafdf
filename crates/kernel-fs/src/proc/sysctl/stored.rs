//! Values of /proc/sys that a privileged guest may write and that are kept without an effect, because what they
//! tune is the host's, or not there.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_task::Kernel;

use crate::pseudo::Content;

/// Longest text (CORENAME_MAX_SIZE without its NUL).
const TEXT_LEN: usize = 127;

/// What numbers take, where it is not any `int`: path below /proc/sys, least and largest value (kernel/sysctl.c,
/// mm/, fs/, Linux v6.18).
const RANGES: &[(&str, i128, i128)] = &[
    ("dev/tty/ldisc_autoload", 0, 1),
    ("dev/tty/legacy_tiocsti", 0, 0),
    ("fs/file-max", 0, i64::MAX as i128),
    ("fs/leases-enable", 0, 1),
    ("fs/protected_fifos", 0, 2),
    ("fs/protected_hardlinks", 0, 1),
    ("fs/protected_regular", 0, 2),
    ("fs/protected_symlinks", 0, 1),
    ("fs/suid_dumpable", 0, 2),
    ("kernel/core_uses_pid", 0, 1),
    ("kernel/pid_max", 301, 4_194_304),
    ("kernel/shmall", 0, u64::MAX as i128),
    ("kernel/threads-max", 1, 0x3fff_ffff),
    ("net/core/somaxconn", 0, i32::MAX as i128),
    ("vm/dirty_background_ratio", 0, 100),
    ("vm/dirty_ratio", 0, 100),
    ("vm/drop_caches", 1, 4),
    ("vm/max_map_count", 0, i32::MAX as i128),
    ("vm/oom_dump_tasks", 0, i32::MAX as i128),
    ("vm/overcommit_memory", 0, 2),
    ("vm/overcommit_ratio", 0, i32::MAX as i128),
    ("vm/panic_on_oom", 0, 2),
    ("vm/swappiness", 0, 200),
];

/// One of them. All mounts of /proc show the same value, which the kernel keeps.
pub(super) struct Stored {
    kernel: Arc<Kernel>,
    path: &'static str,
    initial: &'static str,
    /// Least and largest of its numbers; `None` for text.
    range: Option<(i128, i128)>,
}

impl Stored {
    pub(super) fn new(kernel: &Arc<Kernel>, path: &'static str, initial: &'static str) -> Self {
        let is_number = |word: &str| word.parse::<i128>().is_ok();
        let known = RANGES.iter().find(|(name, ..)| *name == path);
        let int = (i128::from(i32::MIN), i128::from(i32::MAX));
        let range = known.map_or(int, |&(_, least, most)| (least, most));
        let range = initial.split_whitespace().all(is_number).then_some(range);
        Self { kernel: Arc::clone(kernel), path, initial, range }
    }

    /// The numbers that are given take the place of the first ones (proc_dointvec); none is no error.
    fn numbers(present: &str, given: &str, (least, most): (i128, i128)) -> SysResult<String> {
        let mut given = given.split([' ', '\t', '\n', '\0']).filter(|word| !word.is_empty());
        let mut all = Vec::new();
        for old in present.split_whitespace() {
            let Some(word) = given.next() else {
                all.push(old.to_owned());
                continue;
            };
            let number: i128 = word.parse().map_err(|_| Errno::EINVAL)?;
            if !(least..=most).contains(&number) {
                return Err(Errno::EINVAL);
            }
            all.push(number.to_string());
        }
        if given.next().is_some() { Err(Errno::EINVAL) } else { Ok(all.join("\t")) }
    }
}

impl Content for Stored {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let written = self.kernel.sysctls.lock();
        Ok(format!("{}\n", written.get(self.path).map_or(self.initial, String::as_str)).into_bytes())
    }

    fn store(&self, _who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let mut written = self.kernel.sysctls.lock();
        let value = match self.range {
            Some(range) => {
                let present = written.get(self.path).map_or(self.initial, String::as_str);
                Self::numbers(present, text, range)?
            }
            None => {
                let line = text.split(['\n', '\0']).next().unwrap_or_default();
                line.char_indices()
                    .take_while(|(at, c)| at + c.len_utf8() <= TEXT_LEN)
                    .map(|(_, c)| c)
                    .collect()
            }
        };
        written.insert(self.path, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Stored, TEXT_LEN};
    use crate::io_test::FakeCaller;
    use crate::pseudo::Content;
    use abi_linux::Errno;
    use kernel_task::Kernel;
    use kernel_task::kernel::Uts;
    use platform_api::fake::FakePlatform;
    use proptest::prelude::{any, proptest};

    fn kernel() -> Arc<Kernel> {
        let uts = Uts { hostname: Vec::new(), domainname: Vec::new() };
        Kernel::new(FakePlatform::new(0), uts)
    }

    fn write(stored: &Stored, data: &str) -> Result<String, Errno> {
        let who = FakeCaller::new();
        stored.store(&who, data.as_bytes())?;
        stored.generate(&who).map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn numbers_take_the_place_of_the_first_ones() {
        let stored = Stored::new(&kernel(), "kernel/printk", "4\t4\t1\t7");
        assert_eq!(write(&stored, "8\n").as_deref(), Ok("8\t4\t1\t7\n"));
        assert_eq!(write(&stored, " 1\t2 3 4 ").as_deref(), Ok("1\t2\t3\t4\n"));
        assert_eq!(write(&stored, "1 2 3 4 5"), Err(Errno::EINVAL));
        assert_eq!(write(&stored, "").as_deref(), Ok("1\t2\t3\t4\n"));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let stored = Stored::new(&kernel(), "vm/overcommit_memory", "0");
        for wrong in ["3", "-1", "x", "99999999999999999999999999999999999999999999"] {
            assert_eq!(write(&stored, wrong), Err(Errno::EINVAL), "{wrong}");
        }
        assert_eq!(write(&stored, "2").as_deref(), Ok("2\n"));
    }

    #[test]
    fn text_ends_with_its_line() {
        let stored = Stored::new(&kernel(), "kernel/core_pattern", "core");
        assert_eq!(write(&stored, "core.%p\nmore").as_deref(), Ok("core.%p\n"));
        assert_eq!(write(&stored, &"é".repeat(100)).map(|text| text.len()), Ok(TEXT_LEN));
    }

    proptest! {
        #[test]
        fn values_stay_bounded_whatever_is_written(data in any::<Vec<u8>>(), text in any::<bool>()) {
            let stored = if text { Stored::new(&kernel(), "kernel/core_pattern", "core") } else { Stored::new(&kernel(), "kernel/printk", "1\t2") };
            let who = FakeCaller::new();
            let _ = stored.store(&who, &data);
            assert!(stored.generate(&who).is_ok_and(|shown| shown.len() <= TEXT_LEN + 1));
        }
    }
}
