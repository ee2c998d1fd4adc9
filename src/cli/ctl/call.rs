//! A command as it was called: its arguments, the broker that it speaks to, and what it says.

use std::{
    cell::OnceCell,
    io::{self, IsTerminal, Write},
    mem,
    time::Duration,
};

use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Answer, Ask, Client, NoAnswer},
    failure::{Failure, code},
    guise::Guise,
    help,
    options::Options,
    table::{self, Column, Format},
    target::{self, Target},
    verb::{self, Action, Verb},
};

/// How long a request may take if nobody says so.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A command as it was called.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) guise: Guise,
    pub(super) verb: &'static Verb,
    pub(super) arguments: Vec<String>,
    pub(super) options: Options,
    /// All words after the program's name.
    pub(super) words: Vec<String>,
    pub(super) client: Client,
    pub(super) format: Format,
    node: OnceCell<String>,
}

/// What became of a change that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// What was to be changed, or where, does not exist.
    Absent,
    /// It cannot be so, for this reason.
    Refused(String),
}

impl Outcome {
    /// Done, or a failure: this one if it does not exist.
    pub(super) fn or_absent(self, absent: impl FnOnce() -> Failure) -> Result<(), Failure> {
        match self {
            Self::Done => Ok(()),
            Self::Absent => Err(absent()),
            Self::Refused(reason) => Err(Failure::refused(reason)),
        }
    }
}

impl Call {
    pub(super) fn new(
        guise: Guise,
        verb: &'static Verb,
        arguments: Vec<String>,
        options: Options,
        words: Vec<String>,
    ) -> Result<Self, Failure> {
        let format = format(&options)?;
        let timeout = match options.number("timeout") {
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => Some(TIMEOUT),
        };
        let client = Client::new(Target::of(&options)?, timeout)?;
        let node = OnceCell::new();
        Ok(Self { guise, verb, arguments, options, words, client, format, node })
    }

    /// Makes sure that the broker is the node that was named, if one was: who means another must
    /// not change this one.
    pub(super) fn check_node(&mut self) -> Result<(), Failure> {
        let Some(named) = self.options.text("node").map(str::to_owned) else { return Ok(()) };
        let node = self.node()?;
        if is_same_node(&named, &node) {
            return Ok(());
        }
        let text = format!(
            "Error: unable to perform an operation on node '{named}': the broker at {} is node \
             '{node}'\n\n * Leave -n out, or name that node\n * Another machine's broker is \
             reached by its management API: --uri http://USER:PASSWORD@HOST:15672",
            self.client.target
        );
        Err(Failure::plain(code::UNAVAILABLE, text))
    }

    /// An argument that the command cannot do without.
    pub(super) fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// The vhost that the command is about.
    pub(super) fn vhost(&self) -> String {
        self.options.text("vhost").unwrap_or("/").to_owned()
    }

    // ---- what it says

    /// Says what is about to be done, unless only results are wanted.
    pub(super) fn banner(&self, text: impl AsRef<str>) {
        let is_unwanted = self.options.has("quiet") || self.options.has("silent");
        if !is_unwanted && !self.format.is_for_programs() {
            write(&format!("{}\n", text.as_ref()));
        }
    }

    /// Says how it went: to people, and to programs.
    pub(super) fn result(&self, text: impl AsRef<str>, value: &Value) {
        if self.format.is_json() {
            write(&format!("{value}\n"));
        } else {
            write(&format!("{}\n", text.as_ref()));
        }
    }

    /// Says a line, which programs get as a message.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.result(text, &json!({ "message": text }));
    }

    /// Says to programs that all went well; people are told nothing.
    pub(super) fn done(&mut self) -> Result<(), Failure> {
        if self.format.is_json() {
            let node = self.node()?;
            write(&format!("{}\n", json!({"node": node, "result": "ok"})));
        }
        Ok(())
    }

    /// Writes a list.
    pub(super) fn rows(&self, columns: &[Column], rows: &[Vec<Value>]) {
        let has_header = !self.options.has("silent") && !self.options.is_off("table-headers");
        write(&table::render(self.format, columns, rows, has_header));
    }

    // ---- what it asks

    /// The name of the broker's node.
    pub(super) fn node(&mut self) -> Result<String, Failure> {
        if let Some(node) = self.node.get() {
            return Ok(node.clone());
        }
        let overview = self.get(&["overview"])?.unwrap_or_default();
        let node = overview["node"].as_str().unwrap_or("rabbit@localhost").to_owned();
        Ok(self.node.get_or_init(|| node).clone())
    }

    /// The name that the node most likely has, for when it does not answer.
    pub(super) fn expected_node(&self) -> String {
        if let Some(node) = self.options.text("node") {
            return node.to_owned();
        }
        target::config(&self.options).map_or_else(|_| "rabbit@localhost".into(), |c| c.node())
    }

    /// What the management API has at this path; `None` if it is not there.
    pub(super) fn get(&mut self, path: &[&str]) -> Result<Option<Value>, Failure> {
        self.get_with(path, &[])
    }

    pub(super) fn get_with(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<Value>, Failure> {
        let answer = self.ask(Ask { query, ..Ask::get(path) })?;
        match answer.status {
            200 => json_of(&answer).map(Some),
            404 => Ok(None),
            _ => Err(Failure::refused(reason(&answer))),
        }
    }

    /// The list at this path; `None` if it is not there.
    pub(super) fn get_list(&mut self, path: &[&str]) -> Result<Option<Vec<Value>>, Failure> {
        Ok(match self.get(path)? {
            Some(Value::Array(items)) => Some(items),
            Some(_) => Some(Vec::new()),
            None => None,
        })
    }

    pub(super) fn put(&mut self, path: &[&str], body: &Value) -> Result<Outcome, Failure> {
        self.change(Ask { method: &Method::PUT, path, query: &[], body: Some(body), headers: &[] })
    }

    pub(super) fn post(&mut self, path: &[&str], body: &Value) -> Result<Outcome, Failure> {
        self.change(Ask { method: &Method::POST, path, query: &[], body: Some(body), headers: &[] })
    }

    pub(super) fn delete(&mut self, path: &[&str]) -> Result<Outcome, Failure> {
        self.change(Ask { method: &Method::DELETE, path, query: &[], body: None, headers: &[] })
    }

    /// What Lepus alone tells, and RabbitMQ's API has no words for.
    pub(super) fn get_of_lepus(&mut self, what: &str) -> Result<Value, Failure> {
        self.get(&["lepus", what])?.ok_or_else(|| Failure::no_lepus("tell"))
    }

    /// Asks for something that Lepus alone does.
    pub(super) fn put_to_lepus(&mut self, what: &str, body: &Value) -> Result<(), Failure> {
        self.put(&["lepus", what], body)?.or_absent(|| Failure::no_lepus("do that"))
    }

    /// Asks for a change.
    pub(super) fn change(&mut self, ask: Ask<'_>) -> Result<Outcome, Failure> {
        let answer = self.ask(ask)?;
        Ok(match answer.status {
            200..=299 => Outcome::Done,
            // RabbitMQ says 405 of a path that it does not have.
            404 | 405 => Outcome::Absent,
            _ => Outcome::Refused(reason(&answer)),
        })
    }

    /// Asks, and fails if the broker does not answer or does not let this user ask.
    pub(super) fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let answer = self.client.ask(ask).map_err(|none| self.unanswered(&none))?;
        match answer.status {
            403 => {
                let text =
                    format!("Error: {} refuses this: {}", self.client.target, reason(&answer));
                Err(Failure::plain(code::UNAVAILABLE, text))
            }
            401 => {
                let text = format!(
                    "Error: {} refuses this user: {}\n\n * Commands need the user of an \
                     administrator: --uri http://USER:PASSWORD@HOST:PORT",
                    self.client.target,
                    reason(&answer)
                );
                Err(Failure::plain(code::UNAVAILABLE, text))
            }
            _ => Ok(answer),
        }
    }

    /// What to say when no answer comes.
    pub(super) fn unanswered(&self, none: &NoAnswer) -> Failure {
        match none {
            NoAnswer::TimedOut(limit) => {
                Failure::timed_out(self.verb.name, &self.expected_node(), *limit)
            }
            NoAnswer::Unreachable(error) => {
                let node = self.expected_node();
                let place = &self.client.target;
                let text = help::unreachable(self.guise, &node, place, error);
                Failure::plain(code::UNAVAILABLE, text)
            }
            NoAnswer::Untrusted(error) => {
                let text = format!(
                    "Error: {} is not trusted: {error}\n\n * Name the authority that signed its \
                     certificate: --ca FILE (PEM), or LEPUS_CA",
                    self.client.target
                );
                Failure::plain(code::UNAVAILABLE, text)
            }
            NoAnswer::Broken(error) => {
                let text = format!("Error: {} gives no HTTP answer: {error}", self.client.target);
                Failure::plain(code::UNAVAILABLE, text)
            }
        }
    }

    /// Runs another command in place of this one, for a vhost or for none, with all columns if
    /// it writes a list.
    pub(super) fn run_other(&mut self, name: &str, vhost: Option<&str>) -> Result<(), Failure> {
        let Some(verb) = verb::find(Guise::Lepus, name) else { return Ok(()) };
        let arguments = match verb.action {
            Action::List(listing) if listing.is_choosable => {
                listing.fields.iter().map(|field| field.column.name.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        let own =
            (mem::replace(&mut self.verb, verb), mem::replace(&mut self.arguments, arguments));
        if let Some(vhost) = vhost {
            self.options.set("vhost", vhost);
        }
        let done = super::perform(self);
        (self.verb, self.arguments) = own;
        done
    }

    // ---- what was typed is wrong

    /// A failure that repeats what was typed and shows how it should be.
    pub(super) fn misused(&self, code: u8, problem: &str) -> Failure {
        Failure::plain(code, help::misused(self.guise, self.verb, &self.words, problem))
    }

    /// A failure because of an argument's value.
    pub(super) fn bad_argument(&self, problem: &str) -> Failure {
        self.misused(code::DATA, &format!("Bad argument: {problem}"))
    }
}

/// Whether a node's name is meant by one that may lack the host or its domain.
fn is_same_node(named: &str, node: &str) -> bool {
    let split = |name: &str| {
        let name = name.to_lowercase();
        let (name, host) = name.split_once('@').unwrap_or((&name, ""));
        (name.to_owned(), host.split('.').next().unwrap_or_default().to_owned())
    };
    let ((name, host), (own_name, own_host)) = (split(named), split(node));
    name == own_name && (host.is_empty() || host == own_host)
}

fn format(options: &Options) -> Result<Format, Failure> {
    if options.has("json") {
        return Ok(Format::PlainJson);
    }
    match options.text("formatter") {
        Some(name) => Format::named(&name.to_lowercase()).ok_or_else(|| {
            let text = format!("Error: no formatter {name:?}; there are {}", Format::NAMES);
            Failure::plain(code::USAGE, text)
        }),
        None if io::stdout().is_terminal() => Ok(Format::Aligned),
        None => Ok(Format::Tabs),
    }
}

/// Writes to standard output. Whoever closed it does not want to know.
pub(super) fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The JSON of an answer.
pub(super) fn json_of(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let text = format!("Error: the answer is no JSON ({error}); is it a management API?");
        Failure::plain(code::UNAVAILABLE, text)
    })
}

/// Why the broker refused: the reason that it gives, else the status.
pub(super) fn reason(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match &body["reason"] {
        Value::Null => format!("HTTP status {}", answer.status),
        Value::String(reason) => reason.trim_end().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_the_same_whatever_their_domain() {
        for named in ["rabbit@host", "rabbit", "rabbit@HOST.example.org", "rabbit@"] {
            assert!(is_same_node(named, "rabbit@host"), "{named}");
            assert!(is_same_node(named, "rabbit@host.example.com"), "{named}");
        }
        for named in ["rabbit@other", "hare@host", "", "host"] {
            assert!(!is_same_node(named, "rabbit@host"), "{named}");
        }
    }
}
