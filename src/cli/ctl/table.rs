//! Lists in the formats that people and programs ask for.

use std::fmt::Write;

use serde_json::Value;

use super::cell::Kind;

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Names and values with tabs between them, as RabbitMQ's tools write lists.
    Tabs,
    /// Columns that stand below each other.
    Aligned,
    /// The same in a frame.
    Pretty,
    Csv,
    /// The JSON of RabbitMQ's tools.
    Json,
    /// JSON in which nothing is text that is not text.
    PlainJson,
}

impl Format {
    /// The format of this name for `--formatter`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Tabs,
            "pretty_table" => Self::Pretty,
            "csv" => Self::Csv,
            "json" => Self::Json,
            _ => return None,
        })
    }

    pub(super) const NAMES: &str = "table, pretty_table, csv, json";

    /// Whether programs read it, so that nothing else may stand beside it.
    pub(super) fn is_for_programs(self) -> bool {
        matches!(self, Self::Csv | Self::Json | Self::PlainJson)
    }

    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::PlainJson)
    }
}

/// Writes a list. A table without rows has no header either, as in RabbitMQ.
pub(super) fn render(
    format: Format,
    columns: &[Column],
    rows: &[Vec<Value>],
    has_header: bool,
) -> String {
    if format.is_json() {
        return json(format, columns, rows);
    }
    let cells = |row: &Vec<Value>| -> Vec<String> {
        columns.iter().zip(row).map(|(column, value)| column.kind.text(value)).collect()
    };
    let mut lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let has_header = has_header && !rows.is_empty();
    if has_header {
        lines.insert(0, columns.iter().map(|column| column.name.to_owned()).collect());
    }
    match format {
        Format::Aligned => aligned(&lines, columns, rows),
        Format::Pretty => pretty(&lines, has_header),
        Format::Csv => joined(&lines, ",", |cell| format!("\"{}\"", cell.replace('"', "\"\""))),
        _ => joined(&lines, "\t", Clone::clone),
    }
}

/// An array with a row to a line, and the commas in front, as RabbitMQ's tools stream it.
fn json(format: Format, columns: &[Column], rows: &[Vec<Value>]) -> String {
    let mut text = String::from("[\n");
    for (index, row) in rows.iter().enumerate() {
        text.push_str(if index == 0 { "{" } else { ",{" });
        for (index, (column, value)) in columns.iter().zip(row).enumerate() {
            let value = match format {
                Format::Json => column.kind.compatible(value),
                _ => column.kind.json(value),
            };
            let comma = if index == 0 { "" } else { "," };
            // A String takes all that is written to it, here and below.
            let _ = write!(text, "{comma}{}:{value}", Value::from(column.name));
        }
        text.push_str("}\n");
    }
    text.push_str("]\n");
    text
}

fn joined(lines: &[Vec<String>], between: &str, cell: impl Fn(&String) -> String) -> String {
    let line = |cells: &Vec<String>| cells.iter().map(&cell).collect::<Vec<_>>().join(between);
    lines.iter().map(|cells| line(cells) + "\n").collect()
}

/// The width of each column.
fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = lines.first().map_or(0, Vec::len);
    (0..columns)
        .map(|at| lines.iter().map(|line| width(&line[at])).max().unwrap_or_default())
        .collect()
}

/// Places that text takes on a terminal: two for each wide character of East Asia and emoji, none
/// for what is put on the character before it.
fn width(text: &str) -> usize {
    let places = |character: char| match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(places).sum()
}

/// Numbers stand to the right, all else to the left; nothing is padded at the end of a line.
fn aligned(lines: &[Vec<String>], columns: &[Column], rows: &[Vec<Value>]) -> String {
    let widths = widths(lines);
    let is_number = |at: usize| {
        let is_number = |row: &Vec<Value>| row[at].is_number() || row[at].is_null();
        columns[at].kind == Kind::Plain
            && rows.iter().all(is_number)
            && rows.iter().any(|row| row[at].is_number())
    };
    let to_the_right: Vec<bool> = (0..columns.len()).map(is_number).collect();
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (at, cell) in line.iter().enumerate() {
            let blanks = " ".repeat(widths[at] - width(cell));
            let between = if at == 0 { "" } else { "  " };
            let [left, right] = if to_the_right[at] { [&blanks, cell] } else { [cell, &blanks] };
            let _ = write!(padded, "{between}{left}{right}");
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

fn pretty(lines: &[Vec<String>], has_header: bool) -> String {
    let widths = widths(lines);
    if widths.is_empty() {
        return String::new();
    }
    let rule = |[left, middle, right]: [char; 3]| {
        let bars: Vec<_> = widths.iter().map(|width| "\u{2500}".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(&middle.to_string()))
    };
    let mut text = rule(['\u{250c}', '\u{252c}', '\u{2510}']);
    for (index, line) in lines.iter().enumerate() {
        let padded = line
            .iter()
            .zip(&widths)
            .map(|(cell, places)| format!(" {cell}{} ", " ".repeat(places - width(cell))));
        let bar = "\u{2502}";
        let _ = writeln!(text, "{bar}{}{bar}", padded.collect::<Vec<_>>().join(bar));
        if has_header && index == 0 {
            text.push_str(&rule(['\u{251c}', '\u{253c}', '\u{2524}']));
        }
    }
    text.push_str(&rule(['\u{2514}', '\u{2534}', '\u{2518}']));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { name: "name", kind: Kind::Plain },
        Column { name: "messages", kind: Kind::Plain },
        Column { name: "arguments", kind: Kind::Arguments },
    ];

    fn rows() -> Vec<Vec<Value>> {
        vec![
            vec![json!("a\tb\"\u{4e2d}"), json!(5), json!({"x": 1})],
            vec![json!("q"), json!(1000), json!([])],
        ]
    }

    #[track_caller]
    fn shown(format: Format, has_header: bool, text: &str) {
        assert_eq!(render(format, &COLUMNS, &rows(), has_header), text, "{format:?}");
    }

    #[test]
    fn tables_for_programs() {
        let with_tabs = "a\\tb\"\u{4e2d}\t5\t[{\"x\",1}]\nq\t1000\t[]\n";
        shown(Format::Tabs, false, with_tabs);
        shown(Format::Tabs, true, &format!("name\tmessages\targuments\n{with_tabs}"));
        shown(
            Format::Csv,
            true,
            "\"name\",\"messages\",\"arguments\"\n\"a\\tb\"\"\u{4e2d}\",\"5\",\"[{\"\"x\"\",1}]\"\n\
             \"q\",\"1000\",\"[]\"\n",
        );
    }

    #[test]
    fn json_has_its_commas_in_front() {
        shown(
            Format::Json,
            true,
            "[\n{\"name\":\"a\\tb\\\"\u{4e2d}\",\"messages\":5,\
             \"arguments\":[[\"x\",\"long\",1]]}\n\
             ,{\"name\":\"q\",\"messages\":1000,\"arguments\":[]}\n]\n",
        );
        shown(
            Format::PlainJson,
            true,
            "[\n{\"name\":\"a\\tb\\\"\u{4e2d}\",\"messages\":5,\"arguments\":{\"x\":1}}\n\
             ,{\"name\":\"q\",\"messages\":1000,\"arguments\":{}}\n]\n",
        );
    }

    #[test]
    fn tables_for_people() {
        shown(
            Format::Aligned,
            true,
            "name     messages  arguments\na\\tb\"\u{4e2d}         5  [{\"x\",1}]\n\
             q            1000  []\n",
        );
        let framed = render(Format::Pretty, &COLUMNS[..2], &rows(), true);
        let lines: Vec<_> = framed.lines().collect();
        assert_eq!(lines.len(), 6, "{framed}");
        assert!(lines.iter().all(|line| width(line) == width(lines[0])), "{framed}");
    }

    #[test]
    fn no_rows_have_no_header() {
        for format in [Format::Tabs, Format::Aligned, Format::Pretty, Format::Csv] {
            assert_eq!(render(format, &COLUMNS, &[], true), "", "{format:?}");
        }
        assert_eq!(render(Format::Json, &COLUMNS, &[], true), "[\n]\n");
    }
}
