//! devices/system/cpu: which processors there are and how they belong together, from the host's cpuinfo
//! (Documentation/ABI/testing/sysfs-devices-system-cpu).

use kernel_task::Kernel;
use platform_api::HostFile;

use crate::proc::host;
use crate::pseudo::TreeBuilder;

/// Most processors that are listed (CONFIG_NR_CPUS of large distributions).
const MAX_PROCESSORS: usize = 8192;
/// Bits of a word in a processor mask.
const WORD: u32 = 32;

/// One processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Processor {
    number: u32,
    package: u32,
    core: u32,
}

/// The machine's processors.
pub(super) struct Processors(Vec<Processor>);

impl Processors {
    /// As the host's cpuinfo lists them; one when it cannot be read.
    pub(super) fn of_host(kernel: &Kernel) -> Self {
        let text = host::machine_file(kernel, HostFile::Cpuinfo).unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Self {
        let mut all: Vec<Processor> = Vec::new();
        for line in host::lines(text) {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let (key, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let Some(value) = host::number(value).and_then(|value| u32::try_from(value).ok()) else {
                continue;
            };
            let room = all.len() < MAX_PROCESSORS && value < MAX_PROCESSORS as u32;
            match (key.trim_ascii(), all.last_mut()) {
                (b"processor", _) if room => {
                    all.push(Processor { number: value, core: value, ..Processor::default() });
                }
                (b"physical id", Some(last)) => last.package = value,
                (b"core id", Some(last)) => last.core = value,
                _ => {}
            }
        }
        if all.is_empty() {
            all.push(Processor::default());
        }
        Self(all)
    }

    /// Numbers of those that `pick` picks.
    fn numbers(&self, pick: impl Fn(&Processor) -> bool) -> Vec<u32> {
        self.0.iter().filter(|processor| pick(processor)).map(|processor| processor.number).collect()
    }

    pub(super) fn all(&self) -> Vec<u32> {
        self.numbers(|_| true)
    }

    /// The width of masks: Linux prints as many bits as there can be processors.
    fn width(&self) -> u32 {
        self.0.iter().map(|processor| processor.number + 1).max().unwrap_or(1)
    }

    /// A mask as "ff,ffffffff".
    pub(super) fn mask(&self, numbers: &[u32]) -> String {
        let words = self.width().div_ceil(WORD);
        let word = |index: u32| {
            let inside = numbers.iter().filter(|&&number| number / WORD == index);
            inside.fold(0_u32, |bits, number| bits | 1 << (number % WORD))
        };
        let top_digits = (self.width() - (words - 1) * WORD).div_ceil(4) as usize;
        let mut text = format!("{:0top_digits$x}", word(words - 1));
        for index in (0..words - 1).rev() {
            text.push_str(&format!(",{:08x}", word(index)));
        }
        text
    }

    /// Adds the directory.
    pub(super) fn add(&self, tree: &mut TreeBuilder) {
        let base = "devices/system/cpu";
        let list = range_list(&self.all());
        for name in ["online", "possible", "present"] {
            tree.fixed(&format!("{base}/{name}"), format!("{list}\n"));
        }
        for name in ["offline", "isolated", "nohz_full"] {
            tree.fixed(&format!("{base}/{name}"), "\n");
        }
        tree.fixed(&format!("{base}/kernel_max"), format!("{}\n", MAX_PROCESSORS - 1));
        tree.fixed(&format!("{base}/smt/active"), "0\n");
        tree.fixed(&format!("{base}/smt/control"), "notsupported\n");
        for processor in &self.0 {
            self.add_processor(tree, &format!("{base}/cpu{}", processor.number), processor);
        }
    }

    fn add_processor(&self, tree: &mut TreeBuilder, base: &str, this: &Processor) {
        let topology = format!("{base}/topology");
        let package = self.numbers(|other| other.package == this.package);
        let core = self.numbers(|other| (other.package, other.core) == (this.package, this.core));
        let groups = [
            ("core_cpus", &core),
            ("thread_siblings", &core),
            ("package_cpus", &package),
            ("core_siblings", &package),
            ("die_cpus", &package),
        ];
        for (name, members) in groups {
            tree.fixed(&format!("{topology}/{name}"), format!("{}\n", self.mask(members)));
            tree.fixed(&format!("{topology}/{name}_list"), format!("{}\n", range_list(members)));
        }
        tree.fixed(&format!("{topology}/core_id"), format!("{}\n", this.core));
        tree.fixed(&format!("{topology}/physical_package_id"), format!("{}\n", this.package));
        tree.fixed(&format!("{topology}/die_id"), "0\n");
        tree.link(&format!("{base}/node0"), "../../node/node0");
    }
}

/// "0-3,8" of ascending numbers.
pub(super) fn range_list(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = |&(from, to): &(u32, u32)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{Processors, range_list};

    #[test]
    fn processors_are_grouped_by_core_and_package() {
        let one = |number: u32, package: u32, core: u32| {
            format!("processor\t: {number}\nphysical id\t: {package}\ncore id\t\t: {core}\nflags\t: fpu\n\n")
        };
        let text: String = (0..40).map(|number| one(number, number / 20, number % 10)).collect();
        let processors = Processors::parse(text.as_bytes());
        assert_eq!(range_list(&processors.all()), "0-39");
        assert_eq!(processors.mask(&[0, 1, 33]), "02,00000003");
        let core = processors.numbers(|other| other.package == 1 && other.core == 0);
        assert_eq!(range_list(&core), "20,30");
    }

    #[test]
    fn nonsense_is_one_processor() {
        let processors = Processors::parse(b"processor : 99999999999\n:\nphysical id: 3\n");
        assert_eq!(processors.all(), [0]);
        assert_eq!(processors.mask(&[0]), "1");
    }
}
