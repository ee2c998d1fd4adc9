//! The socket of a client, frame by frame.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufReader, ErrorKind, Read, Write},
    net::TcpStream,
};

use super::{FRAME_END, Frame, HEARTBEAT, METHOD, Method, Reader};

pub(super) const CONNECTION_CLOSE: (u16, u16) = (10, 50);
pub(super) const CHANNEL_CLOSE: (u16, u16) = (20, 40);

/// Why there is no next frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The broker closed the socket, in order or by a reset.
    Closed(String),
    /// Nothing came within the deadline.
    Silent,
}

/// The socket and the frames that came but were not asked for yet.
pub(super) struct Wire {
    pub(super) socket: BufReader<TcpStream>,
    pub(super) waiting: BTreeMap<u16, VecDeque<Frame>>,
    pub(super) frame_max: usize,
}

impl Wire {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        // A broker that has closed resets the socket: the test learns of it when it reads.
        let _ = self.socket.get_mut().write_all(bytes);
    }

    pub(super) fn read_frame(&mut self) -> Result<Frame, End> {
        let mut head = [0; 7];
        self.fill(&mut head)?;
        let mut read = Reader::new(&head);
        let (kind, channel, size) = (read.octet(), read.short(), read.long());
        let mut payload = vec![0; size as usize + 1];
        self.fill(&mut payload)?;
        assert_eq!(payload.pop(), Some(FRAME_END), "the frame of the broker has no end");
        Ok(Frame { kind, channel, payload })
    }

    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), End> {
        self.socket.read_exact(out).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Silent,
            _ => End::Closed(error.to_string()),
        })
    }

    /// The frame is the next on its channel again.
    pub(super) fn put_back(&mut self, frame: Frame) {
        self.waiting.entry(frame.channel).or_default().push_front(frame);
    }

    pub(super) fn next_on(&mut self, channel: u16) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.waiting.get_mut(&channel).and_then(VecDeque::pop_front) {
                return Ok(frame);
            }
            let frame = self.read_frame()?;
            if frame.kind == HEARTBEAT {
                continue;
            }
            let is_close = frame.kind == METHOD && {
                let id = Method::parse(&frame.payload).id;
                id == CONNECTION_CLOSE || (id == CHANNEL_CLOSE && channel == 0)
            };
            if is_close && frame.channel != channel {
                // It ends the wait on any channel: nothing else will come.
                return Ok(frame);
            }
            self.waiting.entry(frame.channel).or_default().push_back(frame);
        }
    }
}
