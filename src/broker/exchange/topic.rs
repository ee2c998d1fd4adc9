//! `topic`: binding keys are patterns of words; `*` stands for one word, `#` for any number.

use super::{BindingRef, ExchangeType, Matches, Target, View};

/// Memory of a walk through the trie, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Walk {}

/// The patterns.
#[derive(Debug, Default)]
pub(super) struct Topic {
    patterns: Vec<(Box<[u8]>, Target)>,
}

impl ExchangeType for Topic {
    fn bind(&mut self, binding: BindingRef<'_>) {
        self.patterns.push((binding.key.into(), binding.target));
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        let at = self.patterns.iter().position(|p| *p.0 == *binding.key && p.1 == binding.target);
        if let Some(at) = at {
            self.patterns.swap_remove(at);
        }
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        for key in message.keys {
            let words = words(key);
            for (pattern, target) in &self.patterns {
                if matches(&self::words(pattern), &words) {
                    out.targets.push(*target);
                }
            }
        }
    }
}

fn words(key: &[u8]) -> Vec<&[u8]> {
    if key.is_empty() { Vec::new() } else { key.split(|b| *b == b'.').collect() }
}

fn matches(pattern: &[&[u8]], words: &[&[u8]]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((&b"#", rest)) => (0..=words.len()).any(|at| matches(rest, &words[at..])),
        Some((first, rest)) => words
            .split_first()
            .is_some_and(|(word, words)| (*first == b"*" || first == word) && matches(rest, words)),
    }
}
