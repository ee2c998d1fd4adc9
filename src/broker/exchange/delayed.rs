//! `x-delayed-message`: another type, whose messages first wait as long as they say (EX-097..101).

use std::{sync::Arc, time::Duration};

use super::{BindingRef, ExchangeType, Fittings, HeaderValue, Matches, Tap, View, make};
use crate::{
    broker::{
        Error,
        arguments::{self, QueueType},
        delay::DelayLog,
        error::{ExchangeFault, Kind},
        log::Backing,
    },
    wire::table::{RawValue, Table},
};

/// The header that says how long, in milliseconds.
pub(in crate::broker) const HEADER: &[u8] = b"x-delay";
/// The longest delay; what is beyond is none (EX-098).
const MILLIS_MAX: i64 = u32::MAX as i64;

/// A delayed exchange.
#[derive(Debug)]
pub(super) struct Delayed {
    inner: Box<dyn ExchangeType>,
    log: Option<Arc<DelayLog>>,
}

impl Delayed {
    pub(super) fn new(arguments: &Table) -> Result<Self, Error> {
        let inner = match arguments::text(arguments, "x-delayed-type") {
            None => return Err(ExchangeFault::NoDelayedType.into()),
            Some("x-delayed-message") => return Err(ExchangeFault::DelayedTwice.into()),
            Some(type_name) => make(type_name, arguments)?,
        };
        Ok(Self { inner, log: None })
    }
}

/// How long a message is to wait, if at all (EX-098).
fn delay(message: &View<'_>) -> Option<Duration> {
    let millis = match message.header(HEADER)? {
        HeaderValue::Int(millis) => millis,
        HeaderValue::Timestamp(millis) => i64::try_from(millis).ok()?,
        HeaderValue::Float(bits) => f64::from_bits(bits) as i64,
        HeaderValue::Bytes(digits) => integer(digits)?,
        _ => return None,
    };
    (1..=MILLIS_MAX).contains(&millis).then(|| Duration::from_millis(millis.unsigned_abs()))
}

fn integer(digits: &[u8]) -> Option<i64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// A delay as a number.
pub(in crate::broker) fn millis(value: RawValue<'_>) -> Option<i64> {
    match value {
        RawValue::F32(millis) => Some(millis as i64),
        RawValue::F64(millis) => Some(millis as i64),
        RawValue::Timestamp(millis) => i64::try_from(millis).ok(),
        RawValue::LongStr(digits) | RawValue::Bytes(digits) => integer(digits),
        other => other.as_int(),
    }
}

impl ExchangeType for Delayed {
    fn check_binding(&self, key: &[u8], arguments: &Table) -> Result<(), Error> {
        self.inner.check_binding(key, arguments)
    }

    fn check_destination(&self, kind: Kind, queue_type: Option<QueueType>) -> Result<(), Error> {
        self.inner.check_destination(kind, queue_type)
    }

    fn needs_log(&self) -> bool {
        true
    }

    fn fit(&mut self, fittings: &Fittings<'_>) {
        let inner =
            Fittings { backing: fittings.backing.as_ref().map(Backing::inner), ..fittings.clone() };
        self.inner.fit(&inner);
        let backing = fittings.backing.clone();
        self.log = backing.map(|backing| DelayLog::open(fittings.name, backing));
    }

    fn end(&mut self) {
        self.inner.end();
        if let Some(log) = self.log.take() {
            log.close();
        }
    }

    fn waiting_count(&self) -> Option<u64> {
        self.log.as_ref().map(|log| log.count())
    }

    fn bind(&mut self, binding: BindingRef<'_>) {
        self.inner.bind(binding);
    }

    fn unbind(&mut self, binding: BindingRef<'_>) {
        self.inner.unbind(binding);
    }

    fn route(&self, message: &View<'_>, out: &mut Matches) {
        match (&self.log, delay(message)) {
            (Some(log), Some(delay)) => {
                out.taps.push(Tap::Delay { log: Arc::clone(log), delay });
                out.is_kept = true;
            }
            _ => self.inner.route(message, out),
        }
    }

    fn is_cacheable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::table::{LongString, ShortString, Value};

    fn table(name: &str, value: Value) -> Table {
        let mut table = Table::default();
        table.insert(ShortString::from(name), value);
        table
    }

    fn text(text: &str) -> Value {
        Value::LongString(LongString::from(text))
    }

    // EX-098
    #[test]
    fn delays_are_numbers_of_any_kind_above_zero() {
        for (value, millis) in [
            (Value::ShortShortInt(5), Some(5)),
            (Value::ShortUInt(5), Some(5)),
            (Value::LongInt(5000), Some(5000)),
            (Value::LongLongInt(MILLIS_MAX), Some(u64::from(u32::MAX))),
            (Value::LongLongInt(MILLIS_MAX + 1), None),
            (Value::LongInt(0), None),
            (Value::LongInt(-5), None),
            (Value::Double(7.9), Some(7)),
            (Value::Float(f32::NAN), None),
            (text("250"), Some(250)),
            (text("soon"), None),
            (text("1.5"), None),
            (Value::Boolean(true), None),
            (Value::Void, None),
        ] {
            let headers = table("x-delay", value.clone());
            let found = delay(&View::new(&[b""], Some(&headers)));
            assert_eq!(found, millis.map(Duration::from_millis), "{value:?}");
        }
        assert_eq!(delay(&View::new(&[b""], None)), None);
    }

    // EX-097
    #[test]
    fn the_type_of_a_delayed_exchange_must_exist() {
        let refused = |arguments: &Table| Delayed::new(arguments).unwrap_err().to_string();
        let must = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
        assert_eq!(refused(&Table::default()), must);
        assert_eq!(refused(&table("x-delayed-type", Value::LongInt(1))), must);
        assert_eq!(
            refused(&table("x-delayed-type", text("x-delayed-message"))),
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
        );
        let unknown = refused(&table("x-delayed-type", text("foo")));
        assert_eq!(unknown, "unknown exchange type 'foo'");
        assert!(Delayed::new(&table("x-delayed-type", text("x-random"))).is_ok());
    }
}
