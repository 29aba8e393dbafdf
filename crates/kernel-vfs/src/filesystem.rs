//! Types of filesystems that a guest can mount, and the options that it gives them (mount(2), fsconfig(2);
//! fs/fs_context.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user_ns::UserNamespace;

use crate::inode::SuperBlock;
use crate::mount::SuperFlags;
use crate::walk::WalkContext;

/// Most options of one mount.
pub const MAX_OPTIONS: usize = 256;
/// Longest key of an option (fsconfig(2)).
pub const MAX_KEY: usize = 256;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl MountOption {
    /// The value as text; EINVAL without one, or when it is no text.
    pub fn text(&self) -> SysResult<&str> {
        self.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).ok_or(Errno::EINVAL)
    }

    /// The value as a number in this base; EINVAL.
    pub fn number(&self, base: u32) -> SysResult<u32> {
        u32::from_str_radix(self.text()?, base).map_err(|_| Errno::EINVAL)
    }
}

/// What a filesystem is to be made of.
pub struct Request<'a> {
    pub walk: &'a WalkContext<'a>,
    pub source: &'a [u8],
    pub options: &'a [MountOption],
}

/// A type of filesystem.
pub trait FileSystemType: Send + Sync {
    /// Its name, as mount(2) takes it.
    fn name(&self) -> &'static str;
    /// Whether an administrator of a user namespace below the container's may mount it (FS_USERNS_MOUNT).
    fn is_for_all(&self) -> bool {
        false
    }
    /// The user namespace that has to administer it.
    fn user_ns(&self, who: &dyn Caller) -> Arc<UserNamespace> {
        Arc::clone(&who.credentials().user_ns)
    }
    /// EINVAL for an option that it does not know.
    fn check_option(&self, option: &MountOption) -> SysResult<()>;
    /// Makes an instance.
    fn create(&self, request: &Request<'_>) -> SysResult<Arc<dyn SuperBlock>>;
}

/// All types of a container.
pub type FileSystemTypes = Vec<Arc<dyn FileSystemType>>;

/// The data of mount(2) as options: separated by commas, which a backslash keeps (generic_parse_monolithic,
/// ovl_next_opt).
pub fn parse_options(data: &[u8]) -> SysResult<Vec<MountOption>> {
    let data = data.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut options = Vec::new();
    let mut word = Vec::new();
    let mut is_kept = false;
    for &byte in data {
        match byte {
            b',' if !is_kept => push(&mut options, &mut word)?,
            _ => word.push(byte),
        }
        is_kept = byte == b'\\' && !is_kept;
    }
    push(&mut options, &mut word)?;
    Ok(options)
}

fn push(options: &mut Vec<MountOption>, word: &mut Vec<u8>) -> SysResult<()> {
    let word = std::mem::take(word);
    if word.is_empty() {
        return Ok(());
    }
    let (key, value) = match word.iter().position(|&byte| byte == b'=') {
        // "=value" has no key, and is skipped (vfs_parse_fs_string).
        Some(0) => return Ok(()),
        Some(at) => (word.get(..at), word.get(at + 1..).map(<[u8]>::to_vec)),
        None => (Some(&word[..]), None),
    };
    let key = key.unwrap_or_default().to_vec();
    if options.len() >= MAX_OPTIONS || key.len() > MAX_KEY {
        return Err(Errno::EINVAL);
    }
    options.push(MountOption { key, value });
    Ok(())
}

/// The generic flags that an option sets and clears (vfs_parse_sb_flag).
#[must_use]
pub fn super_flag(key: &[u8]) -> Option<(SuperFlags, SuperFlags)> {
    let none = SuperFlags::empty();
    Some(match key {
        b"dirsync" => (SuperFlags::DIRSYNC, none),
        b"lazytime" => (SuperFlags::LAZYTIME, none),
        b"mand" => (SuperFlags::MANDLOCK, none),
        b"ro" => (SuperFlags::RDONLY, none),
        b"sync" => (SuperFlags::SYNCHRONOUS, none),
        b"async" => (none, SuperFlags::SYNCHRONOUS),
        b"nolazytime" => (none, SuperFlags::LAZYTIME),
        b"nomand" => (none, SuperFlags::MANDLOCK),
        b"rw" => (none, SuperFlags::RDONLY),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{MAX_OPTIONS, MountOption, parse_options};
    use proptest::prelude::{any, prop, proptest};

    fn option(key: &str, value: Option<&str>) -> MountOption {
        MountOption { key: key.into(), value: value.map(Into::into) }
    }

    #[test]
    fn commas_separate_unless_escaped() {
        let parsed = parse_options(b"size=64k,,noswap,lowerdir=a\\,b:c,=x,mode=\0junk").unwrap();
        let wanted = [
            option("size", Some("64k")),
            option("noswap", None),
            option("lowerdir", Some("a\\,b:c")),
            option("mode", Some("")),
        ];
        assert_eq!(parsed, wanted);
    }

    proptest! {
        #[test]
        fn any_data_parses_within_bounds(data in prop::collection::vec(any::<u8>(), 0..4096)) {
            if let Ok(options) = parse_options(&data) {
                assert!(options.len() <= MAX_OPTIONS);
                assert!(options.iter().all(|option| !option.key.is_empty() && !option.key.contains(&b'=')));
            }
        }

        #[test]
        fn plain_options_come_back(words in prop::collection::vec("[a-z]{1,8}(=[a-z0-9:/]{0,8})?", 0..20)) {
            let text = words.join(",");
            let parsed = parse_options(text.as_bytes()).unwrap();
            let again: Vec<String> = parsed
                .iter()
                .map(|option| {
                    let key = String::from_utf8_lossy(&option.key);
                    match &option.value {
                        Some(value) => format!("{key}={}", String::from_utf8_lossy(value)),
                        None => key.into_owned(),
                    }
                })
                .collect();
            assert_eq!(again, words);
        }
    }
}
