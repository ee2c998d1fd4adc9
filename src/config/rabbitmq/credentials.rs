//! `credential_validator.*`: what new passwords must be like. One key says which of the others
//! count.

use super::{
    apply::{Entries, refused},
    syntax::Entry,
};
use crate::config::{Error, Setting, loaded::Loaded, value::Written};

const BACKEND: &str = "credential_validator.validation_backend";
const LENGTH: &str = "rabbit_credential_validator_min_password_length";
const PATTERN: &str = "rabbit_credential_validator_password_regexp";
const NONE: &str = "rabbit_credential_validator_accept_everything";

/// The length that is asked for where none is said.
const LENGTH_BY_DEFAULT: &str = "5";

/// Whether a key is one of these, and they are understood.
pub(super) fn is_understood(entries: &Entries, key: &str) -> bool {
    let backend = entries.get(BACKEND);
    key.starts_with("credential_validator.")
        && backend.is_some_and(|entry| [LENGTH, PATTERN, NONE].contains(&entry.value.as_str()))
}

/// Gives the settings what is said.
pub(super) fn apply(entries: &Entries, loaded: &mut Loaded) -> Result<(), Error> {
    let Some(backend) = entries.get(BACKEND) else { return Ok(()) };
    let (setting, key) = match backend.value.as_str() {
        LENGTH => ("password_length_min", "credential_validator.min_length"),
        PATTERN => ("password_pattern", "credential_validator.regexp"),
        _ => return Ok(()),
    };
    let found = entries.get(key);
    let Entry { origin, .. } = found.unwrap_or(backend);
    let value = match found {
        Some(entry) => entry.value.as_str(),
        None if backend.value == LENGTH => LENGTH_BY_DEFAULT,
        None => {
            let expected = format!("to go with `{key}`, which is missing");
            return Err(refused(origin, BACKEND, PATTERN, expected));
        }
    };
    let set = loaded.set(Setting::named(setting, origin)?, &Written::One(value.into()), origin);
    set.map_err(|error| match error {
        Error::BadValue { expected, .. } => refused(origin, key, value, expected),
        other => other,
    })
}
