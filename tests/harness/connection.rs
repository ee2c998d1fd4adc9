//! One connection of a client, and what the broker says when it ends it.

use std::{cell::RefCell, net::TcpStream, rc::Rc, time::Duration};

use super::{
    Channel, End, Frame, HEARTBEAT, Method, Options, channel_open, connection_close,
    connection_close_ok, method_name,
    socket::{CONNECTION_CLOSE, Wire},
};

/// One connection of a client.
pub(crate) struct Connection {
    pub(super) wire: Rc<RefCell<Wire>>,
}

impl Connection {
    /// An open connection to the broker under test.
    #[track_caller]
    pub(crate) fn open() -> Self {
        Options::new().open()
    }

    /// Channel 0, where the connection itself speaks.
    pub(crate) fn control(&self) -> Channel {
        self.channel_as_is(0)
    }

    /// Opens channel `number`.
    #[track_caller]
    pub(crate) fn channel(&self, number: u16) -> Channel {
        let channel = self.channel_as_is(number);
        channel.call(&channel_open());
        channel
    }

    /// A handle to channel `number`, opened or not.
    pub(crate) fn channel_as_is(&self, number: u16) -> Channel {
        Channel { wire: Rc::clone(&self.wire), number }
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.wire.borrow_mut().write(bytes);
    }

    pub(crate) fn send_frame(&self, frame: &Frame) {
        self.send_bytes(&frame.bytes());
    }

    /// A second handle to the socket, for a thread that only writes or shuts it.
    pub(crate) fn socket(&self) -> TcpStream {
        self.wire.borrow().socket.get_ref().try_clone().expect("sockets can be duplicated")
    }

    /// How long the next waits may take.
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        let wire = self.wire.borrow();
        wire.socket.get_ref().set_read_timeout(Some(deadline)).expect("deadlines are not zero");
    }

    /// The next frame on any channel, heartbeats too.
    pub(crate) fn next_frame(&self) -> Result<Frame, End> {
        self.wire.borrow_mut().read_frame()
    }

    /// The next bytes, whether they are frames or not.
    pub(crate) fn next_bytes(&self, count: usize) -> Result<Vec<u8>, End> {
        let mut out = vec![0; count];
        self.wire.borrow_mut().fill(&mut out)?;
        Ok(out)
    }

    /// Frames until the socket is closed; heartbeats are left out.
    #[track_caller]
    pub(crate) fn frames_until_end(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.next_frame() {
                Ok(frame) if frame.kind == HEARTBEAT => {}
                Ok(frame) => frames.push(frame),
                Err(End::Closed(_)) => return frames,
                Err(End::Silent) => panic!("expected the socket to be closed, got {frames:?}"),
            }
        }
    }

    /// The socket is closed and nothing is said before.
    #[track_caller]
    pub(crate) fn expect_end_without_a_word(&self) {
        let frames = self.frames_until_end();
        assert!(frames.is_empty(), "expected the socket to be closed silently, got {frames:?}");
    }

    /// connection.close with this code, text, class and method; it is answered.
    #[track_caller]
    pub(crate) fn expect_close(&self, code: u16, text: impl Into<Text>, method: (u16, u16)) {
        let control = self.control();
        let got = control.expect(CONNECTION_CLOSE);
        assert_close(&got, code, &text.into(), method);
        control.send(&connection_close_ok());
    }

    /// Closes in order and waits until the broker has agreed.
    #[track_caller]
    pub(crate) fn close(self) {
        self.control().call(&connection_close());
    }

    /// Cuts the socket without a word.
    pub(crate) fn cut(self) {
        let _ = self.socket().shutdown(std::net::Shutdown::Both);
    }
}

/// A reply text: all of it, or the part that is not Erlang's formatting (DP-10).
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Exactly(String),
    StartsWith(String),
    Contains(String),
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(expected) => text == expected,
            Self::StartsWith(start) => text.starts_with(start.as_str()),
            Self::Contains(part) => text.contains(part.as_str()),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Exactly(text.to_owned())
    }
}
impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Exactly(text)
    }
}
impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::Exactly(text.clone())
    }
}

pub(crate) fn starts_with(text: impl Into<String>) -> Text {
    Text::StartsWith(text.into())
}

pub(crate) fn contains(text: impl Into<String>) -> Text {
    Text::Contains(text.into())
}

#[track_caller]
pub(super) fn assert_close(got: &Method, code: u16, text: &Text, method: (u16, u16)) {
    let (got_code, got_text, got_method) = got.close();
    assert!(
        got_code == code && text.fits(&got_text) && got_method == method,
        "expected {} {code} {text:?} {method:?}\n     got {got}",
        method_name(got.id),
    );
}
