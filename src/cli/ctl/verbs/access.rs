//! Permissions, of users on a vhost's objects and on the topics of its exchanges (EN-072).

use serde_json::{Value, json};

use super::super::{
    call::{Call, Outcome},
    failure::{Failure, code},
    verb::{Field, Listing, Section, Verb, field},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "set_permissions",
        Section::Access,
        "[--vhost <vhost>] <username> <conf> <write> <read>",
        "Lets a user into a vhost, to configure, write to and read from what these patterns match",
        set_permissions,
    )
    .takes(4, 4),
    Verb::new(
        "set_permissions_globally",
        Section::Access,
        "<username> <conf> <write> <read>",
        "Does so for all vhosts that there are",
        set_permissions_globally,
    )
    .takes(4, 4),
    Verb::new(
        "clear_permissions",
        Section::Access,
        "[--vhost <vhost>] <username>",
        "Takes a user's permissions in a vhost away",
        clear_permissions,
    )
    .takes(1, 1),
    Verb::new(
        "set_topic_permissions",
        Section::Access,
        "[--vhost <vhost>] <username> <exchange> <write> <read>",
        "Sets with which routing keys a user may publish to a topic exchange and bind to it",
        set_topic_permissions,
    )
    .takes(4, 4),
    Verb::new(
        "clear_topic_permissions",
        Section::Access,
        "[--vhost <vhost>] <username> [<exchange>]",
        "Takes a user's topic permissions away, on one exchange or on all of the vhost",
        clear_topic_permissions,
    )
    .takes(1, 2),
    Verb::list(
        "list_permissions",
        Section::Access,
        "[--vhost <vhost>] [--no-table-headers]",
        "Lists the permissions in a vhost",
        &PERMISSIONS,
    ),
    Verb::list(
        "list_user_permissions",
        Section::Access,
        "[--no-table-headers] <username>",
        "Lists a user's permissions in all vhosts",
        &USER_PERMISSIONS,
    )
    .takes(1, 1),
    Verb::list(
        "list_topic_permissions",
        Section::Access,
        "[--vhost <vhost>] [--no-table-headers]",
        "Lists the topic permissions in a vhost",
        &TOPIC_PERMISSIONS,
    ),
    Verb::list(
        "list_user_topic_permissions",
        Section::Access,
        "[--no-table-headers] <username>",
        "Lists a user's topic permissions in all vhosts",
        &USER_TOPIC_PERMISSIONS,
    )
    .takes(1, 1),
];

const USER: Field = field("user");
const VHOST: Field = field("vhost");
const EXCHANGE: Field = field("exchange");
const CONFIGURE: Field = field("configure");
const WRITE: Field = field("write");
const READ: Field = field("read");

const PERMISSIONS: Listing = Listing {
    banner: |call| format!("Listing permissions for vhost \"{}\" ...", call.vhost()),
    fields: &[USER, CONFIGURE, WRITE, READ],
    defaults: &[],
    is_choosable: false,
    rows: |call| of_vhost(call, "permissions"),
};

const USER_PERMISSIONS: Listing = Listing {
    banner: |call| format!("Listing permissions for user \"{}\" ...", call.argument(0)),
    fields: &[VHOST, CONFIGURE, WRITE, READ],
    defaults: &[],
    is_choosable: false,
    rows: |call| of_user(call, "permissions"),
};

const TOPIC_PERMISSIONS: Listing = Listing {
    banner: |call| format!("Listing topic permissions for vhost \"{}\" ...", call.vhost()),
    fields: &[USER, EXCHANGE, WRITE, READ],
    defaults: &[],
    is_choosable: false,
    rows: |call| of_vhost(call, "topic-permissions"),
};

const USER_TOPIC_PERMISSIONS: Listing = Listing {
    banner: |call| format!("Listing topic permissions for user \"{}\" ...", call.argument(0)),
    fields: &[VHOST, EXCHANGE, WRITE, READ],
    defaults: &[],
    is_choosable: false,
    rows: |call| of_user(call, "topic-permissions"),
};

fn of_vhost(call: &mut Call, what: &str) -> Result<Vec<Value>, Failure> {
    let vhost = call.vhost();
    call.get_list(&["vhosts", &vhost, what])?.ok_or_else(|| Failure::no_vhost(&vhost))
}

fn of_user(call: &mut Call, what: &str) -> Result<Vec<Value>, Failure> {
    let user = call.argument(0).to_owned();
    call.get_list(&["users", &user, what])?.ok_or_else(|| Failure::no_user(&user))
}

fn set_permissions(call: &mut Call) -> Result<(), Failure> {
    let (user, vhost) = (call.argument(0).to_owned(), call.vhost());
    call.banner(format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ..."));
    check_user_and_vhost(call, &user, Some(&vhost))?;
    set_in(call, &user, &vhost)?;
    call.done()
}

fn set_permissions_globally(call: &mut Call) -> Result<(), Failure> {
    let user = call.argument(0).to_owned();
    call.banner(format!("Setting permissions for user \"{user}\" in all virtual hosts ..."));
    check_user_and_vhost(call, &user, None)?;
    for vhost in call.get_list(&["vhosts"])?.unwrap_or_default() {
        set_in(call, &user, vhost["name"].as_str().unwrap_or_default())?;
    }
    call.done()
}

fn set_in(call: &mut Call, user: &str, vhost: &str) -> Result<(), Failure> {
    let body = json!({
        "configure": call.argument(1),
        "write": call.argument(2),
        "read": call.argument(3),
    });
    call.put(&["permissions", vhost, user], &body)?.or_absent(|| Failure::no_vhost(vhost))
}

/// The management API tells in one word that either does not exist; people want to know which.
fn check_user_and_vhost(call: &mut Call, user: &str, vhost: Option<&str>) -> Result<(), Failure> {
    if call.get(&["users", user])?.is_none() {
        let text = format!("User {user} does not exist");
        return Err(Failure::error(code::NO_USER, text));
    }
    match vhost {
        Some(vhost) if call.get(&["vhosts", vhost])?.is_none() => {
            Err(Failure::refused(format!("Virtual host {vhost} does not exist")))
        }
        _ => Ok(()),
    }
}

fn clear_permissions(call: &mut Call) -> Result<(), Failure> {
    let (user, vhost) = (call.argument(0).to_owned(), call.vhost());
    call.banner(format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ..."));
    clear(call, &["permissions", &vhost, &user])
}

fn set_topic_permissions(call: &mut Call) -> Result<(), Failure> {
    let (user, vhost) = (call.argument(0).to_owned(), call.vhost());
    let exchange = call.argument(1).to_owned();
    call.banner(format!(
        "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
    ));
    check_user_and_vhost(call, &user, Some(&vhost))?;
    let body = json!({
        "exchange": exchange,
        "write": call.argument(2),
        "read": call.argument(3),
    });
    let outcome = call.put(&["topic-permissions", &vhost, &user], &body)?;
    outcome.or_absent(|| Failure::no_vhost(&vhost))?;
    call.done()
}

fn clear_topic_permissions(call: &mut Call) -> Result<(), Failure> {
    let (user, vhost) = (call.argument(0).to_owned(), call.vhost());
    if let Some(exchange) = call.arguments.get(1).cloned() {
        call.banner(format!(
            "Clearing topic permissions on \"{exchange}\" for user \"{user}\" in vhost \
             \"{vhost}\" ..."
        ));
        return clear(call, &["topic-permissions", &vhost, &user, &exchange]);
    }
    call.banner(format!("Clearing topic permissions for user \"{user}\" in vhost \"{vhost}\" ..."));
    clear(call, &["topic-permissions", &vhost, &user])
}

/// Takes permissions away. Those that are not there are taken away already, of a user and a vhost
/// that exist.
fn clear(call: &mut Call, path: &[&str]) -> Result<(), Failure> {
    match call.delete(path)? {
        Outcome::Done => {}
        Outcome::Absent => check_user_and_vhost(call, path[2], Some(path[1]))?,
        Outcome::Refused(reason) => return Err(Failure::refused(reason)),
    }
    call.done()
}
