//! What network a sandbox has.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::{BundleError, invalid};

/// Says the mode where no flag does: `none` or `host`.
const MODE: &str = "org.palisade.network";
/// `true`: guests with CAP_NET_RAW may have raw ICMP sockets.
const RAW: &str = "org.palisade.raw-sockets";

/// What stands behind a guest's INET sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Loopback inside the sandbox, in memory.
    #[default]
    None,
    /// Sockets of the host in the container's network namespace; where it has none of its own, in the host's.
    Host,
}

impl FromStr for NetworkMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(format!("{text:?} is no network; write none or host")),
        }
    }
}

/// A port of the host whose connections go to one inside (`--publish`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    pub listen: SocketAddr,
    /// TCP port inside.
    pub port: u16,
}

impl FromStr for Publish {
    type Err = String;

    /// `[ADDR:]PORT:PORT`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no [ADDR:]PORT:PORT");
        let (outer, inner) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = inner.parse().ok().filter(|&port| port != 0).ok_or_else(wrong)?;
        let listen = match outer.parse::<u16>() {
            Ok(outer) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, outer)),
            Err(_) => outer.parse().map_err(|_| wrong())?,
        };
        Ok(Self { listen, port })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.listen, self.port)
    }
}

/// A sandbox's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    pub mode: NetworkMode,
    /// Raw ICMP for who has CAP_NET_RAW.
    pub raw_sockets: bool,
    pub publish: Vec<Publish>,
}

impl NetworkSpec {
    /// A bundle's: its container has its own network namespace, and the network in it, unless an annotation says none.
    pub(crate) fn of_bundle(annotations: &BTreeMap<String, String>) -> Result<Self, BundleError> {
        let mode = match annotations.get(MODE) {
            Some(text) => {
                text.parse().map_err(|problem| invalid("annotations", format!("{MODE}: {problem}")))?
            }
            None => NetworkMode::Host,
        };
        let raw_sockets = annotations.get(RAW).is_some_and(|text| text == "true");
        Ok(Self { mode, raw_sockets, publish: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::{NetworkMode, NetworkSpec, Publish};

    #[test]
    fn ports_are_published_on_all_addresses_or_one() {
        let published = |text: &str| text.parse::<Publish>().map(|publish| publish.to_string());
        assert_eq!(published("8080:80"), Ok("0.0.0.0:8080:80".to_owned()));
        assert_eq!(published("127.0.0.1:8080:80"), Ok("127.0.0.1:8080:80".to_owned()));
        assert_eq!(published("[::1]:0:80"), Ok("[::1]:0:80".to_owned()));
        for wrong in ["", "80", ":80", "80:", "80:0", "x:80", "1.2.3.4:80", "70000:80", "::1:80:80"] {
            assert!(published(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bundle_has_its_namespaces_network() {
        let of = |mode: &str| {
            NetworkSpec::of_bundle(&[("org.palisade.network".to_owned(), mode.to_owned())].into())
        };
        assert_eq!(NetworkSpec::of_bundle(&[].into()).unwrap().mode, NetworkMode::Host);
        assert_eq!(of("none").unwrap().mode, NetworkMode::None);
        assert!(of("bridge").is_err());
    }
}
