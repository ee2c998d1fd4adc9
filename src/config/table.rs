//! The machinery behind the table of settings in [`super`]: one row makes a field of [`Config`],
//! its default, its limit, its documentation and its entry in [`Setting::ALL`].

use super::{Config, Error, Origin, likeness::distance, value::Written};

/// One setting, as a row that can be looked at.
#[derive(Debug)]
pub struct Setting {
    /// Its name: in the file as it is, in the environment `LEPUS_` and the name in capitals.
    pub key: &'static str,
    /// What it is for, line by line.
    pub doc: &'static [&'static str],
    /// What may be written, with its limits.
    pub expected: fn() -> String,
    /// Its value in a configuration, as TOML.
    pub show: fn(&Config) -> String,
    /// Whether its value is kept out of messages.
    pub is_secret: bool,
    pub(super) set: fn(&mut Config, &Written) -> bool,
}

impl Setting {
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|setting| setting.key == key)
    }

    /// The setting of this name, or the error that there is none.
    pub(super) fn named(key: &str, origin: &Origin) -> Result<&'static Self, Error> {
        Self::find(key).ok_or_else(|| Error::UnknownKey {
            origin: origin.clone(),
            key: key.into(),
            nearest: Self::nearest(key),
        })
    }

    /// The setting whose name is most like `key`, if one is alike enough to be meant.
    pub(super) fn nearest(key: &str) -> Option<&'static str> {
        let (likeness, nearest) = Self::ALL
            .iter()
            .map(|setting| (distance(key, setting.key), setting.key))
            .min_by_key(|(distance, _)| *distance)?;
        (likeness <= 1 + key.len() / 4).then_some(nearest)
    }

    pub(super) fn apply(
        &self,
        config: &mut Config,
        written: &Written,
        origin: &Origin,
    ) -> Result<(), Error> {
        if (self.set)(config, written) {
            return Ok(());
        }
        let value = if self.is_secret { "that".into() } else { written.to_string() };
        Err(self.refused(origin, value))
    }

    pub(super) fn refused(&self, origin: &Origin, value: String) -> Error {
        let (origin, key) = (origin.clone(), self.key.into());
        Error::BadValue { origin, key, value, expected: (self.expected)() }
    }
}

/// Makes `Config`, its defaults and the list of settings of one table. A row is
/// `name: Type = default;` or `name: Type = default, limit;`.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(, $limit:expr)?;)*) => {
        /// Every setting of the broker. Fields may be changed freely before the start; a
        /// configuration that is read from file and environment has been held to its limits.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = concat!("Default `", stringify!($default), "`"
                    $(, ", limit `", stringify!($limit), "`")?, ".")]
                pub $key: $type,
            )*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default),* }
            }
        }

        impl Setting {
            /// All settings, in the order of `config/lepus.toml`.
            pub const ALL: &'static [Self] = &[$(Self {
                key: stringify!($key),
                doc: &[$($doc),+],
                expected: || {
                    let kind = <$type as Value>::kind();
                    $(let kind = kind + &Limit::<$type>::describe(&$limit);)?
                    kind
                },
                show: |config| config.$key.show_toml(),
                is_secret: <$type as Value>::IS_SECRET,
                set: |config, written| {
                    let Some(value) = <$type as Value>::read_written(written) else { return false };
                    $(if !Limit::<$type>::allows(&$limit, &value) { return false; })?
                    config.$key = value;
                    true
                },
            }),*];
        }
    };
}

pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(Setting::nearest("amqp_prot"), Some("amqp_port"));
        assert_eq!(Setting::nearest("framemax"), Some("frame_max"));
        assert_eq!(Setting::nearest("colour_of_the_sky"), None);
    }
}
