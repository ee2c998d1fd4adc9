//! The syntax of `rabbitmq.conf` (EN-052): one `key = value` to a line.
//!
//! As RabbitMQ reads it: a `#` begins a comment, also behind a value, unless the value stands
//! between single quotes; three quotes hold a value of many lines; `\.` is a dot inside a part of
//! a key; `$(NAME)` is the environment variable of that name, quotes or not.

use std::path::Path;

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{is_not, tag, take_till, take_until, take_while1},
    character::complete::{char, line_ending, space0},
    combinator::{eof, map, not, opt, peek, verify},
    sequence::{delimited, preceded, terminated},
};

use crate::config::{Error, Origin};

/// One line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key, its parts with dots between them.
    pub(super) key: String,
    /// The value, without quotes and the blanks around it.
    pub(super) value: String,
    /// Where it stands.
    pub(super) origin: Origin,
}

/// Reads a file's text; the entries are in its order. `path` is for the messages.
pub(super) fn parse(
    path: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Entry>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_of = |rest: &str| 1 + text[..text.len() - rest.len()].matches('\n').count();
    let mut entries = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line = line_of(rest);
        let Ok((after, found)) = terminated(content, end_of_line).parse(rest) else {
            let message = "this is neither `key = value` nor a # comment";
            return Err(Error::syntax(path, line, message));
        };
        rest = after;
        if let Some((key, value)) = found {
            let key = key.replace("\\.", ".");
            let value =
                interpolate(value, variable).map_err(|error| Error::syntax(path, line, &error))?;
            let origin = Origin::File { path: path.into(), line };
            entries.push(Entry { key, value, origin });
        }
    }
    Ok(entries)
}

/// What a line says, if it says anything.
fn content(input: &str) -> IResult<&str, Option<(&str, &str)>> {
    preceded(space0, opt((key, preceded((space0, char('='), space0), value)))).parse(input)
}

fn key(input: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_alphanumeric() || "._-\\@/*".contains(c)).parse(input)
}

fn value(input: &str) -> IResult<&str, &str> {
    let many_lines = delimited(tag("'''"), take_until("'''"), tag("'''"));
    let bare = verify(map(is_not("#\n"), str::trim), |value: &str| !value.is_empty());
    alt((
        terminated(many_lines, peek(end_of_line)),
        terminated(quoted, peek(end_of_line)),
        preceded(not(quoted), bare),
    ))
    .parse(input)
}

fn quoted(input: &str) -> IResult<&str, &str> {
    delimited(char('\''), take_till(|c| c == '\'' || c == '\n'), char('\'')).parse(input)
}

fn end_of_line(input: &str) -> IResult<&str, ()> {
    let comment = opt((char('#'), opt(is_not("\n"))));
    let end = alt((map(line_ending, |_| ()), map(eof, |_| ())));
    map((space0, comment, end), |_| ()).parse(input)
}

/// Puts the variables in.
fn interpolate(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("$(") {
        let (name, after) =
            after.split_once(')').ok_or_else(|| "`$(` without its `)`".to_owned())?;
        let found = variable(name);
        let found = found.ok_or_else(|| format!("there is no environment variable {name:?}"))?;
        text.extend([before, &found]);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let variable = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let entries = parse(Path::new("r.conf"), text, &variable).map_err(|e| e.to_string())?;
        Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }

    // EN-052; each compared with the parser of RabbitMQ 4.3.
    #[test]
    fn lines_are_read_as_rabbitmq_reads_them() {
        for (line, key, value) in [
            ("a.b = 1", "a.b", "1"),
            ("a.b=1", "a.b", "1"),
            ("c = x # trailing", "c", "x"),
            ("d = a#b", "d", "a"),
            ("e = 'quoted # value'", "e", "quoted # value"),
            ("f = \"double # q\"", "f", "\"double"),
            ("  h   =    spaced value   ", "h", "spaced value"),
            ("k.l\\.m = escaped", "k.l.m", "escaped"),
            ("o = 'unterminated", "o", "'unterminated"),
            ("p='v' # c", "p", "v"),
            ("r-s_t = 3", "r-s_t", "3"),
            ("x = a=b", "x", "a=b"),
            ("m = '''x\ny'''", "m", "x\ny"),
            ("q = $(HOME)/x/$(HOME)", "q", "/root/x//root"),
            ("u = caf\u{e9}\r", "u", "caf\u{e9}"),
        ] {
            let expected = Ok(vec![(key.to_owned(), value.to_owned())]);
            assert_eq!(read(line), expected, "{line}");
            assert_eq!(read(&format!("\n# c\n{line}\n\n ## d")), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_setting_is_named_with_its_line() {
        for line in ["n =", "n = # c", "n", "= 1", "g = 'it''s'", "[a]", "n 1", "n = $(HOME"] {
            let said = read(&format!("\n# c\n{line}\n")).expect_err(line);
            assert!(said.starts_with("r.conf:3: "), "{said}");
        }
        let said = read("a = 1\nb = $(NOWHERE)").unwrap_err();
        assert_eq!(said, "r.conf:2: there is no environment variable \"NOWHERE\"");
    }

    #[test]
    fn a_file_may_be_empty() {
        for text in ["", "\n", "#", "  ", "\u{feff}# c\r\n"] {
            assert_eq!(read(text), Ok(Vec::new()), "{text:?}");
        }
    }
}
