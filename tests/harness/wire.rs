//! Bytes of AMQP 0-9-1 as the tests write and read them.
//!
//! Deliberately not the codec of the broker: a mistake there must not cancel itself out here. It
//! also writes what a codec refuses to write: wrong lengths, odd types, keys twice.

use std::fmt;

pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
pub(crate) const FRAME_END: u8 = 0xCE;

/// One frame as it stands on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, channel: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, channel, payload: payload.into() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = frame_head(self.kind, self.channel, self.payload.len() as u32);
        out.extend_from_slice(&self.payload);
        out.push(FRAME_END);
        out
    }
}

/// The seven bytes before a payload, for frames that lie about it.
pub(crate) fn frame_head(kind: u8, channel: u16, size: u32) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend(size.to_be_bytes());
    out
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            METHOD if self.payload.len() >= 4 => {
                write!(f, "{} on channel {}", Method::parse(&self.payload), self.channel)
            }
            HEADER => write!(f, "content header on channel {}", self.channel),
            BODY => write!(f, "body of {} bytes on channel {}", self.payload.len(), self.channel),
            HEARTBEAT => write!(f, "heartbeat on channel {}", self.channel),
            kind => write!(f, "frame of type {kind} on channel {}", self.channel),
        }
    }
}

/// A method that came from the broker.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) id: (u16, u16),
    pub(crate) arguments: Vec<u8>,
}

impl Method {
    pub(crate) fn parse(payload: &[u8]) -> Self {
        let mut read = Reader::new(payload);
        let id = (read.short(), read.short());
        Self { id, arguments: payload[4..].to_vec() }
    }

    pub(crate) fn read(&self) -> Reader<'_> {
        Reader::new(&self.arguments)
    }

    /// Code, text, class and method of a channel.close or connection.close.
    pub(crate) fn close(&self) -> (u16, String, (u16, u16)) {
        let mut read = self.read();
        (read.short(), read.short_string(), (read.short(), read.short()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, method) = self.id;
        write!(f, "{}", method_name(self.id))?;
        match self.id {
            (10, 50) | (20, 40) => {
                let (code, text, (class, method)) = self.close();
                write!(f, " {code} {text:?} {class}/{method}")
            }
            _ => write!(f, " ({class}/{method}) {:02x?}", self.arguments),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn method_name(id: (u16, u16)) -> &'static str {
    let found = METHODS.iter().find(|(known, ..)| *known == id);
    found.map_or("unknown method", |(_, name, _)| name)
}

/// The flags of a method in the order of their bits.
pub(crate) fn method_flags(id: (u16, u16)) -> &'static [&'static str] {
    let found = METHODS.iter().find(|(known, ..)| *known == id);
    found.map_or(&[], |(_, _, flags)| flags)
}

type MethodRow = ((u16, u16), &'static str, &'static [&'static str]);

#[rustfmt::skip]
const METHODS: &[MethodRow] = &[
    ((10, 10), "connection.start", &[]), ((10, 11), "connection.start-ok", &[]),
    ((10, 20), "connection.secure", &[]), ((10, 21), "connection.secure-ok", &[]),
    ((10, 30), "connection.tune", &[]), ((10, 31), "connection.tune-ok", &[]),
    ((10, 40), "connection.open", &["insist"]), ((10, 41), "connection.open-ok", &[]),
    ((10, 50), "connection.close", &[]), ((10, 51), "connection.close-ok", &[]),
    ((10, 60), "connection.blocked", &[]), ((10, 61), "connection.unblocked", &[]),
    ((10, 70), "connection.update-secret", &[]), ((10, 71), "connection.update-secret-ok", &[]),
    ((20, 10), "channel.open", &[]), ((20, 11), "channel.open-ok", &[]),
    ((20, 20), "channel.flow", &["active"]), ((20, 21), "channel.flow-ok", &["active"]),
    ((20, 40), "channel.close", &[]), ((20, 41), "channel.close-ok", &[]),
    ((30, 10), "access.request", &["exclusive", "passive", "active", "write", "read"]),
    ((30, 11), "access.request-ok", &[]),
    ((40, 10), "exchange.declare", &["passive", "durable", "auto_delete", "internal", "nowait"]),
    ((40, 11), "exchange.declare-ok", &[]),
    ((40, 20), "exchange.delete", &["if_unused", "nowait"]), ((40, 21), "exchange.delete-ok", &[]),
    ((40, 30), "exchange.bind", &["nowait"]), ((40, 31), "exchange.bind-ok", &[]),
    ((40, 40), "exchange.unbind", &["nowait"]), ((40, 51), "exchange.unbind-ok", &[]),
    ((50, 10), "queue.declare", &["passive", "durable", "exclusive", "auto_delete", "nowait"]),
    ((50, 11), "queue.declare-ok", &[]),
    ((50, 20), "queue.bind", &["nowait"]), ((50, 21), "queue.bind-ok", &[]),
    ((50, 30), "queue.purge", &["nowait"]), ((50, 31), "queue.purge-ok", &[]),
    ((50, 40), "queue.delete", &["if_unused", "if_empty", "nowait"]),
    ((50, 41), "queue.delete-ok", &[]),
    ((50, 50), "queue.unbind", &[]), ((50, 51), "queue.unbind-ok", &[]),
    ((60, 10), "basic.qos", &["global"]), ((60, 11), "basic.qos-ok", &[]),
    ((60, 20), "basic.consume", &["no_local", "no_ack", "exclusive", "nowait"]),
    ((60, 21), "basic.consume-ok", &[]),
    ((60, 30), "basic.cancel", &["nowait"]), ((60, 31), "basic.cancel-ok", &[]),
    ((60, 40), "basic.publish", &["mandatory", "immediate"]), ((60, 50), "basic.return", &[]),
    ((60, 60), "basic.deliver", &["redelivered"]),
    ((60, 70), "basic.get", &["no_ack"]), ((60, 71), "basic.get-ok", &["redelivered"]),
    ((60, 72), "basic.get-empty", &[]),
    ((60, 80), "basic.ack", &["multiple"]), ((60, 90), "basic.reject", &["requeue"]),
    ((60, 100), "basic.recover-async", &["requeue"]), ((60, 110), "basic.recover", &["requeue"]),
    ((60, 111), "basic.recover-ok", &[]), ((60, 120), "basic.nack", &["multiple", "requeue"]),
    ((85, 10), "confirm.select", &["nowait"]), ((85, 11), "confirm.select-ok", &[]),
    ((90, 10), "tx.select", &[]), ((90, 11), "tx.select-ok", &[]),
    ((90, 20), "tx.commit", &[]), ((90, 21), "tx.commit-ok", &[]),
    ((90, 30), "tx.rollback", &[]), ((90, 31), "tx.rollback-ok", &[]),
];

/// A value of a field table, one variant for each tag on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    /// The tag `L`: a second spelling of 64 signed bits.
    I64AsL(i64),
    F32(f32),
    F64(f64),
    Decimal(u8, u32),
    Text(String),
    Array(Vec<Value>),
    Time(u64),
    Table(Table),
    Void,
    Bytes(Vec<u8>),
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::I32(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::I64(v)
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::F64(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}
impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Self::Text(v.clone())
    }
}
impl From<Table> for Value {
    fn from(v: Table) -> Self {
        Self::Table(v)
    }
}
impl From<Vec<Value>> for Value {
    fn from(v: Vec<Value>) -> Self {
        Self::Array(v)
    }
}

/// A field table that keeps the order and the repetitions it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table(pub(crate) Vec<(String, Value)>);

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Text(text)) => text,
            other => panic!("expected a text under {key:?}, got {other:?}"),
        }
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// The same table in the order of its keys: brokers are free in the order (BA-014).
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }
}

/// Writes the arguments of a method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn octet(self, v: u8) -> Self {
        self.raw(&[v])
    }

    pub(crate) fn short(self, v: u16) -> Self {
        self.raw(&v.to_be_bytes())
    }

    pub(crate) fn long(self, v: u32) -> Self {
        self.raw(&v.to_be_bytes())
    }

    pub(crate) fn longlong(self, v: u64) -> Self {
        self.raw(&v.to_be_bytes())
    }

    pub(crate) fn short_string(self, v: impl AsRef<[u8]>) -> Self {
        let v = v.as_ref();
        let length = u8::try_from(v.len()).expect("a short string has at most 255 bytes");
        self.octet(length).raw(v)
    }

    pub(crate) fn long_string(self, v: impl AsRef<[u8]>) -> Self {
        self.long(v.as_ref().len() as u32).raw(v.as_ref())
    }

    pub(crate) fn table(self, table: &Table) -> Self {
        self.long_string(&Self::new().table_body(table).0)
    }

    /// The entries without the length before them.
    pub(crate) fn table_body(self, table: &Table) -> Self {
        table.0.iter().fold(self, |out, (key, value)| out.short_string(key).value(value))
    }

    pub(crate) fn value(self, value: &Value) -> Self {
        match value {
            Value::Bool(v) => self.octet(b't').octet(u8::from(*v)),
            Value::I8(v) => self.octet(b'b').raw(&v.to_be_bytes()),
            Value::U8(v) => self.octet(b'B').octet(*v),
            Value::I16(v) => self.octet(b's').raw(&v.to_be_bytes()),
            Value::U16(v) => self.octet(b'u').short(*v),
            Value::I32(v) => self.octet(b'I').raw(&v.to_be_bytes()),
            Value::U32(v) => self.octet(b'i').long(*v),
            Value::I64(v) => self.octet(b'l').raw(&v.to_be_bytes()),
            Value::I64AsL(v) => self.octet(b'L').raw(&v.to_be_bytes()),
            Value::F32(v) => self.octet(b'f').raw(&v.to_be_bytes()),
            Value::F64(v) => self.octet(b'd').raw(&v.to_be_bytes()),
            Value::Decimal(scale, v) => self.octet(b'D').octet(*scale).long(*v),
            Value::Text(v) => self.octet(b'S').long_string(v),
            Value::Time(v) => self.octet(b'T').longlong(*v),
            Value::Void => self.octet(b'V'),
            Value::Bytes(v) => self.octet(b'x').long_string(v),
            Value::Table(v) => self.octet(b'F').table(v),
            Value::Array(v) => {
                let body = v.iter().fold(Self::new(), Self::value);
                self.octet(b'A').long_string(&body.0)
            }
        }
    }
}

/// Reads the arguments of a method; a test fails where they end too early.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.0.len(), "expected {count} more bytes, got {:02x?}", self.0);
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("take gives as many bytes as asked")
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn long(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(crate) fn longlong(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    pub(crate) fn short_string(&mut self) -> String {
        let length = self.octet();
        String::from_utf8_lossy(self.take(usize::from(length))).into_owned()
    }

    pub(crate) fn long_bytes(&mut self) -> &'a [u8] {
        let length = self.long();
        self.take(length as usize)
    }

    pub(crate) fn long_string(&mut self) -> String {
        String::from_utf8_lossy(self.long_bytes()).into_owned()
    }

    pub(crate) fn table(&mut self) -> Table {
        let mut body = Reader(self.long_bytes());
        let mut table = Table::new();
        while !body.is_empty() {
            table.0.push((body.short_string(), body.value()));
        }
        table
    }

    pub(crate) fn value(&mut self) -> Value {
        match self.octet() {
            b't' => Value::Bool(self.octet() != 0),
            b'b' => Value::I8(i8::from_be_bytes(self.array())),
            b'B' => Value::U8(self.octet()),
            b's' => Value::I16(i16::from_be_bytes(self.array())),
            b'u' => Value::U16(self.short()),
            b'I' => Value::I32(i32::from_be_bytes(self.array())),
            b'i' => Value::U32(self.long()),
            b'l' => Value::I64(i64::from_be_bytes(self.array())),
            b'L' => Value::I64AsL(i64::from_be_bytes(self.array())),
            b'f' => Value::F32(f32::from_be_bytes(self.array())),
            b'd' => Value::F64(f64::from_be_bytes(self.array())),
            b'D' => Value::Decimal(self.octet(), self.long()),
            b'S' => Value::Text(self.long_string()),
            b'T' => Value::Time(self.longlong()),
            b'V' => Value::Void,
            b'x' => Value::Bytes(self.long_bytes().to_vec()),
            b'F' => Value::Table(self.table()),
            b'A' => {
                let mut body = Reader(self.long_bytes());
                let mut values = Vec::new();
                while !body.is_empty() {
                    values.push(body.value());
                }
                Value::Array(values)
            }
            tag => panic!("the broker sent a field of unknown type {:?}", tag as char),
        }
    }
}

/// The properties of a message: thirteen and the reserved `cluster_id`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Properties {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) headers: Option<Table>,
    pub(crate) delivery_mode: Option<u8>,
    pub(crate) priority: Option<u8>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) expiration: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) kind: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) app_id: Option<String>,
    pub(crate) cluster_id: Option<String>,
}

impl Properties {
    /// The property flags and the list of the properties that are there.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = 0_u16;
        let mut out = Writer::new();
        let text = |bit: u16, value: &Option<String>, flags: &mut u16, out: Writer| match value {
            Some(value) => {
                *flags |= 1 << bit;
                out.short_string(value)
            }
            None => out,
        };
        out = text(15, &self.content_type, &mut flags, out);
        out = text(14, &self.content_encoding, &mut flags, out);
        if let Some(headers) = &self.headers {
            flags |= 1 << 13;
            out = out.table(headers);
        }
        if let Some(mode) = self.delivery_mode {
            flags |= 1 << 12;
            out = out.octet(mode);
        }
        if let Some(priority) = self.priority {
            flags |= 1 << 11;
            out = out.octet(priority);
        }
        out = text(10, &self.correlation_id, &mut flags, out);
        out = text(9, &self.reply_to, &mut flags, out);
        out = text(8, &self.expiration, &mut flags, out);
        out = text(7, &self.message_id, &mut flags, out);
        if let Some(time) = self.timestamp {
            flags |= 1 << 6;
            out = out.longlong(time);
        }
        out = text(5, &self.kind, &mut flags, out);
        out = text(4, &self.user_id, &mut flags, out);
        out = text(3, &self.app_id, &mut flags, out);
        out = text(2, &self.cluster_id, &mut flags, out);
        Writer::new().short(flags).raw(&out.0).0
    }

    pub(crate) fn parse(read: &mut Reader<'_>) -> Self {
        let flags = read.short();
        let has = |bit: u16| flags & (1 << bit) != 0;
        // The fields are read in the order in which they are written here.
        Self {
            content_type: has(15).then(|| read.short_string()),
            content_encoding: has(14).then(|| read.short_string()),
            headers: has(13).then(|| read.table()),
            delivery_mode: has(12).then(|| read.octet()),
            priority: has(11).then(|| read.octet()),
            correlation_id: has(10).then(|| read.short_string()),
            reply_to: has(9).then(|| read.short_string()),
            expiration: has(8).then(|| read.short_string()),
            message_id: has(7).then(|| read.short_string()),
            timestamp: has(6).then(|| read.longlong()),
            kind: has(5).then(|| read.short_string()),
            user_id: has(4).then(|| read.short_string()),
            app_id: has(3).then(|| read.short_string()),
            cluster_id: has(2).then(|| read.short_string()),
        }
    }

    pub(crate) fn persistent() -> Self {
        Self { delivery_mode: Some(2), ..Self::default() }
    }
}
