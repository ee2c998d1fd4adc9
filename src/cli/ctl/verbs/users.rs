//! Users, their passwords and their tags (EN-070, EN-071).

use std::{
    io::{self, BufRead, IsTerminal},
    process, thread,
};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use serde_json::{Value, json};
use tokio::runtime;

use super::super::{
    call::{self, Call},
    cell::Kind,
    failure::{Failure, code},
    options::{flag, text},
    verb::{Field, Listing, Section, Verb, field, from},
};
use crate::{
    auth::{HashingAlgorithm, PasswordHash},
    cli::failure::INTERRUPTED,
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "add_user",
        Section::Users,
        "<username> [<password>] [<password_hash> --pre-hashed-password]",
        "Creates a user, who has no permissions yet; asks for the password if it is not given",
        add_user,
    )
    .takes(1, 2)
    .with(&[flag("pre-hashed-password")]),
    Verb::new("delete_user", Section::Users, "<username>", "Deletes a user", delete_user)
        .takes(1, 1),
    Verb::new(
        "change_password",
        Section::Users,
        "<username> [<password>]",
        "Changes a user's password",
        change_password,
    )
    .takes(1, 2),
    Verb::new(
        "clear_password",
        Section::Users,
        "<username>",
        "Removes a user's password, so that it cannot be used to log in",
        clear_password,
    )
    .takes(1, 1),
    Verb::new(
        "authenticate_user",
        Section::Users,
        "<username> [<password>]",
        "Tells whether a user has this password",
        authenticate_user,
    )
    .takes(1, 2),
    Verb::new(
        "set_user_tags",
        Section::Users,
        "<username> <tag> [...]",
        "Sets a user's tags, such as administrator or monitoring; without any, takes all away",
        set_user_tags,
    )
    .takes(1, usize::MAX),
    Verb::list("list_users", Section::Users, "", "Lists users and their tags", &USERS),
    Verb::new(
        "hash_password",
        Section::Other,
        "<password> [--hashing-algorithm <algorithm>]",
        "Hashes a password, for definitions and for add_user --pre-hashed-password",
        hash_password,
    )
    .takes(0, 1)
    .with(&[text("hashing-algorithm")]),
];

const USERS: Listing = Listing {
    banner: |_| "Listing users ...".into(),
    fields: USER_FIELDS,
    defaults: &[],
    is_choosable: false,
    rows: |call| Ok(call.get_list(&["users"])?.unwrap_or_default()),
};

const USER_FIELDS: &[Field] = &[from("user", "name"), field("tags").kind(Kind::Words)];

fn add_user(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Adding user \"{user}\" ..."));
    let password = password(call)?;
    if call.get(&["users", &user])?.is_some() {
        let text = format!("User \"{user}\" already exists");
        return Err(Failure::error(code::SOFTWARE, text));
    }
    let body = if call.options.has("pre-hashed-password") {
        let is_hash = HashingAlgorithm::default();
        if PasswordHash::from_base64(is_hash, &password).is_none() {
            let text = "the hash is none that hash_password makes: base64 of a salt of four bytes \
                        and a SHA-256 digest";
            return Err(Failure::error(code::DATA, text));
        }
        json!({"password_hash": password, "tags": ""})
    } else {
        json!({"password": password, "tags": ""})
    };
    call.put(&["users", &user], &body)?.or_absent(|| Failure::no_user(&user))?;
    let tool = call.guise.name();
    let advice = format!(
        "Done. Don't forget to grant the user permissions to some virtual hosts! See '{tool} help \
         set_permissions' to learn more."
    );
    if call.format.is_json() {
        let node = call.node()?;
        call.result("", &json!({"message": advice, "node": node, "status": "ok"}));
    } else {
        call.banner(advice);
    }
    Ok(())
}

fn delete_user(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Deleting user \"{user}\" ..."));
    // Who does not exist is deleted already, as in RabbitMQ.
    let outcome = call.delete(&["users", &user])?;
    if outcome != call::Outcome::Absent {
        outcome.or_absent(|| Failure::no_user(&user))?;
    }
    call.done()
}

fn change_password(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Changing password for user \"{user}\" ..."));
    let password = password(call)?;
    if password.is_empty() {
        return Err(Failure::error(code::DATA, "Password cannot be blank; see clear_password"));
    }
    change_user(call, &user, |body| body["password"] = password.into())
}

fn clear_password(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Clearing password for user \"{user}\" ..."));
    change_user(call, &user, |body| body["password_hash"] = "".into())
}

fn set_user_tags(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    let tags: Vec<_> = call.arguments[1..].iter().flat_map(|word| word.split(',')).collect();
    let tags: Vec<_> = tags.into_iter().map(str::trim).filter(|tag| !tag.is_empty()).collect();
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    call.banner(format!("Setting tags for user \"{user}\" to [{}] ...", tags.join(", ")));
    let Some(known) = call.get(&["users", &user])? else {
        return Err(Failure::no_user(&user));
    };
    let body = json!({
        "password_hash": known["password_hash"],
        "hashing_algorithm": known["hashing_algorithm"],
        "tags": tags,
    });
    call.put(&["users", &user], &body)?.or_absent(|| Failure::no_user(&user))?;
    call.done()
}

/// Sets something of a user, who keeps the tags.
fn change_user(
    call: &mut Call,
    user: &str,
    change: impl FnOnce(&mut Value),
) -> Result<(), Failure> {
    let Some(known) = call.get(&["users", user])? else { return Err(Failure::no_user(user)) };
    let mut body = json!({"tags": known["tags"]});
    change(&mut body);
    call.put(&["users", user], &body)?.or_absent(|| Failure::no_user(user))?;
    call.done()
}

fn authenticate_user(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Authenticating user \"{user}\" ..."));
    let password = password(call)?;
    let answer = call.client.authenticate(&user, &password);
    let answer = answer.map_err(|none| call.unanswered(&none))?;
    // Who may log in and may not use the management API has the right password, too (HT-003).
    let is_right = answer.status == 200 || call::reason(&answer) == "Not management user";
    if is_right {
        call.say("Success");
        return Ok(());
    }
    let text = format!(
        "Error: failed to authenticate user \"{user}\"\nuser '{user}' - invalid credentials"
    );
    Err(Failure::error(code::DATA, text))
}

/// The password behind the user's name, else a line from standard input.
fn password(call: &Call) -> Result<String, Failure> {
    if let Some(password) = call.arguments.get(1) {
        return Ok(password.clone());
    }
    read_password()
}

fn read_password() -> Result<String, Failure> {
    let silence = io::stdin().is_terminal().then(Silence::begin);
    if silence.is_some() {
        call::write("Password: ");
    }
    let mut line = String::new();
    let missing = || Failure::error(code::DATA, "Password is not provided via argument or stdin");
    io::stdin().lock().read_line(&mut line).map_err(|_| missing())?;
    if silence.is_some() {
        call::write("\n");
    }
    drop(silence);
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(missing()) } else { Ok(password.to_owned()) }
}

/// The terminal shows nothing of what is typed while this lives.
struct Silence(Option<Termios>);

impl Silence {
    fn begin() -> Self {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            // If it cannot be, the password is seen by whoever types it, and by nobody else.
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &silent);
        }
        let silence = Self(before);
        silence.end_at_interrupt();
        silence
    }

    /// A terminal that stays silent after Ctrl-C would be of little use.
    fn end_at_interrupt(&self) {
        let Some(before) = self.0.clone() else { return };
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let interrupted = runtime.map(|runtime| runtime.block_on(tokio::signal::ctrl_c()));
            if matches!(interrupted, Ok(Ok(()))) {
                drop(Self(Some(before)));
                process::exit(INTERRUPTED);
            }
        });
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn hash_password(call: &mut Call) -> Result<(), Failure> {
    let password = match call.arguments.first() {
        Some(password) => password.clone(),
        None => read_password()?,
    };
    if let Some(name) = call.options.text("hashing-algorithm") {
        let default = HashingAlgorithm::default().as_str();
        let short = default.trim_start_matches("rabbit_password_hashing_");
        if ![default, short].contains(&name.to_lowercase().replace('-', "").as_str()) {
            return Err(call.bad_argument(&format!("passwords are hashed by {short} alone")));
        }
    }
    call.banner("Will hash the password");
    let hash = PasswordHash::new(password.as_bytes()).map_err(|error| {
        Failure::refused(format!("the operating system gives no random numbers: {error}"))
    })?;
    call.say(hash.to_base64());
    Ok(())
}
