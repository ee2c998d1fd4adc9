//! Bytes to frames (AMQP 0-9-1 4.2.3), and the protocol header that comes before them (4.2.2).

use std::{fmt, ops::Range};

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// Octets of a frame around its payload: kind, channel, size, end.
pub const FRAME_OVERHEAD: usize = 8;

/// Octets of a frame before its payload.
pub const FRAME_HEADER: usize = 7;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method.
    Method,
    /// A content header.
    Header,
    /// A piece of a content's body.
    Body,
    /// Nothing: the peer is alive.
    Heartbeat,
}

impl FrameKind {
    /// The octet that stands for this kind.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }
}

/// A whole frame at the front of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel it belongs to.
    pub channel: u16,
    /// Where the payload lies in the buffer that was parsed.
    pub payload: Range<usize>,
    /// Octets of the whole frame: where the next one begins.
    pub len: usize,
}

/// Why bytes are no frame.
///
/// Displayed as RabbitMQ explains it behind `FRAME_ERROR - `, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Another octet than [`FRAME_END`] behind the payload. The peer is out of step: nothing that
    /// follows can be trusted.
    #[error("type {kind}, {octets}: {{invalid_frame_end_marker,{end}}}")]
    BadEnd {
        /// The octet for the frame's kind.
        kind: u8,
        /// The frame's channel.
        channel: u16,
        /// The octet that was there.
        end: u8,
        /// The first of the payload.
        octets: Octets,
    },
    /// The payload is longer than the negotiated maximum allows. Known from the first seven octets;
    /// the payload is not waited for.
    #[error("type {kind}, {octets}: {{frame_too_large,{size},{limit}}}", octets = Octets::of(&[]))]
    TooLarge {
        /// The octet for the frame's kind.
        kind: u8,
        /// The frame's channel.
        channel: u16,
        /// Octets of the payload.
        size: u32,
        /// Octets that a payload may have: 8 below the negotiated `frame_max`.
        limit: u32,
    },
    /// A kind of frame that does not exist, or a heartbeat with a payload. The frame itself is
    /// whole, and `len` octets on the next one begins.
    #[error("type {kind}, {octets}: unknown_frame")]
    UnknownKind {
        /// The octet for the frame's kind.
        kind: u8,
        /// The frame's channel.
        channel: u16,
        /// The first of the payload.
        octets: Octets,
        /// Octets of the whole frame.
        len: usize,
    },
}

/// Finds the frame at the front of `buf`. `Ok(None)`: it is not all there yet.
///
/// `frame_max` is the negotiated one, 0 for no limit. Like RabbitMQ this lets a payload have
/// `frame_max` octets, 8 more than it may, because clients have got that wrong.
#[inline]
pub fn parse(buf: &[u8], frame_max: u32) -> Result<Option<Frame>, FrameError> {
    let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = buf.split_first_chunk::<FRAME_HEADER>()
    else {
        return Ok(None);
    };
    let channel = u16::from_be_bytes([c1, c0]);
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    if size > frame_max && frame_max != 0 {
        let limit = frame_max.saturating_sub(8);
        return Err(FrameError::TooLarge { kind, channel, size, limit });
    }
    let Ok(size) = usize::try_from(size) else { return Ok(None) };
    let Some(&end) = rest.get(size) else { return Ok(None) };
    let len = FRAME_OVERHEAD + size;
    let known = match kind {
        1 => FrameKind::Method,
        2 => FrameKind::Header,
        3 => FrameKind::Body,
        8 if size == 0 => FrameKind::Heartbeat,
        _ => return Err(unacceptable(kind, channel, rest, size, end)),
    };
    if end != FRAME_END {
        return Err(unacceptable(kind, channel, rest, size, end));
    }
    Ok(Some(Frame { kind: known, channel, payload: FRAME_HEADER..FRAME_HEADER + size, len }))
}

/// What is wrong with a frame that is all there.
#[cold]
fn unacceptable(kind: u8, channel: u16, rest: &[u8], size: usize, end: u8) -> FrameError {
    let octets = Octets::of(rest.get(..size).unwrap_or(rest));
    if end == FRAME_END {
        FrameError::UnknownKind { kind, channel, octets, len: FRAME_OVERHEAD + size }
    } else {
        FrameError::BadEnd { kind, channel, end, octets }
    }
}

/// The first 16 octets of a payload, for an error's text.
///
/// Displayed as RabbitMQ does: `all octets = <<0,60>>`, or `first 16 octets = ...` of more. Octets
/// that are all printable are a string: `<<"abc">>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Octets {
    first: [u8; 16],
    /// Octets of the payload; `first` has this many, if it has room.
    len: usize,
}

impl Octets {
    /// Keeps the first octets of `payload`.
    pub fn of(payload: &[u8]) -> Self {
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(payload) {
            *to = *from;
        }
        Self { first, len: payload.len() }
    }

    /// The octets that were kept.
    pub fn as_slice(&self) -> &[u8] {
        self.first.get(..self.len).unwrap_or(&self.first)
    }

    /// Whether those are all that there were.
    pub fn is_whole(&self) -> bool {
        self.len <= self.first.len()
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_whole() { "all octets = " } else { "first 16 octets = " })?;
        let octets = self.as_slice();
        match std::str::from_utf8(octets) {
            Ok(text) if !text.is_empty() && octets.iter().all(|o| (b' '..=b'~').contains(o)) => {
                write!(f, "<<{text:?}>>")
            }
            _ => f.write_str(&erlang_binary(octets)),
        }
    }
}

/// Octets as Erlang writes a binary: `<<1,2,3>>`.
pub(super) fn erlang_binary(octets: &[u8]) -> String {
    let numbers: Vec<String> = octets.iter().map(u8::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

/// Octets of a protocol header.
pub const PROTOCOL_HEADER: usize = 8;

/// The protocol header of AMQP 0-9-1, and what a peer of another version is told that we speak.
pub const AMQP_0_9_1: [u8; PROTOCOL_HEADER] = *b"AMQP\x00\x00\x09\x01";

/// What RabbitMQ 4 answers whoever speaks neither: it would speak AMQP 1.0 with SASL.
const AMQP_1_0_SASL: [u8; PROTOCOL_HEADER] = *b"AMQP\x03\x01\x00\x00";

/// What a peer opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// AMQP 0-9-1, or 0-9, which is served as 0-9-1.
    Amqp091,
    /// Another version of AMQP: these four octets behind `AMQP`.
    OtherVersion([u8; 4]),
    /// An HTTP request.
    Http,
    /// A TLS client hello: TLS on a port without it.
    Tls,
    /// Neither.
    Other([u8; PROTOCOL_HEADER]),
}

/// A protocol header that is not served: write `answer`, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is sent before the socket is closed.
    pub answer: [u8; PROTOCOL_HEADER],
    /// What the peer sent, for the log.
    pub header: ProtocolHeader,
}

/// Decides on the first eight octets of a connection; `None` before there are eight (RabbitMQ does
/// not answer fewer, whatever they are).
///
/// RabbitMQ 4: 0.0.9.1 and 1.1.0.9 are served; 0.0.9.x and above are answered with 0.0.9.1,
/// everything else with 3.1.0.0.
///
/// deviation: 3.1.0.0 itself, which RabbitMQ 4 serves, is answered with 0.0.9.1, as it would take
/// its own header for a yes.
pub fn protocol_header(buf: &[u8]) -> Option<Result<(), Refusal>> {
    let (octets, _) = buf.split_first_chunk::<PROTOCOL_HEADER>()?;
    let header = match *octets {
        [b'A', b'M', b'Q', b'P', 0, 0, 9, 1] | [b'A', b'M', b'Q', b'P', 1, 1, 0, 9] => {
            return Some(Ok(()));
        }
        [b'A', b'M', b'Q', b'P', a, b, c, d] => ProtocolHeader::OtherVersion([a, b, c, d]),
        [b'G', b'E', b'T', b' ', ..] => ProtocolHeader::Http,
        [0x16, 0x03, _, _, _, 0x01, ..] => ProtocolHeader::Tls,
        other => ProtocolHeader::Other(other),
    };
    let answer = match header {
        ProtocolHeader::OtherVersion([0, 0, 9..=255, _] | [3, 1, 0, 0]) => AMQP_0_9_1,
        _ => AMQP_1_0_SASL,
    };
    Some(Err(Refusal { answer, header }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&channel.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes.push(FRAME_END);
        bytes
    }

    fn text(bytes: &[u8], frame_max: u32) -> String {
        parse(bytes, frame_max).unwrap_err().to_string()
    }

    #[test]
    fn frame_is_found_at_the_front_of_what_follows() {
        let mut bytes = frame(3, 513, b"body");
        bytes.extend_from_slice(b"more");
        let found = parse(&bytes, 4096).unwrap().unwrap();
        assert_eq!((found.kind, found.channel, found.len), (FrameKind::Body, 513, 12));
        assert_eq!(&bytes[found.payload], b"body");
    }

    #[test]
    fn every_beginning_of_a_frame_waits_for_more() {
        let bytes = frame(1, 1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len], 4096), Ok(None), "{len} octets");
        }
        assert!(parse(&bytes, 4096).unwrap().is_some());
    }

    #[test]
    fn every_kind_gives_back_its_octet() {
        for kind in [FrameKind::Method, FrameKind::Header, FrameKind::Body, FrameKind::Heartbeat] {
            assert_eq!(parse(&frame(kind.octet(), 0, b""), 0).unwrap().unwrap().kind, kind);
        }
    }

    #[test]
    fn wrong_frame_end_is_explained_with_the_payload() {
        let mut bytes = frame(1, 0, &[0, 60, 0, 10]);
        *bytes.last_mut().unwrap() = 85;
        assert_eq!(
            text(&bytes, 0),
            "type 1, all octets = <<0,60,0,10>>: {invalid_frame_end_marker,85}"
        );
    }

    #[test]
    fn wrong_frame_end_counts_more_than_an_unknown_kind() {
        let mut bytes = frame(9, 0, b"x");
        *bytes.last_mut().unwrap() = 0;
        assert!(matches!(parse(&bytes, 0), Err(FrameError::BadEnd { kind: 9, end: 0, .. })));
    }

    #[test]
    fn too_large_frame_is_refused_before_its_payload_is_there() {
        assert_eq!(
            text(&[1, 0, 0, 0, 2, 0, 1], 131_072),
            "type 1, all octets = <<>>: {frame_too_large,131073,131064}"
        );
    }

    #[test]
    fn payload_of_exactly_frame_max_is_tolerated() {
        assert_eq!(parse(&frame(3, 1, &[7; 4096]), 4096).unwrap().unwrap().len, 4104);
        assert!(parse(&frame(3, 1, &[7; 4097]), 4096).is_err());
        assert!(parse(&frame(3, 1, &[7; 4097]), 0).unwrap().is_some());
    }

    #[test]
    fn unknown_kind_is_explained_and_says_where_the_next_frame_begins() {
        let bytes = frame(9, 3, b"abc");
        let error = parse(&bytes, 4096).unwrap_err();
        assert_eq!(error.to_string(), "type 9, all octets = <<\"abc\">>: unknown_frame");
        assert!(matches!(error, FrameError::UnknownKind { channel: 3, len: 11, .. }));
    }

    #[test]
    fn heartbeat_with_a_payload_is_an_unknown_frame() {
        assert_eq!(
            text(&frame(8, 0, b"abc"), 4096),
            "type 8, all octets = <<\"abc\">>: unknown_frame"
        );
    }

    #[test]
    fn long_payload_is_explained_with_its_first_sixteen_octets() {
        assert_eq!(
            text(&frame(9, 0, &[1; 17]), 4096),
            "type 9, first 16 octets = <<1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1>>: unknown_frame"
        );
        assert!(Octets::of(&[1; 16]).is_whole());
    }

    #[test]
    fn amqp_0_9_1_and_0_9_are_served() {
        assert_eq!(protocol_header(b"AMQP\x00\x00\x09\x01rest"), Some(Ok(())));
        assert_eq!(protocol_header(b"AMQP\x01\x01\x00\x09"), Some(Ok(())));
    }

    #[test]
    fn fewer_than_eight_octets_are_not_answered() {
        assert_eq!(protocol_header(b"AMQP\x00\x00\x09"), None);
        assert_eq!(protocol_header(b"HELLO"), None);
    }

    #[test]
    fn other_protocol_headers_are_answered_as_rabbitmq_4_does() {
        let answer = |bytes: &[u8]| protocol_header(bytes).unwrap().unwrap_err().answer;
        assert_eq!(answer(b"AMQP\x00\x00\x09\x00"), AMQP_0_9_1);
        assert_eq!(answer(b"AMQP\x00\x00\x0a\x00"), AMQP_0_9_1);
        assert_eq!(answer(b"AMQP\x00\x00\x08\x01"), AMQP_1_0_SASL);
        assert_eq!(answer(b"AMQP\x00\x01\x00\x00"), AMQP_1_0_SASL);
        assert_eq!(answer(b"AMQP\x01\x01\x08\x00"), AMQP_1_0_SASL);
        assert_eq!(answer(b"AMQP\x05\x05\x05\x05"), AMQP_1_0_SASL);
        assert_eq!(answer(b"HELLO123"), AMQP_1_0_SASL);
        assert_eq!(answer(b"AMQP\x03\x01\x00\x00"), AMQP_0_9_1);
    }

    #[test]
    fn http_and_tls_are_recognised() {
        let header = |bytes: &[u8]| protocol_header(bytes).unwrap().unwrap_err().header;
        assert_eq!(header(b"GET / HTTP/1.1"), ProtocolHeader::Http);
        assert_eq!(header(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]), ProtocolHeader::Tls);
    }
}
