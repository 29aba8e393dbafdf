//! Byte strings in JSON: as text where they are UTF-8, which nearly all are, else as lists of numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Utf8(std::borrow::Cow<'a, str>),
    Bytes(Vec<u8>),
}

fn shown(bytes: &[u8]) -> Text<'_> {
    std::str::from_utf8(bytes).map_or_else(|_| Text::Bytes(bytes.to_vec()), |text| Text::Utf8(text.into()))
}

fn bytes(text: Text<'_>) -> Vec<u8> {
    match text {
        Text::Utf8(text) => text.into_owned().into_bytes(),
        Text::Bytes(bytes) => bytes,
    }
}

/// For fields of type `Vec<u8>`.
pub(crate) mod one {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Text, bytes, shown};

    pub(crate) fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        shown(value).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Text::deserialize(from).map(bytes)
    }
}

/// For fields of type `Vec<Vec<u8>>`.
pub(crate) mod many {
    use super::{Deserialize, Deserializer, Serializer, Text, bytes, shown};

    pub(crate) fn serialize<S: Serializer>(values: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|value| shown(value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        Vec::<Text<'_>>::deserialize(from).map(|texts| texts.into_iter().map(bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::ProcessSpec;

    #[test]
    fn any_bytes_survive() {
        let spec = ProcessSpec {
            args: vec![b"plain".to_vec(), vec![0xff, 0, b'x'], Vec::new()],
            cwd: b"/\"\n".to_vec(),
            ..ProcessSpec::default()
        };
        let text = serde_json::to_string(&spec).unwrap();
        assert!(text.contains("\"plain\""), "{text}");
        assert_eq!(serde_json::from_str::<ProcessSpec>(&text).unwrap(), spec);
    }
}
