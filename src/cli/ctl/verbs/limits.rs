//! Limits of vhosts and of users (EN-072).

use serde_json::{Map, Value, json};

use super::super::{
    call::Call,
    cell::Kind,
    failure::Failure,
    options::{Switch, flag, text},
    table::Column,
    verb::{Section, Verb},
};

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new(
        "set_vhost_limits",
        Section::Vhosts,
        "[--vhost <vhost>] <definition>",
        "Sets a vhost's limits, such as '{\"max-connections\": 100, \"max-queues\": 10}'",
        set_vhost_limits,
    )
    .takes(1, 1),
    Verb::new(
        "clear_vhost_limits",
        Section::Vhosts,
        "[--vhost <vhost>]",
        "Takes a vhost's limits away",
        clear_vhost_limits,
    ),
    Verb::new(
        "list_vhost_limits",
        Section::Vhosts,
        "[--vhost <vhost>] [--global] [--no-table-headers]",
        "Lists a vhost's limits, or those of all vhosts",
        list_vhost_limits,
    )
    .with(&[flag("global")]),
    Verb::new(
        "set_user_limits",
        Section::Users,
        "<username> <definition>",
        "Sets a user's limits, such as '{\"max-connections\": 10, \"max-channels\": 100}'",
        set_user_limits,
    )
    .takes(2, 2),
    Verb::new(
        "clear_user_limits",
        Section::Users,
        "<username> <limit_type> | all",
        "Takes one of a user's limits away, or all",
        clear_user_limits,
    )
    .takes(2, 2),
    Verb::new(
        "list_user_limits",
        Section::Users,
        "[--user <username>] [--global]",
        "Lists a user's limits [guest], or those of all users",
        list_user_limits,
    )
    .with(USER_AND_GLOBAL),
];

const USER_AND_GLOBAL: &[Switch] = &[text("user"), flag("global")];

/// Reads the limits that were typed.
fn definition(text: &str) -> Result<Map<String, Value>, Failure> {
    let no_json =
        |error: String| Failure::refused(format!("Could not parse JSON document: {error}: {text}"));
    match serde_json::from_str(text) {
        Ok(Value::Object(limits)) => Ok(limits),
        Ok(_) => Err(no_json("it is no object".into())),
        Err(error) => Err(no_json(error.to_string())),
    }
}

/// The limits in what the management API says about one vhost or user.
fn of_one(list: Option<Vec<Value>>) -> Option<Map<String, Value>> {
    let first = list?.into_iter().next().unwrap_or_default();
    Some(first["value"].as_object().cloned().unwrap_or_default())
}

fn set_vhost_limits(call: &mut Call) -> Result<(), Failure> {
    let (text, vhost) = (call.argument(0).to_owned(), call.vhost());
    call.banner(format!("Setting vhost limits to \"{text}\" for vhost \"{vhost}\" ..."));
    let limits = definition(&text)?;
    let absent = || Failure::no_vhost(&vhost);
    let known = of_one(call.get_list(&["vhost-limits", &vhost])?).ok_or_else(absent)?;
    for (name, value) in &limits {
        let outcome = call.put(&["vhost-limits", &vhost, name], &json!({"value": value}))?;
        outcome.or_absent(absent)?;
    }
    // The command sets all of them, so those that it does not name end.
    for name in known.keys().filter(|name| !limits.contains_key(*name)) {
        call.delete(&["vhost-limits", &vhost, name])?;
    }
    call.done()
}

fn clear_vhost_limits(call: &mut Call) -> Result<(), Failure> {
    let vhost = call.vhost();
    call.banner(format!("Clearing vhost \"{vhost}\" limits ..."));
    let known = of_one(call.get_list(&["vhost-limits", &vhost])?);
    for name in known.ok_or_else(|| Failure::no_vhost(&vhost))?.keys() {
        call.delete(&["vhost-limits", &vhost, name])?;
    }
    call.done()
}

fn list_vhost_limits(call: &mut Call) -> Result<(), Failure> {
    if call.options.has("global") {
        call.banner("Listing limits for all vhosts ...");
        let list = call.get_list(&["vhost-limits"])?.unwrap_or_default();
        show_all(call, "vhost", &list);
        return Ok(());
    }
    let vhost = call.vhost();
    call.banner(format!("Listing limits for vhost \"{vhost}\" ..."));
    let limits = of_one(call.get_list(&["vhost-limits", &vhost])?);
    show_one(call, limits.ok_or_else(|| Failure::no_vhost(&vhost))?);
    Ok(())
}

fn set_user_limits(call: &mut Call) -> Result<(), Failure> {
    let (user, text) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    call.banner(format!("Setting user limits to \"{text}\" for user \"{user}\" ..."));
    let limits = definition(&text)?;
    check_user(call, &user)?;
    for (name, value) in &limits {
        let outcome = call.put(&["user-limits", &user, name], &json!({"value": value}))?;
        outcome.or_absent(|| Failure::no_user(&user))?;
    }
    call.done()
}

fn clear_user_limits(call: &mut Call) -> Result<(), Failure> {
    let (user, limit) = (call.argument(0).to_owned(), call.argument(1).to_owned());
    call.banner(match limit.as_str() {
        "all" => format!("Clearing all limits for user \"{user}\" ..."),
        limit => format!("Clearing \"{limit}\" limit for user \"{user}\" ..."),
    });
    check_user(call, &user)?;
    let known = of_one(call.get_list(&["user-limits", &user])?).unwrap_or_default();
    for name in known.keys().filter(|name| limit == "all" || limit == **name) {
        call.delete(&["user-limits", &user, name])?;
    }
    call.done()
}

fn check_user(call: &mut Call, user: &str) -> Result<(), Failure> {
    match call.get(&["users", user])? {
        Some(_) => Ok(()),
        None => Err(Failure::no_user(user)),
    }
}

fn list_user_limits(call: &mut Call) -> Result<(), Failure> {
    if call.options.has("global") {
        call.banner("Listing limits for all users ...");
        let list = call.get_list(&["user-limits"])?.unwrap_or_default();
        show_all(call, "user", &list);
        return Ok(());
    }
    let user = call.options.text("user").unwrap_or("guest").to_owned();
    call.banner(format!("Listing limits for user \"{user}\" ..."));
    let limits = of_one(call.get_list(&["user-limits", &user])?);
    show_one(call, limits.ok_or_else(|| Failure::no_user(&user))?);
    Ok(())
}

fn show_one(call: &Call, limits: Map<String, Value>) {
    let limits = Value::Object(limits);
    call.result(limits.to_string(), &limits);
}

fn show_all(call: &Call, whose: &'static str, list: &[Value]) {
    let columns = [
        Column { name: whose, kind: Kind::Plain },
        Column { name: "limits", kind: Kind::Document },
    ];
    let rows: Vec<_> =
        list.iter().map(|item| vec![item[whose].clone(), item["value"].clone()]).collect();
    call.rows(&columns, &rows);
}
