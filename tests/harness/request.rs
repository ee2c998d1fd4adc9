//! The methods that a client sends, written as a test reads best: `queue("q").durable()`.

use super::wire::{
    Frame, HEADER, METHOD, Properties, Table, Value, Writer, method_flags, method_name,
};

/// A method with its arguments: fixed fields, then flags, then a table where the method has one.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: (u16, u16),
    fields: Writer,
    flags: u8,
    table: Option<Table>,
}

impl Request {
    pub(crate) fn new(id: (u16, u16), fields: Writer) -> Self {
        Self { id, fields, flags: 0, table: None }
    }

    fn with_table(mut self) -> Self {
        self.table = Some(Table::new());
        self
    }

    pub(crate) fn flag(mut self, name: &str, is_set: bool) -> Self {
        let position = method_flags(self.id).iter().position(|flag| *flag == name);
        let bit = position.unwrap_or_else(|| panic!("{} has no {name}", method_name(self.id)));
        self.flags = (self.flags & !(1 << bit)) | (u8::from(is_set) << bit);
        self
    }

    pub(crate) fn arg(mut self, key: &str, value: impl Into<Value>) -> Self {
        let table = self.table.take().expect("the method has arguments");
        self.table = Some(table.with(key, value));
        self
    }

    pub(crate) fn args(mut self, table: Table) -> Self {
        assert!(self.table.is_some(), "{} has no arguments", method_name(self.id));
        self.table = Some(table);
        self
    }

    pub(crate) fn passive(self) -> Self {
        self.flag("passive", true)
    }
    pub(crate) fn durable(self) -> Self {
        self.flag("durable", true)
    }
    pub(crate) fn exclusive(self) -> Self {
        self.flag("exclusive", true)
    }
    pub(crate) fn auto_delete(self) -> Self {
        self.flag("auto_delete", true)
    }
    pub(crate) fn internal(self) -> Self {
        self.flag("internal", true)
    }
    pub(crate) fn nowait(self) -> Self {
        self.flag("nowait", true)
    }
    pub(crate) fn no_ack(self) -> Self {
        self.flag("no_ack", true)
    }
    pub(crate) fn multiple(self) -> Self {
        self.flag("multiple", true)
    }
    pub(crate) fn if_unused(self) -> Self {
        self.flag("if_unused", true)
    }
    pub(crate) fn if_empty(self) -> Self {
        self.flag("if_empty", true)
    }
    pub(crate) fn global(self) -> Self {
        self.flag("global", true)
    }

    /// Class id, method id and arguments: the payload of the method frame.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut out = Writer::new().short(self.id.0).short(self.id.1).raw(&self.fields.0);
        if !method_flags(self.id).is_empty() {
            out = out.octet(self.flags);
        }
        if let Some(table) = &self.table {
            out = out.table(table);
        }
        out.0
    }

    pub(crate) fn frame(&self, channel: u16) -> Frame {
        Frame::new(METHOD, channel, self.payload())
    }

    /// The method that answers this one.
    pub(crate) fn reply(&self) -> (u16, u16) {
        match self.id {
            (40, 40) => (40, 51),
            (class, method) => (class, method + 1),
        }
    }
}

fn ticket() -> Writer {
    Writer::new().short(0)
}

pub(crate) fn exchange(name: impl AsRef<[u8]>, kind: &str) -> Request {
    Request::new((40, 10), ticket().short_string(name).short_string(kind)).with_table()
}

pub(crate) fn exchange_delete(name: &str) -> Request {
    Request::new((40, 20), ticket().short_string(name))
}

/// Messages flow from `source` to `destination`.
pub(crate) fn exchange_bind(destination: &str, source: &str, key: &str) -> Request {
    let fields = ticket().short_string(destination).short_string(source).short_string(key);
    Request::new((40, 30), fields).with_table()
}

pub(crate) fn exchange_unbind(destination: &str, source: &str, key: &str) -> Request {
    let fields = ticket().short_string(destination).short_string(source).short_string(key);
    Request::new((40, 40), fields).with_table()
}

pub(crate) fn queue(name: impl AsRef<[u8]>) -> Request {
    Request::new((50, 10), ticket().short_string(name)).with_table()
}

pub(crate) fn bind(queue: &str, exchange: &str, key: &str) -> Request {
    let fields = ticket().short_string(queue).short_string(exchange).short_string(key);
    Request::new((50, 20), fields).with_table()
}

pub(crate) fn unbind(queue: &str, exchange: &str, key: &str) -> Request {
    let fields = ticket().short_string(queue).short_string(exchange).short_string(key);
    Request::new((50, 50), fields).with_table()
}

pub(crate) fn purge(queue: &str) -> Request {
    Request::new((50, 30), ticket().short_string(queue))
}

pub(crate) fn delete(queue: &str) -> Request {
    Request::new((50, 40), ticket().short_string(queue))
}

pub(crate) fn qos(prefetch: u16) -> Request {
    qos_bytes(0, prefetch)
}

pub(crate) fn qos_bytes(size: u32, prefetch: u16) -> Request {
    Request::new((60, 10), Writer::new().long(size).short(prefetch))
}

pub(crate) fn consume(queue: &str, tag: &str) -> Request {
    Request::new((60, 20), ticket().short_string(queue).short_string(tag)).with_table()
}

pub(crate) fn cancel(tag: &str) -> Request {
    Request::new((60, 30), Writer::new().short_string(tag))
}

pub(crate) fn get(queue: &str) -> Request {
    Request::new((60, 70), ticket().short_string(queue))
}

pub(crate) fn ack(tag: u64) -> Request {
    Request::new((60, 80), Writer::new().longlong(tag))
}

pub(crate) fn reject(tag: u64, is_requeued: bool) -> Request {
    Request::new((60, 90), Writer::new().longlong(tag)).flag("requeue", is_requeued)
}

pub(crate) fn nack(tag: u64, is_requeued: bool) -> Request {
    Request::new((60, 120), Writer::new().longlong(tag)).flag("requeue", is_requeued)
}

pub(crate) fn recover(is_requeued: bool) -> Request {
    Request::new((60, 110), Writer::new()).flag("requeue", is_requeued)
}

pub(crate) fn recover_async(is_requeued: bool) -> Request {
    Request::new((60, 100), Writer::new()).flag("requeue", is_requeued)
}

pub(crate) fn confirm_select() -> Request {
    Request::new((85, 10), Writer::new())
}

pub(crate) fn tx_select() -> Request {
    Request::new((90, 10), Writer::new())
}

pub(crate) fn tx_commit() -> Request {
    Request::new((90, 20), Writer::new())
}

pub(crate) fn tx_rollback() -> Request {
    Request::new((90, 30), Writer::new())
}

pub(crate) fn flow(is_active: bool) -> Request {
    Request::new((20, 20), Writer::new()).flag("active", is_active)
}

pub(crate) fn channel_open() -> Request {
    Request::new((20, 10), Writer::new().short_string(""))
}

pub(crate) fn channel_close() -> Request {
    let fields = Writer::new().short(200).short_string("Goodbye").short(0).short(0);
    Request::new((20, 40), fields)
}

pub(crate) fn channel_close_ok() -> Request {
    Request::new((20, 41), Writer::new())
}

pub(crate) fn connection_close() -> Request {
    let fields = Writer::new().short(200).short_string("Goodbye").short(0).short(0);
    Request::new((10, 50), fields)
}

pub(crate) fn connection_close_ok() -> Request {
    Request::new((10, 51), Writer::new())
}

pub(crate) fn connection_open(vhost: &str) -> Request {
    Request::new((10, 40), Writer::new().short_string(vhost).short_string(""))
}

pub(crate) fn tune_ok(channel_max: u16, frame_max: u32, heartbeat_s: u16) -> Request {
    Request::new((10, 31), Writer::new().short(channel_max).long(frame_max).short(heartbeat_s))
}

pub(crate) fn update_secret(secret: &str, reason: &str) -> Request {
    Request::new((10, 70), Writer::new().long_string(secret).short_string(reason))
}

/// A message on its way to an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) method: Request,
    pub(crate) properties: Properties,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn publish(exchange: &str, key: &str, body: impl Into<Vec<u8>>) -> Publish {
    let fields = ticket().short_string(exchange).short_string(key);
    let method = Request::new((60, 40), fields);
    Publish { method, properties: Properties::default(), body: body.into() }
}

impl Publish {
    pub(crate) fn mandatory(mut self) -> Self {
        self.method = self.method.flag("mandatory", true);
        self
    }

    pub(crate) fn immediate(mut self) -> Self {
        self.method = self.method.flag("immediate", true);
        self
    }

    pub(crate) fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    pub(crate) fn persistent(mut self) -> Self {
        self.properties.delivery_mode = Some(2);
        self
    }

    pub(crate) fn expiration(mut self, text: &str) -> Self {
        self.properties.expiration = Some(text.to_owned());
        self
    }

    pub(crate) fn headers(mut self, headers: Table) -> Self {
        self.properties.headers = Some(headers);
        self
    }

    /// Method, header and as many bodies as `frame_max` asks for.
    pub(crate) fn frames(&self, channel: u16, frame_max: usize) -> Vec<Frame> {
        let mut out = vec![
            self.method.frame(channel),
            content_header(channel, 60, 0, self.body.len() as u64, &self.properties),
        ];
        out.extend(self.body.chunks(frame_max - 8).map(|c| Frame::new(super::BODY, channel, c)));
        out
    }
}

pub(crate) fn content_header(
    channel: u16,
    class: u16,
    weight: u16,
    size: u64,
    properties: &Properties,
) -> Frame {
    let head = Writer::new().short(class).short(weight).longlong(size);
    Frame::new(HEADER, channel, head.raw(&properties.bytes()).0)
}
