//! Regular expressions as RabbitMQ reads them: a search anywhere in the text, in PCRE's grammar,
//! look-around and back references included (PO-001).
//!
//! Floor 0. A pattern is compiled once, where it is set. Matching takes a bounded number of steps;
//! one that would take more does not match, as in RabbitMQ.

use std::{borrow::Cow, fmt};

use fancy_regex::{Error, Regex, RegexBuilder};

/// The longest pattern in bytes.
pub const PATTERN_BYTES_MAX: usize = 8192;
/// Steps back that one search may take.
const BACKTRACKS_MAX: usize = 100_000;
/// Bytes that one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    Regex(Box<Regex>),
}

/// What is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is no regular expression: {reason}, at {position}")]
pub struct InvalidPattern {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
    /// Where, in bytes from its beginning.
    pub position: usize,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let matcher = match text {
            "" | ".*" => Matcher::Everything,
            _ => Matcher::Regex(Box::new(compile(text)?)),
        };
        Ok(Self { text: text.into(), matcher })
    }

    /// Whether the pattern is found in `name`.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::Regex(regex) => regex.is_match(name).unwrap_or(false),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text as a pattern that finds this text.
pub fn escape(text: &str) -> Cow<'_, str> {
    fancy_regex::escape(text)
}

fn compile(text: &str) -> Result<Regex, InvalidPattern> {
    let invalid = |reason: String, position: usize| InvalidPattern {
        pattern: text.to_owned(),
        reason,
        position,
    };
    if text.len() > PATTERN_BYTES_MAX {
        return Err(invalid("it is too long".to_owned(), PATTERN_BYTES_MAX));
    }
    let mut builder = RegexBuilder::new(text);
    builder.backtrack_limit(BACKTRACKS_MAX).delegate_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|error| match error {
        Error::ParseError(position, error) => invalid(error.to_string(), position),
        other => invalid(other.to_string(), 0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    // PO-001
    #[test]
    fn a_pattern_is_searched_for_anywhere() {
        assert!(matches("b", "abc"));
        assert!(!matches("^b", "abc"));
        assert!(matches("^(a|x)", "abc"));
        assert!(matches("", "anything"));
        assert!(matches(".*", ""));
        assert!(!matches("^$", "a") && matches("^$", ""));
    }

    #[test]
    fn look_around_works_as_in_the_examples_that_people_copy() {
        assert!(!matches(r"^(?!amq\.).*", "amq.gen-x"));
        assert!(matches(r"^(?!amq\.).*", "orders"));
        assert!(matches(r"(?<=a)b", "ab") && !matches(r"(?<=a)b", "cb"));
    }

    #[test]
    fn what_is_no_pattern_is_told_with_its_place() {
        for text in ["(", "a)", "[z-a]", "*", r"\"] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!(error.pattern, text);
            assert!(!error.reason.is_empty());
        }
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_search_without_end_ends() {
        assert!(!matches(r"^(?=(a+)+$)(a+)+$\1", &format!("{}!", "a".repeat(60))));
    }

    proptest! {
        #[test]
        fn an_escaped_text_finds_itself(text in "\\PC{0,20}") {
            let pattern = format!("^{}$", escape(&text));
            prop_assert!(matches(&pattern, &text));
        }

        #[test]
        fn no_text_makes_it_panic(pattern in "\\PC{0,30}", name in "\\PC{0,30}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                pattern.matches(&name);
            }
        }
    }
}
