//! The house rules that the compiler does not know, checked on the sources themselves.
//!
//! The floors of `src/lib.rs`, and which library may appear where; ASCII, 100 columns, functions of
//! at most 90 lines, nothing left to do, no file that nobody declares, no sleeping in tests.

mod source;

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use source::Source;

/// The floors of the house, lowest first. A module imports from lower floors and from itself.
const FLOORS: [&[&str]; 9] = [
    &["names", "clock", "machine", "pattern", "histogram"],
    &["wire", "config"],
    &["message"],
    &["store"],
    &["broker", "auth"],
    &["admin"],
    &["connection", "http"],
    &["server"],
    &["cli", "main", "build"],
];

/// Names that appear in a few modules alone, often in one.
const CONFINED: [(&str, &[&str]); 15] = [
    ("redb", &["store"]),
    ("amq_protocol", &["wire"]),
    ("fancy_regex", &["pattern"]),
    ("tokio_rustls", &["server", "cli/ctl"]),
    ("ureq", &["auth"]),
    ("x509_cert", &["auth"]),
    ("serde_json", &["http", "auth/oauth2", "cli/ctl", "cli/perf"]),
    ("axum", &["http"]),
    ("hyper", &["http", "cli/ctl"]),
    ("rust_embed", &["http"]),
    ("flate2", &["http"]),
    ("Instant::now", &["clock"]),
    ("SystemTime::now", &["clock"]),
    ("elapsed()", &["clock"]),
    ("UNIX_EPOCH", &["clock"]),
];

const LINE_CHARS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 90;

/// One place that breaks a rule.
struct Finding {
    path: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.rule)
    }
}

/// Runs a check over the sources below these folders.
#[track_caller]
fn check(folders: &[&str], rule: impl Fn(&Source) -> Vec<Finding>) {
    let sources: Vec<_> = folders.iter().flat_map(Source::all_below).collect();
    assert!(!sources.is_empty(), "no sources below {folders:?}");
    let findings: Vec<_> = sources.iter().flat_map(rule).map(|f| f.to_string()).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

const EVERYWHERE: [&str; 3] = ["src", "tests", "examples"];

#[test]
fn modules_import_from_lower_floors_alone() {
    check(&["src"], imports);
}

#[test]
fn libraries_and_clocks_stay_where_they_belong() {
    check(&["src"], confined);
}

#[test]
fn sources_are_ascii() {
    check(&EVERYWHERE, ascii);
}

#[test]
fn lines_are_short_enough() {
    check(&EVERYWHERE, line_lengths);
}

#[test]
fn functions_are_short_enough() {
    check(&["src"], function_lengths);
}

#[test]
fn nothing_is_left_to_do() {
    check(&EVERYWHERE, left_to_do);
}

#[test]
fn tests_do_not_sleep() {
    // A bench is no test: it may let time pass.
    check(&["src", "tests"], |source| {
        let is_bench = source.path.starts_with("tests/bench");
        if is_bench { Vec::new() } else { sleeps_in_tests(source) }
    });
}

#[test]
fn every_file_is_declared_as_a_module() {
    let mut declared = BTreeSet::new();
    for root in targets() {
        declare(&root, &mut declared);
    }
    check(&["src", "tests"], |source| {
        let is_declared = declared.contains(&source.path);
        if is_declared {
            Vec::new()
        } else {
            vec![source.finding(1, "no module declares this file")]
        }
    });
}

/// The roots of all that is built.
fn targets() -> Vec<PathBuf> {
    let manifest = fs::read_to_string("Cargo.toml").expect("the tests run in the package's folder");
    let quoted = |line: &str| line.split('"').nth(1).map(PathBuf::from);
    let named = manifest.lines().filter(|line| line.starts_with("path = ")).filter_map(quoted);
    named.chain(["src/lib.rs".into(), "src/build.rs".into()]).collect()
}

/// The floor that a module is on.
fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn imports(source: &Source) -> Vec<Finding> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own_floor) = floor(&module) else {
        return vec![source.finding(1, format!("module `{module}` has no floor in FLOORS"))];
    };
    let mut findings = Vec::new();
    for (at, imported) in source.crate_paths() {
        let problem = match floor(&imported) {
            _ if imported == module => continue,
            Some(its_floor) if its_floor < own_floor => continue,
            Some(its_floor) => format!(
                "`{module}` is on floor {own_floor} and must not import `{imported}` of floor \
                 {its_floor}"
            ),
            None => format!("`crate::{imported}` is not a module with a floor in FLOORS"),
        };
        findings.push(source.finding(source.line_at(at), problem));
    }
    findings
}

fn confined(source: &Source) -> Vec<Finding> {
    let is_at_home = |home: &&str| {
        let file = Path::new("src").join(home);
        source.path.starts_with(&file) || source.path == file.with_extension("rs")
    };
    let strays = CONFINED.iter().filter(|(_, homes)| !homes.iter().any(is_at_home));
    strays
        .flat_map(|(name, homes)| {
            let rule = format!("`{name}` is used outside `{}`", homes.join("` and `"));
            let found = source.words(name).into_iter();
            found.map(move |at| source.finding(source.line_at(at), rule.clone()))
        })
        .collect()
}

fn ascii(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().enumerate().filter(|(_, line)| !line.is_ascii());
    lines.map(|(index, _)| source.finding(index + 1, "not ASCII: write \\u{...}")).collect()
}

fn line_lengths(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().enumerate();
    let long = lines.filter(|(_, line)| line.chars().count() > LINE_CHARS_MAX);
    long.map(|(index, _)| {
        source.finding(index + 1, format!("longer than {LINE_CHARS_MAX} columns"))
    })
    .collect()
}

fn function_lengths(source: &Source) -> Vec<Finding> {
    let long = source.functions().filter(|function| function.lines() > FUNCTION_LINES_MAX);
    long.map(|function| {
        let rule = format!("a function of {} lines, over {FUNCTION_LINES_MAX}", function.lines());
        source.finding(function.first_line, rule)
    })
    .collect()
}

fn left_to_do(source: &Source) -> Vec<Finding> {
    // In two parts, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!"], ["unimplemented", "!"]];
    let marks = marks.map(|parts| parts.concat());
    let lines = source.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let mark = marks.iter().find(|mark| line.contains(mark.as_str()))?;
            Some(source.finding(index + 1, format!("{mark} left in the source")))
        })
        .collect()
}

fn sleeps_in_tests(source: &Source) -> Vec<Finding> {
    let tests_at = if source.path.starts_with("tests") { Some(0) } else { source.tests_at() };
    let Some(tests_at) = tests_at else { return Vec::new() };
    source
        .words("sleep")
        .into_iter()
        .filter(|at| *at >= tests_at && source.code[at + "sleep".len()..].starts_with('('))
        .map(|at| source.finding(source.line_at(at), "a test sleeps: wait for an event instead"))
        .collect()
}

/// Adds the file and all that its `mod` lines lead to.
fn declare(path: &Path, declared: &mut BTreeSet<PathBuf>) {
    let Some(source) = Source::read(path) else { return };
    declared.insert(path.into());
    for module in source.declared_modules() {
        let folder = source.folder_of_modules();
        declare(&folder.join(format!("{module}.rs")), declared);
        declare(&folder.join(&module).join("mod.rs"), declared);
    }
}

/// The checks find what they are for, and nothing in what is right.
mod checked {
    use super::*;

    #[track_caller]
    fn found(rule: impl Fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path.into(), text.into())).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn imports_of_the_same_or_a_higher_floor() {
        let none: [usize; 0] = [];
        let upward = "use crate::names::Name;\nuse crate::{\n    clock,\n    store::{a, b},\n};\n";
        assert_eq!(found(imports, "src/wire/frame.rs", upward), [4]);
        assert_eq!(found(imports, "src/broker/mod.rs", upward), none);
        let sibling = "fn f() { crate::config::Config::default(); }";
        assert_eq!(found(imports, "src/wire/frame.rs", sibling), [1]);
        assert_eq!(found(imports, "src/config/mod.rs", sibling), none);
        let mention = "//! See [`crate::server`].\nconst A: &str = \"crate::server\";";
        assert_eq!(found(imports, "src/wire/frame.rs", mention), none);
        assert_eq!(found(imports, "src/attic.rs", ""), [1]);
        assert_eq!(found(imports, "src/cli/mod.rs", "use crate::attic::A;"), [1]);
        assert_eq!(found(imports, "src/lib.rs", upward), none);
    }

    #[test]
    fn names_outside_their_home() {
        let none: [usize; 0] = [];
        assert_eq!(found(confined, "src/broker/mod.rs", "// redb\nuse redb::Database;"), [2]);
        assert_eq!(found(confined, "src/store/mod.rs", "use redb::Database;"), none);
        assert_eq!(found(confined, "src/broker/mod.rs", "let predb = is_redb_;"), none);
        let clock = "let a = std::time::Instant::now();\nlet b = a.elapsed();";
        assert_eq!(found(confined, "src/broker/mod.rs", clock), [1, 2]);
        assert_eq!(found(confined, "src/clock.rs", clock), none);
        let json = "use serde_json::Value;";
        assert_eq!(found(confined, "src/cli/ctl/verbs/users.rs", json), none);
        assert_eq!(found(confined, "src/cli/serve.rs", json), [1]);
    }

    #[test]
    fn characters_columns_and_marks() {
        assert_eq!(found(ascii, "src/a.rs", "fine\n// \u{e9}\n"), [2]);
        let long = format!("{}\n{}", "x".repeat(100), "x".repeat(101));
        assert_eq!(found(line_lengths, "src/a.rs", &long), [2]);
        let marks = format!("// {}\nfine\n{}()", ["TO", "DO"].concat(), ["todo", "!"].concat());
        assert_eq!(found(left_to_do, "src/a.rs", &marks), [1, 3]);
    }

    #[test]
    fn long_functions() {
        let function = |lines: usize| {
            let body = "    let s = \"}\"; // }\n".repeat(lines - 2);
            format!("fn short() -> [u8; 2] {{ [0; 2] }}\nfn f(g: fn()) {{\n{body}}}\n")
        };
        assert_eq!(found(function_lengths, "src/a.rs", &function(90)), [0; 0]);
        assert_eq!(found(function_lengths, "src/a.rs", &function(91)), [2]);
        assert_eq!(found(function_lengths, "src/a.rs", "trait T { fn f(&self); }"), [0; 0]);
    }

    #[test]
    fn sleeping_tests() {
        let text = "fn f() { sleep(1) }\n#[cfg(test)]\nmod tests {\n fn g() { sleep(1) }\n}";
        assert_eq!(found(sleeps_in_tests, "src/a.rs", text), [4]);
        assert_eq!(found(sleeps_in_tests, "tests/a.rs", text), [1, 4]);
        let waits = "sleep_until(moment); let sleep = 1; // sleep(1)";
        assert_eq!(found(sleeps_in_tests, "tests/a.rs", waits), [0; 0]);
    }

    #[test]
    fn modules_and_the_folders_of_their_files() {
        let source = |path: &str| {
            let text = "mod a;\npub(crate) mod b;\nmod inline { }\n// mod c;\n";
            Source::new(path.into(), text.into())
        };
        assert_eq!(source("src/x.rs").declared_modules(), ["a", "b"]);
        for (path, folder) in [
            ("src/lib.rs", "src"),
            ("src/main.rs", "src"),
            ("tests/main.rs", "tests"),
            ("src/x.rs", "src/x"),
            ("src/x/mod.rs", "src/x"),
            ("src/x/y.rs", "src/x/y"),
        ] {
            assert_eq!(source(path).folder_of_modules(), Path::new(folder));
        }
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a /* b /* c */ d */ e \"f\\\"g\" r#\"h\"i\"# '\"' 'j' '\\'' k<'l> b\"m\" // n";
        let source = Source::new("src/a.rs".into(), text.into());
        let words: Vec<_> = source.code.split_whitespace().collect();
        assert_eq!(words.concat().replace(['"', '\''], ""), "aek<l>b");
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn the_real_tree_is_read() {
        let paths: Vec<_> =
            Source::all_below("src").into_iter().map(|source| source.path).collect();
        for path in ["src/lib.rs", "src/wire/table/write.rs"] {
            assert!(
                paths.iter().any(|found| found == Path::new(path)),
                "{path} is not in {paths:?}"
            );
        }
    }
}
