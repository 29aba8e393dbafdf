//! Programs of syzkaller: `r0 = openat(0xffffffffffffff9c, &(0x7f0000000040)='./file0\x00', 0x42, 0x1ff)`.
//!
//! Calls that the table has are taken with their numbers, results, texts and buffers. A structure becomes bytes of the sizes that
//! the layout of its argument says; what has no counterpart here is a buffer. A call that is not in the table is left out, and told.

use crate::exec::{layout_of, width};
use crate::program::parse::{ParseError, Place};
use crate::program::{Bind, Call, Data, Program, Struct, Value, Var};

/// A program and what was left out of it.
#[derive(Debug)]
pub struct Imported {
    /// The program.
    pub program: Program,
    /// Calls that this table lacks.
    pub left_out: Vec<String>,
}

/// Reads a program of syzkaller.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn syzkaller(text: &str) -> Result<Imported, ParseError> {
    let mut out = Imported { program: Program::default(), left_out: Vec::new() };
    let mut defined: Vec<Var> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut reader = Reader { line: at + 1, text: line, at: 0, binds: Vec::new() };
        match reader.call(&mut defined)? {
            Ok(call) => out.program.calls.push(call),
            Err(name) => out.left_out.push(name),
        }
    }
    out.program.renumber();
    Ok(out)
}

struct Reader<'a> {
    line: usize,
    text: &'a str,
    at: usize,
    /// Names of results inside of memory: where it is not known what they are, they stand at its begin.
    binds: Vec<Bind>,
}

/// What stands for an argument.
enum Item {
    Number(u64),
    Name(Var),
    Memory(Box<Item>),
    Text(Vec<u8>),
    List(Vec<Item>),
    Nothing,
}

type Read<T> = Result<T, ParseError>;

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn fail<T>(&self, what: &str) -> Read<T> {
        Err(ParseError { place: Place { line: self.line, column: self.at + 1 }, what: what.to_owned() })
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn expect(&mut self, sign: &str) -> Read<()> {
        if self.takes(sign) { Ok(()) } else { self.fail(&format!("expected `{sign}`")) }
    }

    fn word(&mut self) -> String {
        self.skip_blanks();
        let len =
            self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$').count();
        let word = self.rest().get(..len).unwrap_or("").to_owned();
        self.at += len;
        word
    }

    /// A call; or the name of one that is not in the table.
    fn call(&mut self, defined: &mut Vec<Var>) -> Read<Result<Call, String>> {
        let mut name = self.word();
        let mut result = None;
        if self.takes("=") {
            result = variable(&name);
            name = self.word();
        }
        if name.is_empty() {
            return self.fail("expected a call");
        }
        self.expect("(")?;
        let mut items = Vec::new();
        while !self.takes(")") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(self.item()?);
        }
        // Properties such as (async) say nothing here.
        let base = name.split('$').next().unwrap_or(&name);
        let Some(row) = syscall_table::by_name(base) else { return Ok(Err(name)) };
        let mut call = Call { thread: 0, after_ms: 0, result, row, args: Vec::new() };
        let mut items = items.into_iter();
        for arg in row.args {
            let value = value(items.next().unwrap_or(Item::Nothing), arg.ty, defined);
            call.args.push(value);
        }
        let mut binds = std::mem::take(&mut self.binds);
        binds.retain(|bind| !defined.contains(&bind.var));
        if let Some(Value::Data(data)) = call.args.iter_mut().find(|value| matches!(value, Value::Data(_)))
            && !binds.is_empty()
        {
            *data = Data::Out { len: 64, binds };
        }
        call.defines(|var| defined.push(var));
        Ok(Ok(call))
    }

    fn item(&mut self) -> Read<Item> {
        self.skip_blanks();
        if self.takes("&") {
            // The address, which is given anew, and what lies there.
            if self.takes("(") {
                while !self.takes(")") {
                    if self.rest().is_empty() {
                        return self.fail("expected `)`");
                    }
                    self.at += 1;
                }
            }
            let inner = if self.takes("=") { self.item()? } else { Item::Nothing };
            return Ok(Item::Memory(Box::new(inner)));
        }
        if self.takes("<") {
            // A name for what the kernel writes here: <r1=>0x0.
            let name = self.word();
            self.expect("=>")?;
            if let Some(var) = variable(&name) {
                self.binds.push(Bind { var, offset: 4 * self.binds.len() as u32 });
            }
            return self.item();
        }
        for (open, close) in [("{", "}"), ("[", "]")] {
            if self.takes(open) {
                let mut all = Vec::new();
                while !self.takes(close) {
                    if !all.is_empty() {
                        self.expect(",")?;
                    }
                    all.push(self.item()?);
                }
                return Ok(Item::List(all));
            }
        }
        if self.takes("@") {
            // The choice of a union: @name=value or @name.
            self.word();
            return if self.takes("=") { self.item() } else { Ok(Item::Nothing) };
        }
        match self.rest().as_bytes().first() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(*quote),
            _ => self.plain(),
        }
    }

    fn plain(&mut self) -> Read<Item> {
        let begin = self.at;
        let word = self.word();
        if let Some(var) = variable(&word) {
            return Ok(Item::Name(var));
        }
        match word.as_str() {
            "nil" | "ANY" | "AUTO" => return Ok(Item::Nothing),
            _ => {}
        }
        let digits = word.strip_prefix("0x").map_or((word.as_str(), 10), |digits| (digits, 16));
        match u64::from_str_radix(digits.0, digits.1) {
            Ok(number) => Ok(Item::Number(number)),
            Err(_) => {
                self.at = begin;
                self.fail("expected a value")
            }
        }
    }

    /// Text in apostrophes has escapes; in quotation marks it is hexadecimal.
    fn quoted(&mut self, quote: u8) -> Read<Item> {
        let inner_at = self.at + 1;
        let Some(len) =
            self.text.get(inner_at..).and_then(|rest| rest.bytes().position(|byte| byte == quote))
        else {
            return self.fail("this text has no end");
        };
        let inner = self.text.get(inner_at..inner_at + len).unwrap_or("");
        self.at = inner_at + len + 1;
        // A length may follow: "00"/8.
        let mut bytes =
            if quote == b'"' { from_hex(inner.trim_start_matches('$')) } else { from_escapes(inner) };
        if self.takes("/") {
            let len = self.word().parse::<usize>().unwrap_or(0).min(4096);
            bytes.resize(len, 0);
        }
        Ok(Item::Text(bytes))
    }
}

fn variable(word: &str) -> Option<Var> {
    word.strip_prefix('r')?.parse().ok()
}

fn from_hex(text: &str) -> Vec<u8> {
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap_or("0"), 16).unwrap_or(0);
    text.as_bytes().chunks(2).map(pair).collect()
}

fn from_escapes(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1), bytes.get(at + 2..at + 4)) {
            (b'\\', Some(b'x'), Some(two)) => {
                out.extend(from_hex(std::str::from_utf8(two).unwrap_or("00")));
                at += 4;
            }
            (b'\\', Some(&next), _) => {
                out.push(match next {
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => other,
                });
                at += 2;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn value(item: Item, ty: syscall_table::Ty, defined: &[Var]) -> Value {
    match item {
        Item::Number(number) => Value::Num(number),
        Item::Name(var) if defined.contains(&var) => Value::Var(var),
        Item::Name(_) => Value::Num(u64::MAX),
        Item::Memory(inner) => Value::Data(memory(*inner, ty, defined)),
        Item::Text(bytes) => Value::Data(Data::Bytes(bytes)),
        Item::List(_) | Item::Nothing => Value::Num(0),
    }
}

fn memory(item: Item, ty: syscall_table::Ty, defined: &[Var]) -> Data {
    let is_text = matches!(ty, syscall_table::Ty::Path | syscall_table::Ty::Str);
    match item {
        Item::Text(mut bytes) if is_text && bytes.last() == Some(&0) => {
            bytes.pop();
            Data::Text(bytes)
        }
        Item::Text(bytes) => Data::Bytes(bytes),
        Item::List(items) => match layout_of(ty) {
            Some(layout) => {
                let flat = flatten(items);
                let fields = flat.into_iter().take(layout.fields.len()).enumerate();
                Data::Struct(Struct {
                    layout,
                    fields: fields.map(|(at, item)| (at, scalar(item, defined))).collect(),
                })
            }
            None => Data::Out { len: 64, binds: Vec::new() },
        },
        Item::Number(number) => Data::Bytes(number.to_le_bytes().to_vec()),
        _ => {
            let len = layout_of(ty)
                .map_or(64, |layout| layout.size.max(layout.fields.iter().map(|f| width(&f.kind)).sum()));
            Data::Out { len: len as u32, binds: Vec::new() }
        }
    }
}

fn flatten(items: Vec<Item>) -> Vec<Item> {
    let one = |item| match item {
        Item::List(inner) => flatten(inner),
        other => vec![other],
    };
    items.into_iter().flat_map(one).collect()
}

fn scalar(item: Item, defined: &[Var]) -> Value {
    match item {
        Item::Number(number) => Value::Num(number),
        Item::Name(var) if defined.contains(&var) => Value::Var(var),
        Item::Memory(inner) => match *inner {
            Item::Text(bytes) => Value::Data(Data::Bytes(bytes)),
            _ => Value::Data(Data::Out { len: 64, binds: Vec::new() }),
        },
        Item::Text(bytes) => Value::Text(bytes),
        _ => Value::Num(0),
    }
}

#[cfg(test)]
mod tests {
    use super::syzkaller;
    use crate::program::parse::parse;

    const PROGRAM: &str = "\
# {Threaded:true}
r0 = openat(0xffffffffffffff9c, &(0x7f0000000040)='./file0\\x00', 0x42, 0x1ff)
pipe2(&(0x7f0000000080)={<r1=>0xffffffffffffffff, <r2=>0xffffffffffffffff}, 0x800)
write$eventfd(r2, &(0x7f00000000c0)=\"0102\"/8, 0x8)
ppoll(&(0x7f0000000000)=[{r1, 0x1}], 0x1, &(0x7f0000000100)={0x0, 0x989680}, 0x0, 0x0)
syz_mount_image$ext4(0x0, 0x0)
ioctl$FIONREAD(r0, 0x541b, &(0x7f0000000140))
";

    #[test]
    fn a_program_of_syzkaller_is_one_of_ours() {
        let imported = syzkaller(PROGRAM).unwrap();
        assert_eq!(imported.left_out, ["syz_mount_image$ext4"]);
        let text = imported.program.to_string();
        assert_eq!(parse(&text).unwrap(), imported.program, "{text}");
        assert!(text.contains("r0 = openat(AT_FDCWD, &\"./file0\", O_RDWR|O_CREAT, 0777)"), "{text}");
        assert!(text.contains("pipe2(&out[64 r1@0 r2@4], O_NONBLOCK)"), "{text}");
        assert!(text.contains("write(r2, "), "{text}");
    }

    #[test]
    fn faults_have_a_place() {
        let error = syzkaller("close(0x3)\nopen(&(0x7f00)='abc, 0x0)").unwrap_err().to_string();
        assert_eq!(error, "line 2, column 16: this text has no end");
        assert!(syzkaller("r0 = dup(zzz)").unwrap_err().to_string().starts_with("line 1, column 10"));
    }
}
