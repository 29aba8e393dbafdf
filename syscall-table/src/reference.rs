//! Facts of others, as data in `data/`: what Docker's default profile allows, what gVisor publishes of its surface,
//! CVEs and what their triggers need. Each file says where it is from.

/// Lines that are neither empty nor comments.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A call that Docker's default profile allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DockerCall {
    /// Linux's name.
    pub name: &'static str,
    /// For some arguments only.
    pub looks_at_arguments: bool,
}

/// The calls of Docker's default profile on x86_64, with Docker's default capabilities.
pub fn docker() -> impl Iterator<Item = DockerCall> {
    lines(include_str!("../data/docker-default.txt")).map(|line| {
        let (name, args) = line.split_once('\t').unwrap_or((line, ""));
        DockerCall { name, looks_at_arguments: args == "args" }
    })
}

/// What gVisor says of itself: a description and a count.
pub fn gvisor() -> impl Iterator<Item = (&'static str, u32)> {
    lines(include_str!("../data/gvisor.tsv"))
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(what, count)| Some((what, count.parse().ok()?)))
}

/// A CVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cve {
    /// Its id; `-` where none is public.
    pub id: &'static str,
    /// The month it became known.
    pub month: &'static str,
    /// gVisor's own verdict.
    pub is_exploitable_under_gvisor: bool,
    /// The subsystem, and the fault in a few words.
    pub what: &'static str,
    /// What a trigger needs, as the file's head explains.
    pub needs: &'static str,
}

/// All of them, in the order of their months.
pub fn cves() -> impl Iterator<Item = Cve> {
    lines(include_str!("../data/cves.tsv")).filter_map(|line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        Some(Cve {
            id: next()?,
            month: next()?,
            is_exploitable_under_gvisor: next()? == "yes",
            what: next()?,
            needs: next()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{cves, docker, gvisor};

    #[test]
    fn files_are_whole() {
        assert!(docker().all(|call| crate::by_name(call.name).is_some()));
        assert_eq!(docker().count(), 309);
        assert_eq!(docker().filter(|call| call.looks_at_arguments).count(), 3);
        assert_eq!(gvisor().map(|(_, count)| count).collect::<Vec<_>>(), [0, 53, 68]);
        assert_eq!(cves().count(), 110);
        assert_eq!(cves().filter(|cve| cve.is_exploitable_under_gvisor).count(), 4);
    }
}
