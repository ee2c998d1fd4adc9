//! Erlang terms as they stand in `advanced.config`, in `enabled_plugins` and in arguments for the
//! Erlang machine.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{is_not, tag, take_while, take_while_m_n},
    character::complete::{char, digit1, multispace1, none_of, not_line_ending},
    combinator::{map, map_opt, map_res, opt, recognize, value},
    error::{Error, ErrorKind},
    multi::{fold, many0_count, separated_list0},
    sequence::{delimited, pair, preceded, terminated},
};

/// How deep terms may be nested in one another.
const DEPTH_MAX: u32 = 64;

/// A term, as far as settings are made of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// A word: `undefined`, `'amq.topic'`.
    Atom(String),
    /// A whole number.
    Integer(i128),
    /// Another number, as it is written.
    Float(String),
    /// A text in quotes, or between `<<` and `>>`.
    Text(String),
    /// `[a, b]`.
    List(Vec<Term>),
    /// `{a, b}`, and how many bytes of the text are left at its beginning.
    Tuple(Vec<Term>, usize),
}

impl Term {
    /// The terms of a file, each of which ends with a dot.
    pub(super) fn file(text: &str) -> Option<Vec<Self>> {
        let mut terms = nom::multi::many0(terminated(|i| term(i, 0), (blank, char('.'))));
        let (rest, terms) = terms.parse(text).ok()?;
        let (rest, ()) = blank(rest).ok()?;
        rest.is_empty().then_some(terms)
    }

    /// A text that is one term.
    pub(super) fn one(text: &str) -> Option<Self> {
        let (rest, term) = terminated(|i| term(i, 0), blank).parse(text).ok()?;
        rest.is_empty().then_some(term)
    }

    /// An atom, a number or a text, as text.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Atom(text) | Self::Text(text) | Self::Float(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::List(_) | Self::Tuple(..) => None,
        }
    }

    /// The elements of a list.
    pub(super) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(terms) => Some(terms),
            _ => None,
        }
    }

    /// The key and the value of `{key, value}`, and where it stands.
    pub(super) fn as_pair(&self) -> Option<(&str, &Self, usize)> {
        match self {
            Self::Tuple(terms, left) => match &terms[..] {
                [Self::Atom(key), value] => Some((key, value, *left)),
                _ => None,
            },
            _ => None,
        }
    }
}

fn term(input: &str, depth: u32) -> IResult<&str, Term> {
    if depth > DEPTH_MAX {
        return Err(nom::Err::Failure(Error::new(input, ErrorKind::TooLarge)));
    }
    let (input, ()) = blank(input)?;
    let inner = |input| term(input, depth + 1);
    let terms = |open, close| {
        let comma = (blank, char(','));
        delimited(char(open), separated_list0(comma, inner), (blank, char(close)))
    };
    let left = input.len();
    alt((
        map(terms('[', ']'), Term::List),
        map(terms('{', '}'), move |terms| Term::Tuple(terms, left)),
        map(delimited((tag("<<"), blank), |i| quoted(i, '"'), (blank, binary_end)), Term::Text),
        value(Term::Text(String::new()), (tag("<<"), blank, tag(">>"))),
        map(|i| quoted(i, '"'), Term::Text),
        map(|i| quoted(i, '\''), Term::Atom),
        number,
        map(atom, |word| Term::Atom(word.into())),
    ))
    .parse(input)
}

fn binary_end(input: &str) -> IResult<&str, &str> {
    preceded(opt((tag("/utf8"), blank)), tag(">>")).parse(input)
}

fn atom(input: &str) -> IResult<&str, &str> {
    let first = take_while_m_n(1, 1, |c: char| c.is_ascii_lowercase());
    recognize(pair(first, take_while(|c: char| c.is_alphanumeric() || "_@".contains(c))))
        .parse(input)
}

fn number(input: &str) -> IResult<&str, Term> {
    let exponent = opt((alt((char('e'), char('E'))), opt(alt((char('-'), char('+')))), digit1));
    let float = recognize((opt(char('-')), digit1, char('.'), digit1, exponent));
    let integer = recognize((opt(char('-')), digit1));
    alt((
        map(float, |text: &str| Term::Float(text.into())),
        map(map_res(integer, str::parse), Term::Integer),
    ))
    .parse(input)
}

fn quoted(input: &str, quote: char) -> IResult<&str, String> {
    let escape = map_opt(preceded(char('\\'), none_of("\n")), |c| match c {
        'n' => Some('\n'),
        't' => Some('\t'),
        '\\' | '"' | '\'' => Some(c),
        _ => None,
    });
    let plain = none_of(if quote == '"' { "\"\\" } else { "'\\" });
    let content = fold(0.., alt((plain, escape)), String::new, |mut text, c| {
        text.push(c);
        text
    });
    delimited(char(quote), content, char(quote)).parse(input)
}

/// Blanks and comments.
fn blank(input: &str) -> IResult<&str, ()> {
    let comment = recognize((char('%'), not_line_ending));
    map(many0_count(alt((multispace1, comment))), |_| ()).parse(input)
}

/// Splits arguments as a shell would, quotes and all.
pub(super) fn words(input: &str) -> Vec<String> {
    let part = |input| -> IResult<&str, &str> {
        alt((
            delimited(char('\''), take_while(|c| c != '\''), char('\'')),
            is_not(" \t\r\n'"),
            tag("'"),
        ))
        .parse(input)
    };
    let word = fold(1.., part, String::new, |word, part| word + part);
    let blanks = take_while(|c: char| c.is_ascii_whitespace());
    nom::multi::many0(preceded(blanks, word)).parse(input).map_or_else(|_| Vec::new(), |(_, w)| w)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(text: &str) -> Term {
        Term::Atom(text.into())
    }

    #[test]
    fn a_file_of_settings_is_read() {
        let text = "%% mine\n[{rabbit, [{a, 1}, % one\n {'b c', \"x\\\"\"},{c,<<\"y\">>},\n\
                    {d, 0.5}, {e, []}, {f, undefined}, {g, {h, -1}}]}].\n";
        let terms = Term::file(text).unwrap();
        let [Term::List(apps)] = &terms[..] else { panic!("{terms:?}") };
        let (app, settings, _) = apps[0].as_pair().unwrap();
        assert_eq!(app, "rabbit");
        let pairs: Vec<_> = settings.as_list().unwrap().iter().map(|s| s.as_pair()).collect();
        let (keys, values): (Vec<_>, Vec<_>) =
            pairs.iter().map(|p| p.unwrap()).map(|p| (p.0, p.1)).unzip();
        assert_eq!(keys, ["a", "b c", "c", "d", "e", "f", "g"]);
        assert_eq!(*values[0], Term::Integer(1));
        assert_eq!(*values[1], Term::Text("x\"".into()));
        assert_eq!(*values[2], Term::Text("y".into()));
        assert_eq!(*values[3], Term::Float("0.5".into()));
        assert_eq!(*values[4], Term::List(Vec::new()));
        assert_eq!(*values[5], atom("undefined"));
        assert_eq!(values[6].as_pair().unwrap().1, &Term::Integer(-1));
    }

    #[test]
    fn plugins_are_a_list_of_atoms() {
        let terms = Term::file("[rabbitmq_management,rabbitmq_prometheus].").unwrap();
        assert_eq!(
            terms,
            [Term::List(vec![atom("rabbitmq_management"), atom("rabbitmq_prometheus")])]
        );
        assert_eq!(Term::file(" % none\n"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_term_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["[", "[a,].", "{a", "a", "fun() -> ok end.", "#{}.", "\"x", deep.as_str()] {
            assert_eq!(Term::file(text), None, "{text:.20}");
        }
        assert_eq!(Term::one("{a, b} c"), None);
    }

    #[test]
    fn arguments_are_split_like_a_shell_does() {
        let given = "-rabbit disk_free_limit 2147483648  -rabbit log '[{a, b}]' +S 2:2";
        let expected =
            ["-rabbit", "disk_free_limit", "2147483648", "-rabbit", "log", "[{a, b}]", "+S", "2:2"];
        assert_eq!(words(given), expected);
        assert_eq!(words("'open"), ["'open"]);
        assert_eq!(words(""), [""; 0]);
    }
}
