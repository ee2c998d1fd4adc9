//! Definitions, out and in (EN-075).

use std::fs;

use serde_json::{Value as Json, json};

use super::*;
use crate::harness::*;

/// A file with a user, a vhost and a queue.
fn write_definitions(path: &Path) {
    let definitions = json!({
        "users": [{
            "name": "joe",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
        }],
        "vhosts": [{"name": "v"}],
        "permissions":
            [{"user": "joe", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [
            {"name": "q", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {}},
        ],
    });
    fs::write(path, definitions.to_string()).unwrap();
}

#[test]
fn definitions_are_exported_and_imported() {
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("q1").durable().arg("x-max-length", 5));
    let file = desk.home.path().join("definitions.json");
    let path = file.to_str().unwrap();
    desk.ctl(&["export_definitions", path])
        .is(&format!("Exporting definitions in JSON to a file at \"{path}\" ...\n"));
    let exported: Json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(exported["queues"][0]["name"], "q1");
    let said = desk.ctl(&["export_definitions", "-"]);
    assert_eq!(said.json()["users"], exported["users"]);

    let other = Desk::new();
    let said = other.ctl(&["import_definitions", path]);
    assert!(said.out.starts_with("Importing definitions in JSON from a file at"), "{said:?}");
    assert_eq!((said.err.as_str(), said.code), ("", 0));
    let said = other.ctl(&["-s", "list_queues", "name", "arguments"]);
    assert_contains(&said.out, &["q1\t[{\"x-max-length\",5}"]);
    let mut command = lepus(other.home.path(), &["ctl", "-q", "import_definitions"]);
    let said = Said::from(command.stdin(fs::File::open(&file).unwrap()).output().unwrap());
    said.is("");
}

#[test]
fn definitions_that_make_no_sense_change_nothing() {
    let desk = Desk::new();
    let file = desk.home.path().join("definitions.json");
    let path = file.to_str().unwrap();
    let import = |text: &str| {
        fs::write(&file, text).unwrap();
        desk.ctl(&["-q", "import_definitions", path])
    };
    for (text, words) in [
        ("{bad", "is no JSON: "),
        ("[]", "a JSON object"),
        ("{\"vhosts\": [{\"name\": \"v\"}], \"queues\": [{\"name\": 7}]}", "queues[0]"),
    ] {
        let said = import(text);
        assert_contains(&said.err, &["Error:\n", words]);
        assert_eq!(said.code, 65, "{said:?}");
        desk.ctl(&["-s", "list_vhosts"]).is("/\n");
    }
    assert_eq!(desk.ctl(&["import_definitions", "--format", "erlang", path]).code, 64);
    assert_eq!(desk.ctl(&["export_definitions", "/no/such/directory/file"]).code, 65);
    assert_eq!(desk.ctl(&["import_definitions", desk.home.path().to_str().unwrap()]).code, 65);
}

#[test]
fn a_reset_imports_what_a_start_does() {
    // EN-002, EN-044.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("definitions.json");
    write_definitions(&file);
    let desk = Desk::with_variables(&[("LEPUS_LOAD_DEFINITIONS", file.to_str().unwrap())]);
    let as_new = || {
        desk.ctl(&["-s", "list_users"]).is("joe\t[administrator]\n");
        desk.ctl(&["-s", "list_vhosts"]).is("v\n");
        desk.ctl(&["-s", "-p", "v", "list_queues"]).is("q\t0\n");
        desk.ctl(&["-q", "authenticate_user", "joe", "test12"]).is("Success\n");
    };
    as_new();
    assert_eq!(desk.ctl(&["-q", "delete_queue", "-p", "v", "q"]).code, 0);
    desk.ctl(&["-q", "add_vhost", "w"]).is("");
    desk.ctl(&["-q", "stop_app"]).is("");
    // A file that makes no sense keeps what there is.
    fs::write(&file, "{bad").unwrap();
    let said = desk.ctl(&["-q", "reset"]);
    assert_contains(&said.err, &[file.to_str().unwrap()]);
    assert_eq!(said.code, 69);
    desk.ctl(&["-s", "list_vhosts"]).is("v\nw\n");
    write_definitions(&file);
    desk.ctl(&["-q", "reset"]).is("");
    desk.ctl(&["-q", "start_app"]).is("");
    as_new();
}
