//! Maps of ids, as /proc/pid/uid_map holds them.

use abi_linux::{Errno, SysResult};

/// Most lines of a map (UID_GID_MAP_MAX_EXTENTS).
const MAX_EXTENTS: usize = 340;
/// A map is written by one call, of less than a page.
const MAX_TEXT: usize = 4096;

/// One line: `count` ids from `first` on are those from `lower` on outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub first: u32,
    pub lower: u32,
    pub count: u32,
}

/// A map; of one in use the outside ids are the container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<Extent>);

/// What `id` is when ids from `from` on are those from `to` on.
fn shifted(id: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let offset = id.checked_sub(from).filter(|&offset| offset < count)?;
    to.checked_add(offset)
}

fn overlap(a: u32, a_count: u32, b: u32, b_count: u32) -> bool {
    let (a_end, b_end) = (u64::from(a) + u64::from(a_count), u64::from(b) + u64::from(b_count));
    u64::from(a) < b_end && u64::from(b) < a_end
}

impl IdMap {
    /// Each id is itself.
    #[must_use]
    pub fn identity() -> Self {
        Self(vec![Extent { first: 0, lower: 0, count: u32::MAX }])
    }

    /// Of these lines; EINVAL if there are none, too many, or some overlap.
    pub fn new(extents: Vec<Extent>) -> SysResult<Self> {
        let clash = |(at, one): (usize, &Extent)| {
            extents.iter().skip(at + 1).any(|other| {
                overlap(one.first, one.count, other.first, other.count)
                    || overlap(one.lower, one.count, other.lower, other.count)
            })
        };
        if extents.is_empty() || extents.len() > MAX_EXTENTS || extents.iter().enumerate().any(clash) {
            return Err(Errno::EINVAL);
        }
        Ok(Self(extents))
    }

    /// From the text of one write (map_write). Outside ids are still those of the parent.
    pub fn parse(text: &[u8]) -> SysResult<Self> {
        if text.len() >= MAX_TEXT {
            return Err(Errno::EINVAL);
        }
        // A string of C: what follows a NUL is not seen.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let lines = text.split(|&byte| byte == b'\n').take(MAX_EXTENTS + 1).map(parse_line);
        Self::new(lines.collect::<Option<_>>().ok_or(Errno::EINVAL)?)
    }

    /// Its lines.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.0
    }

    /// Translates its outside ids by the parent's map; EPERM for those that the parent does not have.
    pub(super) fn lower_into(&mut self, parent: &Self) -> SysResult<()> {
        for extent in &mut self.0 {
            let inside = |of: &&Extent| {
                let start = extent.lower.checked_sub(of.first);
                start.is_some_and(|start| u64::from(start) + u64::from(extent.count) <= u64::from(of.count))
            };
            let holder = parent.0.iter().find(inside).ok_or(Errno::EPERM)?;
            extent.lower =
                shifted(extent.lower, holder.first, holder.lower, holder.count).ok_or(Errno::EPERM)?;
        }
        Ok(())
    }

    /// Outside for inside.
    #[must_use]
    pub fn down(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|extent| shifted(id, extent.first, extent.lower, extent.count))
    }

    /// Inside for outside.
    #[must_use]
    pub fn up(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|extent| shifted(id, extent.lower, extent.first, extent.count))
    }
}

/// Three decimal numbers with white space between, as simple_strtoul reads them: each is cut to 32 bits.
fn parse_line(line: &[u8]) -> Option<Extent> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0);
    let mut words = line.split(|byte| is_space(byte)).filter(|word| !word.is_empty());
    let mut number = || {
        let word = words.next()?;
        let digit = |value: u64, &byte: &u8| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            Some(value.wrapping_mul(10).wrapping_add(digit))
        };
        word.iter().try_fold(0, digit).map(|value| value as u32)
    };
    let extent = Extent { first: number()?, lower: number()?, count: number()? };
    let wraps =
        |start: u32| start == u32::MAX || start.checked_add(extent.count).is_none_or(|end| end <= start);
    (words.next().is_none() && !wraps(extent.first) && !wraps(extent.lower)).then_some(extent)
}
