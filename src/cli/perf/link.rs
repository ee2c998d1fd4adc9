//! A connection to a broker, as blocking calls: enough of a client for measuring.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::uri::Uri;
use crate::wire::{
    encode, frame,
    frame::{FrameKind, PROTOCOL_HEADER},
    method::{self, AMQPClass, LongString, channel, connection},
    table::Table,
};

/// The channel that everything happens on.
pub(super) const CHANNEL: u16 = 1;
/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// How long a broker may keep an answer to itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a broker and a network may do to a measurement.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    /// The connection cannot be made, or broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The broker did not take user and password; RabbitMQ and Lepus may say so by closing.
    #[error("the broker refused the login of user '{0}'")]
    Login(String),
    /// The broker said no.
    #[error("the broker closed: {code} {text}")]
    Closed { code: u16, text: String },
    /// The broker said something else than was asked for.
    #[error("the broker answered {0:?}, which was not asked for")]
    Unexpected((u16, u16)),
    /// What came is no AMQP.
    #[error("no AMQP came from there: {0}")]
    Garbage(String),
}

impl Error {
    /// What it means when it is all the answer to user and password.
    fn after_login(self, user: &str) -> Self {
        use io::ErrorKind::{ConnectionReset, UnexpectedEof};
        let is_refused = match &self {
            Self::Closed { code, .. } => *code == 403,
            Self::Io(error) => matches!(error.kind(), ConnectionReset | UnexpectedEof),
            _ => false,
        };
        if is_refused { Self::Login(user.to_owned()) } else { self }
    }
}

/// One connection with one channel.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    frame_max: u32,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

/// A frame as it lies in the buffer.
pub(super) struct Incoming<'a> {
    pub(super) kind: FrameKind,
    pub(super) payload: &'a [u8],
}

impl Incoming<'_> {
    /// Class and method, if it is a method.
    pub(super) fn ids(&self) -> Option<(u16, u16)> {
        (self.kind == FrameKind::Method).then(|| method::payload_ids(self.payload))?
    }
}

impl Link {
    /// Connects, logs in and opens the channel.
    pub(super) fn open(uri: &Uri) -> Result<Self, Error> {
        let stream = TcpStream::connect((uri.host.as_str(), uri.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut link =
            Self { stream, frame_max: 128 * 1024, input: vec![0; READ_BYTES], start: 0, end: 0 };
        link.send(&frame::AMQP_0_9_1)?;
        link.await_ids((10, 10))?;
        let response = format!("\0{}\0{}", uri.user, uri.password);
        link.send_on(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: Table::default(),
                mechanism: "PLAIN".into(),
                response: LongString::from(response),
                locale: "en_US".into(),
            })),
        )?;
        let tune = link.await_ids((10, 30)).map_err(|error| error.after_login(&uri.user))?;
        // What is not there is no limit.
        let number = |at: usize| {
            tune.get(at..at + 2).map_or(0, |number| u16::from_be_bytes([number[0], number[1]]))
        };
        let asked = (u32::from(number(6)) << 16) | u32::from(number(8));
        if asked > 0 {
            link.frame_max = asked.min(link.frame_max);
        }
        link.send_on(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
                channel_max: number(4),
                frame_max: link.frame_max,
                heartbeat: 0,
            })),
        )?;
        let virtual_host = uri.vhost.as_str().into();
        let open = connection::Open { virtual_host };
        link.send_on(0, &AMQPClass::Connection(connection::AMQPMethod::Open(open)))?;
        link.await_ids((10, 41))?;
        let open = channel::AMQPMethod::Open(channel::Open {});
        link.call(&AMQPClass::Channel(open), (20, 11))?;
        Ok(link)
    }

    /// The largest frame that was agreed upon.
    pub(super) fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// A second handle on the same socket, for a thread that writes while this one reads.
    pub(super) fn writer(&self) -> Result<TcpStream, Error> {
        Ok(self.stream.try_clone()?)
    }

    /// How long a read waits before it gives up; none for ever.
    pub(super) fn set_patience(&self, patience: Duration) -> Result<(), Error> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(bytes)?)
    }

    fn send_on(&mut self, channel: u16, class: &AMQPClass) -> Result<(), Error> {
        let mut out = Vec::new();
        encode::method(&mut out, channel, class);
        self.send(&out)
    }

    /// Calls a method of the channel; returns the payload of the answer.
    pub(super) fn call(&mut self, class: &AMQPClass, answer: (u16, u16)) -> Result<Vec<u8>, Error> {
        self.send_on(CHANNEL, class)?;
        self.await_ids(answer)
    }

    fn await_ids(&mut self, wanted: (u16, u16)) -> Result<Vec<u8>, Error> {
        loop {
            let mut found = None;
            self.receive(|incoming| {
                if let Some(ids) = incoming.ids() {
                    found = Some((ids, incoming.payload.to_vec()));
                }
                Ok(found.is_none())
            })?;
            match found {
                Some((ids, payload)) if ids == wanted => return Ok(payload),
                Some((ids, _)) => return Err(Error::Unexpected(ids)),
                None => {}
            }
        }
    }

    /// Reads once if nothing is there, and hands over every whole frame, until `take` returns
    /// false. Returns false if nothing came in time.
    pub(super) fn receive(
        &mut self,
        mut take: impl FnMut(&Incoming<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        if !self.has_frame()? && !self.fill()? {
            return Ok(false);
        }
        loop {
            let bytes = &self.input[self.start..self.end];
            let parsed = frame::parse(bytes, self.frame_max.max(READ_BYTES as u32));
            let Some(frame) = parsed.map_err(|error| Error::Garbage(error.to_string()))? else {
                return Ok(true);
            };
            let incoming = Incoming { kind: frame.kind, payload: &bytes[frame.payload.clone()] };
            check_open(&incoming)?;
            let goes_on = take(&incoming)?;
            self.start += frame.len;
            if !goes_on {
                return Ok(true);
            }
        }
    }

    fn has_frame(&self) -> Result<bool, Error> {
        let bytes = &self.input[self.start..self.end];
        let parsed = frame::parse(bytes, self.frame_max.max(READ_BYTES as u32));
        Ok(parsed.map_err(|error| Error::Garbage(error.to_string()))?.is_some())
    }

    fn fill(&mut self) -> Result<bool, Error> {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            self.input.resize(self.end * 2, 0);
        }
        match self.stream.read(&mut self.input[self.end..]) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => {
                self.end += count;
                if self.end >= PROTOCOL_HEADER && self.input.starts_with(b"AMQP") {
                    return Err(Error::Garbage("another version of AMQP".to_owned()));
                }
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says goodbye. What is lost with it does not matter any more.
    pub(super) fn close(mut self) {
        let close = connection::Close {
            reply_code: 200,
            reply_text: "done".into(),
            class_id: 0,
            method_id: 0,
        };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        if self.send_on(0, &close).is_ok() {
            let mut is_closed = false;
            while !is_closed {
                let received = self.receive(|incoming| {
                    is_closed = incoming.ids() == Some((10, 51));
                    Ok(!is_closed)
                });
                if !received.unwrap_or(false) {
                    return;
                }
            }
        }
    }
}

/// Whether the broker has not closed channel or connection.
fn check_open(incoming: &Incoming<'_>) -> Result<(), Error> {
    let Some((10, 50) | (20, 40)) = incoming.ids() else { return Ok(()) };
    let payload = incoming.payload;
    let text_at = |at: usize| {
        let len = usize::from(*payload.get(at)?);
        Some(String::from_utf8_lossy(payload.get(at + 1..at + 1 + len)?).into_owned())
    };
    let code = payload.get(4..6).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
    Err(Error::Closed { code, text: text_at(6).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Shutdown, TcpListener},
        thread,
    };

    use super::*;

    #[test]
    fn a_broker_that_says_too_little_is_told_of() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("amqp://{}", listener.local_addr().unwrap());
        let broker = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // connection.start, connection.tune and connection.open-ok without their arguments.
            for method in [10, 30, 41] {
                let frame = [1, 0, 0, 0, 0, 0, 4, 0, 10, 0, method, 0xce];
                stream.write_all(&frame).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(Link::open(&uri.parse().unwrap()).is_err());
        broker.join().unwrap();
    }
}
