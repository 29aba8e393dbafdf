//! The words of a program's text, with their places.

use std::fmt;

/// Where something stands, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line of the file.
    pub line: usize,
    /// Byte of the line.
    pub column: usize,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Number(u64),
    Text(Vec<u8>),
    Sign(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(out, "`{word}`"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Text(_) => out.write_str("a text"),
            Self::Sign(sign) => write!(out, "`{sign}`"),
            Self::End => out.write_str("the end of the line"),
        }
    }
}

/// The words of one line.
pub(super) fn tokens(line: usize, text: &str) -> Result<Vec<(Token, Place)>, ParseError> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let place = Place { line, column: at + 1 };
        let start = at;
        match byte {
            b' ' | b'\t' | b'\r' => at += 1,
            b'0'..=b'9' => {
                at += run(&bytes[at..], |b| b.is_ascii_alphanumeric());
                out.push((number(&text[start..at], place)?, place));
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                at += run(&bytes[at..], |b| b.is_ascii_alphanumeric() || b == b'_');
                out.push((Token::Word(text[start..at].to_owned()), place));
            }
            b'"' => {
                let (inner, len) = quoted(&bytes[at..], place)?;
                at += len;
                out.push((Token::Text(inner), place));
            }
            b'#' => break,
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b'=' | b'&' | b'|' | b':' | b'@' | b'+'
            | b'-' => {
                at += 1;
                out.push((Token::Sign(char::from(byte)), place));
            }
            _ => {
                let sign = text[at..].chars().next().unwrap_or('?');
                return Err(ParseError { place, what: format!("`{sign}` means nothing here") });
            }
        }
    }
    out.push((Token::End, Place { line, column: bytes.len() + 1 }));
    Ok(out)
}

fn run(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&byte| is_part(byte)).count()
}

fn number(text: &str, place: Place) -> Result<Token, ParseError> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (&text[2..], 16),
        [b'0', b'o', ..] => (&text[2..], 8),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // A time such as `20ms`.
    let digits = if radix == 10 { digits.strip_suffix("ms").unwrap_or(digits) } else { digits };
    u64::from_str_radix(digits, radix)
        .map(Token::Number)
        .map_err(|_| ParseError { place, what: format!("`{text}` is no number of 64 bits") })
}

fn quoted(bytes: &[u8], place: Place) -> Result<(Vec<u8>, usize), ParseError> {
    let fail = |at: usize, what: &str| ParseError {
        place: Place { line: place.line, column: place.column + at },
        what: what.to_owned(),
    };
    let (mut out, mut at) = (Vec::new(), 1);
    loop {
        match bytes.get(at) {
            None => return Err(fail(0, "this text has no end")),
            Some(b'"') => return Ok((out, at + 1)),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'x') => {
                    let digits = bytes.get(at + 2..at + 4).and_then(|two| std::str::from_utf8(two).ok());
                    let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
                    out.push(byte.ok_or_else(|| fail(at, "`\\x` needs two hexadecimal digits"))?);
                    at += 4;
                }
                Some(&byte @ (b'"' | b'\\')) => {
                    out.push(byte);
                    at += 2;
                }
                Some(b'n') => {
                    out.push(b'\n');
                    at += 2;
                }
                Some(b'0') => {
                    out.push(0);
                    at += 2;
                }
                _ => return Err(fail(at, "only \\x, \\\", \\\\, \\n and \\0 are known")),
            },
            Some(&byte) => {
                out.push(byte);
                at += 1;
            }
        }
    }
}
