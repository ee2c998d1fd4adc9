//! The options of a command, read as RabbitMQ's tools read them: in any order, before the command,
//! after it or between its arguments.

/// An option that a command takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    /// Its name after `--`.
    pub(super) long: &'static str,
    /// Its letter after `-`.
    pub(super) short: Option<char>,
    pub(super) takes: Takes,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing. `--no-` before its name turns it off.
    Nothing,
    Text,
    /// A whole number, not negative.
    Number,
}

/// An option that is there or not.
pub(super) const fn flag(long: &'static str) -> Switch {
    Switch { long, short: None, takes: Takes::Nothing }
}

/// An option with text behind it.
pub(super) const fn text(long: &'static str) -> Switch {
    Switch { long, short: None, takes: Takes::Text }
}

/// An option with a number behind it.
pub(super) const fn number(long: &'static str) -> Switch {
    Switch { long, short: None, takes: Takes::Number }
}

impl Switch {
    /// The same option, with a letter.
    pub(super) const fn or(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }
}

/// The options that every command takes. Those of RabbitMQ that mean nothing here are accepted.
pub(super) const GENERAL: &[Switch] = &[
    flag("help").or('?'),
    flag("help").or('h'),
    text("vhost").or('p'),
    flag("quiet").or('q'),
    flag("silent").or('s'),
    number("timeout").or('t'),
    text("formatter"),
    flag("json"),
    flag("table-headers"),
    text("uri"),
    text("ca"),
    text("data-dir"),
    text("config"),
    text("rabbitmq-conf"),
    text("node").or('n'),
    flag("longnames").or('l'),
    flag("dry-run"),
    flag("print-stacktrace"),
    text("printer"),
    text("file"),
    text("script-name"),
    text("rabbitmq-home"),
    text("mnesia-dir"),
    text("plugins-dir"),
    text("enabled-plugins-file"),
    text("aliases-file"),
    text("erlang-cookie"),
];

/// The options that were given, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options(Vec<(&'static str, String)>);

impl Options {
    /// The text behind an option, the last if it was given more than once.
    pub(super) fn text(&self, long: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| *name == long).map(|(_, text)| text.as_str())
    }

    /// The texts behind an option, each time that it was given.
    pub(super) fn texts(&self, long: &str) -> Vec<&str> {
        self.0.iter().filter(|(name, _)| *name == long).map(|(_, text)| text.as_str()).collect()
    }

    /// Whether an option was given, if it is turned off by nothing.
    pub(super) fn has(&self, long: &str) -> bool {
        self.text(long) == Some("true")
    }

    /// Whether an option was turned off by its `--no-`.
    pub(super) fn is_off(&self, long: &str) -> bool {
        self.text(long) == Some("false")
    }

    /// Gives an option another text.
    pub(super) fn set(&mut self, long: &'static str, text: &str) {
        self.0.push((long, text.to_owned()));
    }

    /// The number behind an option.
    pub(super) fn number(&self, long: &str) -> Option<u64> {
        self.text(long)?.parse().ok()
    }
}

/// An option that does not exist or cannot have its value, and that value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) option: String,
    pub(super) value: String,
}

/// What was typed, sorted.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) arguments: Vec<String>,
    pub(super) options: Options,
    pub(super) invalid: Vec<Invalid>,
}

/// Sorts the words into arguments and options.
pub(super) fn parse(words: &[String], switches: &[&[Switch]]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if word == "--" {
            parsed.arguments.extend(rest.by_ref().map(str::to_owned));
        } else if is_option(word) {
            parsed.option(word, &mut rest, switches);
        } else {
            parsed.arguments.push(word.to_owned());
        }
    }
    parsed
}

/// Options begin with a dash; a dash alone and negative numbers are arguments.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.parse::<f64>().is_err())
}

impl Parsed {
    fn option<'a>(
        &mut self,
        word: &'a str,
        rest: &mut (impl Iterator<Item = &'a str> + Clone),
        switches: &[&[Switch]],
    ) {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let mut found = find(name, switches);
        if found.is_empty() {
            found = find_letters(name, switches);
        }
        let invalid = |value: Option<&str>| Invalid {
            option: name.to_owned(),
            value: value.unwrap_or_default().to_owned(),
        };
        if found.is_empty() {
            self.invalid.push(invalid(joined));
        }
        for (switch, is_on) in found {
            let value = match switch.takes {
                Takes::Nothing => joined.or(Some(if is_on { "true" } else { "false" })),
                Takes::Text | Takes::Number => joined.or_else(|| take_value(rest)),
            };
            let is_allowed = |value: &str| match switch.takes {
                Takes::Nothing => ["true", "false"].contains(&value),
                Takes::Text => true,
                Takes::Number => value.parse::<u64>().is_ok(),
            };
            match value.filter(|value| is_allowed(value)) {
                Some(value) => self.options.0.push((switch.long, value.to_owned())),
                None => self.invalid.push(invalid(value)),
            }
        }
    }
}

/// The option of this name, and whether it is turned on by it.
fn find(name: &str, switches: &[&[Switch]]) -> Vec<(Switch, bool)> {
    let all = || switches.iter().copied().flatten().copied();
    if let Some(long) = name.strip_prefix("--") {
        let named = all().find(|switch| switch.long == long).map(|switch| (switch, true));
        let turned_off = || {
            let long = long.strip_prefix("no-")?;
            let switch = all().find(|s| s.long == long && s.takes == Takes::Nothing)?;
            Some((switch, false))
        };
        return named.or_else(turned_off).into_iter().collect();
    }
    let mut letters = name.chars().skip(1);
    let (letter, more) = (letters.next(), letters.next());
    let named = all().find(|switch| switch.short == letter && more.is_none());
    named.map(|switch| (switch, true)).into_iter().collect()
}

/// The options of letters that stand together, such as `-qs`, if all of them are flags.
fn find_letters(name: &str, switches: &[&[Switch]]) -> Vec<(Switch, bool)> {
    let Some(letters) = name.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
        return Vec::new();
    };
    let each = letters.chars().map(|letter| find(&format!("-{letter}"), switches).pop());
    let each: Option<Vec<_>> = each.collect();
    let all_flags =
        |found: &Vec<(Switch, bool)>| found.iter().all(|(s, _)| s.takes == Takes::Nothing);
    each.filter(all_flags).unwrap_or_default()
}

/// Takes the next word, if it is not an option itself.
fn take_value<'a>(rest: &mut (impl Iterator<Item = &'a str> + Clone)) -> Option<&'a str> {
    let next = rest.clone().next()?;
    if is_option(next) || next == "--" { None } else { rest.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[Switch] = &[number("priority"), flag("if-empty").or('e'), flag("wait")];

    fn parsed(words: &str) -> Parsed {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        parse(&words, &[GENERAL, OWN])
    }

    #[track_caller]
    fn sorted(words: &str, arguments: &[&str], options: &[(&'static str, &str)]) {
        let parsed = parsed(words);
        assert_eq!(parsed.invalid, [], "{words}");
        assert_eq!(parsed.arguments, arguments, "{words}");
        let given = options.iter().map(|(name, value)| (*name, (*value).to_owned()));
        assert_eq!(parsed.options.0, given.collect::<Vec<_>>(), "{words}");
    }

    #[test]
    fn options_stand_anywhere() {
        let vhost = ("vhost", "v");
        let quiet = ("quiet", "true");
        sorted("-p v list -q name", &["list", "name"], &[vhost, quiet]);
        sorted("list --vhost=v name --quiet", &["list", "name"], &[vhost, quiet]);
        sorted("-qs list", &["list"], &[quiet, ("silent", "true")]);
        sorted("list -p=v -qe", &["list"], &[vhost, quiet, ("if-empty", "true")]);
        sorted("set --priority 3 -1 -", &["set", "-1", "-"], &[("priority", "3")]);
        sorted(
            "--no-wait --no-table-headers",
            &[],
            &[("wait", "false"), ("table-headers", "false")],
        );
        sorted("add -- -p --quiet", &["add", "-p", "--quiet"], &[]);
        sorted("-p v -p w", &[], &[vhost, ("vhost", "w")]);
    }

    #[test]
    fn later_wins() {
        let options = parsed("-p v -p w -t 5 --no-wait -q").options;
        assert_eq!((options.text("vhost"), options.number("timeout")), (Some("w"), Some(5)));
        assert!(options.has("quiet") && options.is_off("wait") && !options.has("wait"));
        assert_eq!(options.text("uri"), None);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (words, option, value) in [
            ("list --bogus", "--bogus", ""),
            ("list --bogus=1", "--bogus", "1"),
            ("list -p", "-p", ""),
            ("list -p -q", "-p", ""),
            ("list -t abc", "-t", "abc"),
            ("list -t -5", "-t", "-5"),
            ("list -x", "-x", ""),
            ("list -qx", "-qx", ""),
            ("list --quiet=maybe", "--quiet", "maybe"),
            ("list --no-vhost", "--no-vhost", ""),
        ] {
            let invalid = Invalid { option: option.into(), value: value.into() };
            assert_eq!(parsed(words).invalid, [invalid], "{words}");
        }
    }
}
