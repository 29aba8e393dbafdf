//! Programs from text.

use abi_linux::layouts::{self, Kind};
use abi_linux::names::{self, Names};
use syscall_table::Ty;

pub use super::lexer::{ParseError, Place};
use super::lexer::{Token, tokens};
use super::{Bind, CALLS, Call, Data, Program, Struct, THREADS, User, Value, Var, table_version};

/// The largest buffer of a program.
const LARGEST: u64 = 1 << 16;

/// Reads a program.
///
/// # Errors
/// The first thing that is wrong, with its line and column. A program that was written for another table is read as
/// well as this table allows; what has changed is named by the error.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    let mut program = Program::default();
    let (mut after_ms, mut defined) = (0, Vec::new());
    let mut written_for = None;
    for (at, line) in text.lines().enumerate() {
        written_for = written_for.or_else(|| version_of(line));
        let mut parser = Parser { tokens: tokens(at + 1, line)?, at: 0, defined: &mut defined };
        let done = parser.line(&mut program, &mut after_ms);
        done.map_err(|error| blame_version(error, written_for))?;
    }
    Ok(program)
}

fn version_of(line: &str) -> Option<u32> {
    let version = line.strip_prefix("# palisade program, table ")?;
    u32::from_str_radix(version.trim(), 16).ok()
}

fn blame_version(mut error: ParseError, written_for: Option<u32>) -> ParseError {
    if let Some(version) = written_for.filter(|&version| version != table_version()) {
        error.what += &format!(" (written for table {version:08x}, this is {:08x})", table_version());
    }
    error
}

struct Parser<'a> {
    tokens: Vec<(Token, Place)>,
    at: usize,
    /// The names given so far.
    defined: &'a mut Vec<Var>,
}

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn place(&self) -> Place {
        let last = self.tokens.last().map_or(Place { line: 1, column: 1 }, |(_, place)| *place);
        self.tokens.get(self.at).map_or(last, |(_, place)| *place)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn fail<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(ParseError { place: self.place(), what: what.into() })
    }

    fn fail_at<T>(place: Place, what: impl Into<String>) -> Parsed<T> {
        Err(ParseError { place, what: what.into() })
    }

    fn expect(&mut self, sign: char) -> Parsed<()> {
        if *self.peek() == Token::Sign(sign) {
            self.at += 1;
            return Ok(());
        }
        self.fail(format!("expected `{sign}`, found {}", self.peek()))
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = *self.peek() == Token::Sign(sign);
        self.at += usize::from(found);
        found
    }

    fn line(&mut self, program: &mut Program, after_ms: &mut u32) -> Parsed<()> {
        match self.peek() {
            Token::End => return Ok(()),
            Token::Sign('+') => {
                self.at += 1;
                let ms = self.number("milliseconds", 10_000)?;
                *after_ms = (*after_ms).saturating_add(ms as u32);
                return self.end();
            }
            Token::Word(word) if word == "user" => {
                self.at += 1;
                program.user = match self.number("a user", 1000)? {
                    0 => User::Root,
                    1000 => User::Plain,
                    _ => return self.fail("a user is 0 or 1000"),
                };
                return self.end();
            }
            _ => {}
        }
        if program.calls.len() == CALLS {
            return self.fail(format!("more than {CALLS} calls"));
        }
        let mut call = self.call()?;
        call.after_ms = std::mem::take(after_ms);
        program.calls.push(call);
        self.end()
    }

    fn end(&mut self) -> Parsed<()> {
        match self.peek() {
            Token::End => Ok(()),
            other => self.fail(format!("expected the end of the line, found {other}")),
        }
    }

    fn number(&mut self, what: &str, limit: u64) -> Parsed<u64> {
        let place = self.place();
        match self.next() {
            Token::Number(number) if number <= limit => Ok(number),
            Token::Number(_) => Self::fail_at(place, format!("{what}: at most {limit}")),
            other => Self::fail_at(place, format!("expected {what}, found {other}")),
        }
    }

    fn word(&mut self, what: &str) -> Parsed<(String, Place)> {
        let place = self.place();
        match self.next() {
            Token::Word(word) => Ok((word, place)),
            other => Self::fail_at(place, format!("expected {what}, found {other}")),
        }
    }

    fn call(&mut self) -> Parsed<Call> {
        let mut thread = 0;
        if let Token::Word(word) = self.peek()
            && let Some(number) = numbered(word, 't')
        {
            if number >= u32::from(THREADS) {
                return self.fail(format!("threads are t0 to t{}", THREADS - 1));
            }
            thread = number as u8;
            self.at += 1;
        }
        let mut result = None;
        if let Token::Word(word) = self.peek()
            && let Some(var) = numbered(word, 'r')
        {
            self.at += 1;
            self.expect('=')?;
            result = Some(var);
        }
        let (name, place) = self.word("a system call")?;
        let Some(row) = syscall_table::by_name(&name) else {
            return Self::fail_at(place, format!("there is no system call {name}"));
        };
        self.expect('(')?;
        let mut args = Vec::new();
        for (at, arg) in row.args.iter().enumerate() {
            if at > 0 {
                self.expect(',')?;
            }
            args.push(self.value(Shape::Argument(arg.ty))?);
        }
        if *self.peek() != Token::Sign(')') {
            return self.fail(format!(
                "{name} has {} arguments; expected `)`, found {}",
                args.len(),
                self.peek()
            ));
        }
        self.at += 1;
        let call = Call { thread, after_ms: 0, result, row, args };
        self.define(&call, place)?;
        Ok(call)
    }

    fn define(&mut self, call: &Call, place: Place) -> Parsed<()> {
        let mut twice = None;
        call.defines(|var| {
            if self.defined.contains(&var) {
                twice = Some(var);
            }
            self.defined.push(var);
        });
        match twice {
            Some(var) => Self::fail_at(place, format!("r{var} is given twice")),
            None => Ok(()),
        }
    }

    fn value(&mut self, shape: Shape) -> Parsed<Value> {
        let place = self.place();
        match self.peek().clone() {
            Token::Sign('&') => {
                self.at += 1;
                self.data().map(Value::Data)
            }
            Token::Text(text) => {
                self.at += 1;
                Ok(Value::Text(text))
            }
            Token::Word(word) => {
                if let Some(var) = numbered(&word, 'r') {
                    self.at += 1;
                    if !self.defined.contains(&var) {
                        return Self::fail_at(place, format!("no earlier call gives r{var}"));
                    }
                    return Ok(Value::Var(var));
                }
                if let Some(port) = word.strip_prefix("port").and_then(|digits| digits.parse::<u32>().ok()) {
                    self.at += 1;
                    let port = u8::try_from(port).ok().filter(|port| *port < 8);
                    return port.map_or_else(
                        || Self::fail_at(place, "ports are port0 to port7"),
                        |p| Ok(Value::Port(p)),
                    );
                }
                match word.as_str() {
                    "bad" => {
                        self.at += 1;
                        Ok(Value::Bad)
                    }
                    "handler" => {
                        self.at += 1;
                        Ok(Value::Handler)
                    }
                    "pages" => {
                        self.at += 1;
                        let at = if self.takes('+') { self.number("an offset", 1 << 20)? } else { 0 };
                        Ok(Value::Pages(at))
                    }
                    _ => self.flags(shape).map(Value::Num),
                }
            }
            _ => self.flags(shape).map(Value::Num),
        }
    }

    /// Numbers and names with `|` between them.
    fn flags(&mut self, shape: Shape) -> Parsed<u64> {
        let mut sum = 0;
        loop {
            let place = self.place();
            sum |= match self.next() {
                Token::Number(number) => number,
                Token::Sign('-') => self.number("a number", u64::MAX)?.wrapping_neg(),
                Token::Word(word) => shape.constant(&word).map_or_else(
                    || Self::fail_at(place, format!("`{word}` is not known here{}", shape.hint())),
                    Ok,
                )?,
                other => return Self::fail_at(place, format!("expected a value, found {other}")),
            };
            if !self.takes('|') {
                return Ok(sum);
            }
        }
    }

    fn data(&mut self) -> Parsed<Data> {
        let place = self.place();
        match self.next() {
            Token::Text(text) => Ok(Data::Text(text)),
            Token::Sign('[') => {
                let mut all = Vec::new();
                while !self.takes(']') {
                    if !all.is_empty() {
                        self.expect(',')?;
                    }
                    let (name, place) = self.word("a structure")?;
                    all.push(self.structure(&name, place)?);
                }
                Ok(Data::Array(all))
            }
            Token::Word(word) if word == "b" => match self.next() {
                Token::Text(bytes) => Ok(Data::Bytes(bytes)),
                other => Self::fail_at(place, format!("expected bytes, found {other}")),
            },
            Token::Word(word) if word == "out" => self.room(),
            Token::Word(word) => self.structure(&word, place).map(Data::Struct),
            other => Self::fail_at(place, format!("expected memory, found {other}")),
        }
    }

    fn room(&mut self) -> Parsed<Data> {
        self.expect('[')?;
        let len = self.number("a length", LARGEST)? as u32;
        let mut binds = Vec::new();
        while !self.takes(']') {
            let (word, place) = self.word("a name such as r1")?;
            let Some(var) = numbered(&word, 'r') else {
                return Self::fail_at(place, format!("expected a name such as r1, found `{word}`"));
            };
            self.expect('@')?;
            let place = self.place();
            let offset = self.number("an offset", LARGEST)? as u32;
            if offset + 4 > len {
                return Self::fail_at(place, format!("r{var} lies behind the end of {len} bytes"));
            }
            binds.push(Bind { var, offset });
        }
        Ok(Data::Out { len, binds })
    }

    fn structure(&mut self, name: &str, place: Place) -> Parsed<Struct> {
        let Some(layout) = layouts::find(name) else {
            return Self::fail_at(place, format!("there is no structure {name}"));
        };
        self.expect('{')?;
        let mut fields: Vec<(usize, Value)> = Vec::new();
        while !self.takes('}') {
            if !fields.is_empty() {
                self.expect(',')?;
            }
            let place = self.place();
            let field = match self.next() {
                Token::Word(word) => layout.fields.iter().position(|field| field.name == word),
                Token::Number(at) => usize::try_from(at).ok().filter(|at| *at < layout.fields.len()),
                _ => None,
            };
            let Some(at) = field else {
                return Self::fail_at(place, format!("{name} has no such field"));
            };
            if fields.last().is_some_and(|(last, _)| *last >= at) {
                return Self::fail_at(place, "fields stand in their order, each once");
            }
            self.expect(':')?;
            let kind = layout.fields.get(at).map_or(&Kind::Hex(8), |field| &field.kind);
            fields.push((at, self.value(Shape::Field(kind))?));
        }
        Ok(Struct { layout, fields })
    }
}

/// `t1`, `r12`.
fn numbered(word: &str, letter: char) -> Option<u32> {
    let digits = word.strip_prefix(letter)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What a value stands for.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Argument(Ty),
    Field(&'a Kind),
}

impl Shape<'_> {
    fn set(self) -> Option<&'static Names> {
        match self {
            Self::Argument(Ty::Flags(set) | Ty::Enum(set) | Ty::LongFlags(set)) => names::find(set),
            Self::Argument(Ty::Signal) => names::find("SIGNAL"),
            Self::Field(Kind::Flags(_, set) | Kind::Enum(_, set)) => names::find(set),
            _ => None,
        }
    }

    fn constant(self, word: &str) -> Option<u64> {
        match word {
            "AT_FDCWD" => Some(-100i64 as u64),
            "nil" => Some(0),
            _ => self.set()?.value_of(word),
        }
    }

    fn hint(self) -> String {
        self.set().map_or(String::new(), |names| format!("; names of {} are", names.name))
    }
}
