//! Thresholds of health checks, written as Nagios plugins write them.

use std::fmt;

/// The values that are all right: from the first to the last, both included, or all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    first: f64,
    last: f64,
    /// Whether the values between them are the bad ones.
    is_inverted: bool,
}

impl Range {
    /// Reads `10` (0 to 10), `10:` (10 and more), `~:10` (10 and less), `10:20`, and `@10:20`
    /// (all but those); `None` if it is none of them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_inverted, text) = match text.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let (first, last) = match text.split_once(':') {
            None => (0.0, number(text)?),
            Some((first, last)) => {
                let first = if first == "~" { f64::NEG_INFINITY } else { number(first)? };
                let last = if last.is_empty() { f64::INFINITY } else { number(last)? };
                (first, last)
            }
        };
        (first <= last).then_some(Self { first, last, is_inverted })
    }

    /// Whether a value is all right.
    pub(super) fn allows(self, value: f64) -> bool {
        (self.first..=self.last).contains(&value) != self.is_inverted
    }
}

/// Writes it as it was read.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_inverted {
            f.write_str("@")?;
        }
        if self.first == f64::NEG_INFINITY {
            f.write_str("~:")?;
        } else if self.first != 0.0 || self.last == f64::INFINITY {
            write!(f, "{}:", self.first)?;
        }
        if self.last == f64::INFINITY { Ok(()) } else { write!(f, "{}", self.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_nagios() {
        for (text, good, bad) in [
            ("10", &[0.0, 5.0, 10.0][..], &[-1.0, 10.5, 11.0][..]),
            ("10:", &[10.0, 1e9], &[9.0, -1.0]),
            ("~:10", &[-1e9, 10.0], &[11.0]),
            ("10:20", &[10.0, 20.0], &[9.0, 21.0]),
            ("@10:20", &[9.0, 21.0], &[10.0, 15.0, 20.0]),
            ("0", &[0.0], &[1.0]),
        ] {
            let range = Range::parse(text).unwrap();
            assert_eq!(range.to_string(), text);
            assert!(good.iter().all(|value| range.allows(*value)), "{text}");
            assert!(!bad.iter().any(|value| range.allows(*value)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_ranges() {
        for text in ["", ":", "a", "10:a", "20:10", "@", "~", "inf", "nan:1", "1:2:3"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
