//! Just enough understanding of Rust source text for counting and searching: comments, strings and test
//! modules are blanked, everything else keeps its place.

/// The text with comments and the contents of strings and character literals replaced by blanks.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => find(bytes, at, b"\n").unwrap_or(bytes.len()),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if raw_string_hashes(bytes, at).is_some() && !follows_word(bytes, at) => {
                raw_string_end(bytes, at)
            }
            b'\'' => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes[from..].windows(what.len()).position(|w| w == what).map(|p| from + p)
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut depth, mut at) = (0usize, from);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|&&b| b == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_string_end(bytes: &[u8], from: usize) -> usize {
    let hashes = raw_string_hashes(bytes, from).unwrap_or(0);
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    find(bytes, from + hashes + 2, &close).map_or(bytes.len(), |p| p + close.len())
}

/// A character literal ends within a few bytes; a lifetime does not.
fn char_end(bytes: &[u8], from: usize) -> usize {
    match bytes.get(from + 1) {
        Some(b'\\') => find(bytes, from + 3, b"'").map_or(from, |p| p + 1),
        Some(_) => {
            let close = bytes[from + 1..].iter().take(6).position(|&b| b == b'\'');
            let one_char = |p: &usize| {
                *p > 0
                    && std::str::from_utf8(&bytes[from + 1..from + 1 + p])
                        .is_ok_and(|s| s.chars().count() == 1)
            };
            close.filter(one_char).map_or(from, |p| from + p + 2)
        }
        None => from,
    }
}

/// Blanks every item under `#[cfg(test)]`. Takes the result of [`code_only`].
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|s| open < s) => {
                start + closing_brace(rest, open)
            }
            (_, Some(semicolon)) => start + semicolon + 1,
            _ => out.len(),
        };
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

fn closing_brace(text: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// How often a word (not a part of a longer one) occurs.
pub(crate) fn words(code: &str, word: &str) -> usize {
    positions(code, word).count()
}

/// Where a word occurs.
pub(crate) fn positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !part(at.checked_sub(1).and_then(|i| bytes.get(i))) && !part(bytes.get(at + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::{code_only, without_tests, words};

    #[test]
    fn comments_strings_and_characters_are_blank() {
        let text = "a(\"unsafe\"); // unsafe\n/* unsafe /* x */ unsafe */ r#\"unsafe\"# 'u' '\\'' &'a unsafe";
        assert_eq!(words(&code_only(text), "unsafe"), 1);
        assert_eq!(code_only(text).len(), text.len());
    }

    #[test]
    fn test_modules_are_blank() {
        let text = "fn a() { x.unwrap() }\n#[cfg(test)]\nmod t { fn b() { y.unwrap() } }\nfn c() {}";
        let code = without_tests(text);
        assert_eq!(words(&code, "unwrap"), 1);
        assert!(code.contains("fn c()"));
    }
}
