//! A source file as the checks see it: its text, and the same without comments and literals.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Finding;

/// A source file.
pub(super) struct Source {
    /// From the folder of `Cargo.toml`.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// The text with blanks for what stands in comments and literals: same lines, same offsets.
    pub(super) code: String,
}

/// Where a function stands.
pub(super) struct Function {
    pub(super) first_line: usize,
    last_line: usize,
}

impl Function {
    pub(super) fn lines(&self) -> usize {
        self.last_line - self.first_line + 1
    }
}

impl Source {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let code = blank_literals(&text);
        Self { path, text, code }
    }

    pub(super) fn read(path: &Path) -> Option<Self> {
        Some(Self::new(path.into(), fs::read_to_string(path).ok()?))
    }

    /// All Rust files below a folder, but for those of other packages.
    pub(super) fn all_below(folder: impl AsRef<Path>) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut sources = Vec::new();
        for path in paths {
            if path.is_dir() && !path.join("Cargo.toml").exists() {
                sources.extend(Self::all_below(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.extend(Self::read(&path));
            }
        }
        sources
    }

    pub(super) fn finding(&self, line: usize, rule: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule: rule.into() }
    }

    /// The line, from 1, that an offset is in.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        1 + self.code[..offset].matches('\n').count()
    }

    /// The module of the crate that the file belongs to; none for `lib.rs`.
    pub(super) fn module(&self) -> Option<String> {
        let below_src = self.path.strip_prefix("src").ok()?;
        let first = Path::new(below_src.components().next()?.as_os_str());
        let name = first.file_stem()?.to_str()?;
        (name != "lib").then(|| name.into())
    }

    /// Where the file's tests begin: the module at its end.
    pub(super) fn tests_at(&self) -> Option<usize> {
        let is_tests = self.path.file_stem().is_some_and(|stem| stem == "tests");
        if is_tests { Some(0) } else { self.code.find("#[cfg(test)]\nmod ") }
    }

    /// Offsets at which a name stands by itself.
    pub(super) fn words(&self, word: &str) -> Vec<usize> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let stands_alone = |at: usize| {
            let (before, rest) = self.code.split_at(at);
            !before.ends_with(is_part) && !rest[word.len()..].starts_with(is_part)
        };
        let found = self.code.match_indices(word).map(|(at, _)| at);
        found.filter(|at| stands_alone(*at)).collect()
    }

    /// Every `crate::name`, and every name of a `crate::{...}`, with its offset.
    pub(super) fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        for at in self.words("crate") {
            let Some(rest) = self.code[at..].strip_prefix("crate::") else { continue };
            let rest_at = at + "crate::".len();
            if let Some(group) = rest.strip_prefix('{') {
                paths.extend(group_names(group).map(|(i, name)| (rest_at + 1 + i, name)));
            } else {
                paths.push((rest_at, leading_name(rest).into()));
            }
        }
        paths
    }

    /// Functions with a body.
    pub(super) fn functions(&self) -> impl Iterator<Item = Function> {
        self.words("fn").into_iter().filter_map(|at| {
            let named = self.code[at + 2..].trim_start();
            if !named.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                return None;
            }
            let end = body_end(&self.code[at..])?;
            Some(Function { first_line: self.line_at(at), last_line: self.line_at(at + end) })
        })
    }

    /// Modules whose text is in files of their own.
    pub(super) fn declared_modules(&self) -> Vec<String> {
        self.words("mod")
            .into_iter()
            .filter_map(|at| {
                let rest = self.code[at + 3..].trim_start();
                let name = leading_name(rest);
                rest[name.len()..].starts_with(';').then(|| name.to_owned())
            })
            .collect()
    }

    /// The folder in which the files of its modules lie.
    pub(super) fn folder_of_modules(&self) -> PathBuf {
        let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| self.path.ends_with(name));
        if is_root {
            self.path.parent().map(Path::to_path_buf).unwrap_or_default()
        } else {
            self.path.with_extension("")
        }
    }
}

fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first name of every branch of `a::b, c::{d, e}}`, with its offset.
fn group_names(group: &str) -> impl Iterator<Item = (usize, String)> {
    let mut depth = 0;
    let mut begins = true;
    let mut names = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                begins = false;
                names.push((at, leading_name(&group[at..]).to_owned()));
            }
            _ => {}
        }
    }
    names.into_iter()
}

/// The offset at which the body of a function ends; none if it has no body.
fn body_end(code: &str) -> Option<usize> {
    let mut brackets = 0;
    let mut braces = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' if braces == 1 => return Some(at),
            '}' => braces -= 1,
            _ => {}
        }
    }
    None
}

/// Replaces what stands in comments and in string and character literals with blanks, byte for
/// byte; ends of lines stay.
fn blank_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if !is_in_word || code.ends_with('b') => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (literal, behind) = rest.split_at(length);
            code.extend(literal.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
            rest = behind;
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"..."` or `r#"..."#`, 0 if it is something else.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].find(|c| c != '#').unwrap_or(0);
    let Some(body) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// The length of a character literal, 0 for a lifetime.
fn character(text: &str) -> usize {
    let inner = &text[1..];
    if inner.starts_with('\\') {
        // The quote may itself be what is escaped.
        return inner[2..].find('\'').map_or(0, |at| at + 4);
    }
    let mut characters = inner.char_indices();
    match (characters.next(), characters.next()) {
        (Some(_), Some((at, '\''))) => at + 2,
        _ => 0,
    }
}
