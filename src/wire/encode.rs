//! Frames to bytes, appended to an output buffer.
//!
//! Nothing here allocates but the buffer when it has to grow, once for each call, and [`method()`],
//! which is for what does not come with every message.

use super::{
    frame::{FRAME_END, FRAME_HEADER, FRAME_OVERHEAD, FrameKind},
    method::{AMQPClass, cut},
};
use crate::names::{DeliveryTag, PublishSeq};

/// Appends a method frame of any method; for those that have no function of their own here.
pub fn method(out: &mut Vec<u8>, channel: u16, class: &AMQPClass) {
    // Writing into a `Vec` cannot fail, so there is always something to append.
    let generated = amq_protocol::protocol::gen_class(class)(Vec::with_capacity(64).into());
    debug_assert!(generated.is_ok());
    if let Ok(generated) = generated {
        let payload = generated.into_inner().0;
        begin(out, FrameKind::Method, channel, payload.len());
        out.extend_from_slice(&payload);
        out.push(FRAME_END);
    }
}

/// Appends `basic.deliver`. `address` is that of the message: exchange and routing key, each
/// behind its length. The content follows.
pub fn deliver(
    out: &mut Vec<u8>,
    channel: u16,
    consumer_tag: &[u8],
    tag: DeliveryTag,
    redelivered: bool,
    address: &[u8],
) {
    debug_assert!(consumer_tag.len() <= 255);
    let size = 4 + 1 + consumer_tag.len() + 9 + address.len();
    out.reserve(FRAME_OVERHEAD + size);
    let [kind, c1, c0, s3, s2, s1, s0] = frame_header(FrameKind::Method, channel, size);
    let tag_len = consumer_tag.len() as u8;
    out.extend_from_slice(&[kind, c1, c0, s3, s2, s1, s0, 0, 60, 0, 60, tag_len]);
    out.extend_from_slice(consumer_tag);
    out.extend_from_slice(&tagged(tag, redelivered.into()));
    out.extend_from_slice(address);
    out.push(FRAME_END);
}

/// Appends `basic.get-ok`. The content follows.
pub fn get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    tag: DeliveryTag,
    redelivered: bool,
    address: &[u8],
    message_count: u32,
) {
    begin(out, FrameKind::Method, channel, 4 + 9 + address.len() + 4);
    out.extend_from_slice(&[0, 60, 0, 71]);
    out.extend_from_slice(&tagged(tag, redelivered.into()));
    out.extend_from_slice(address);
    out.extend_from_slice(&message_count.to_be_bytes());
    out.push(FRAME_END);
}

/// Appends `basic.return`. The content follows.
pub fn basic_return(
    out: &mut Vec<u8>,
    channel: u16,
    reply_code: u16,
    reply_text: &str,
    address: &[u8],
) {
    let text = cut(reply_text, 255);
    begin(out, FrameKind::Method, channel, 4 + 2 + 1 + text.len() + address.len());
    out.extend_from_slice(&[0, 60, 0, 50]);
    out.extend_from_slice(&reply_code.to_be_bytes());
    shortstr(out, text.as_bytes());
    out.extend_from_slice(address);
    out.push(FRAME_END);
}

/// Appends `basic.ack`: a confirm.
pub fn ack(out: &mut Vec<u8>, channel: u16, tag: PublishSeq, multiple: bool) {
    settle(out, channel, 80, tag, multiple.into());
}

/// Appends `basic.nack`: a confirm that the message was not taken.
pub fn nack(out: &mut Vec<u8>, channel: u16, tag: PublishSeq, multiple: bool, requeue: bool) {
    settle(out, channel, 120, tag, u8::from(multiple) | u8::from(requeue) << 1);
}

/// Appends a heartbeat.
pub fn heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, FRAME_END]);
}

/// Appends a content header of class basic; `properties` are flags and list as they came in.
pub fn content_header(out: &mut Vec<u8>, channel: u16, body_size: u64, properties: &[u8]) {
    let size = 12 + properties.len();
    out.reserve(FRAME_OVERHEAD + size);
    let [kind, c1, c0, s3, s2, s1, s0] = frame_header(FrameKind::Header, channel, size);
    let [b7, b6, b5, b4, b3, b2, b1, b0] = body_size.to_be_bytes();
    out.extend_from_slice(&[
        kind, c1, c0, s3, s2, s1, s0, 0, 60, 0, 0, b7, b6, b5, b4, b3, b2, b1, b0,
    ]);
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

/// Appends a whole content whose body lies in one piece: header and body frames, room for which is
/// made once.
pub fn content(out: &mut Vec<u8>, channel: u16, properties: &[u8], body: &[u8], frame_max: u32) {
    out.reserve(2 * FRAME_OVERHEAD + 12 + properties.len() + body.len());
    content_header(out, channel, body.len() as u64, properties);
    for piece in body.chunks(payload_max(frame_max)) {
        out.extend_from_slice(&frame_header(FrameKind::Body, channel, piece.len()));
        out.extend_from_slice(piece);
        out.push(FRAME_END);
    }
}

/// Appends a body in as many frames as it takes, none if it is empty. `frame_max` is the
/// negotiated one, 0 for no limit. The pieces may be cut in any way; frames are filled.
pub fn body_frames<'a>(
    out: &mut Vec<u8>,
    channel: u16,
    body: impl Iterator<Item = &'a [u8]>,
    frame_max: u32,
) {
    let limit = payload_max(frame_max);
    // The frame that is being filled: where it begins, and how much it still takes.
    let mut open: Option<(usize, usize)> = None;
    for mut piece in body {
        while !piece.is_empty() {
            let (start, room) = open.unwrap_or_else(|| {
                let start = out.len();
                begin(out, FrameKind::Body, channel, limit.min(piece.len()));
                (start, limit)
            });
            let (taken, rest) = piece.split_at(room.min(piece.len()));
            out.extend_from_slice(taken);
            piece = rest;
            open = Some((start, room - taken.len())).filter(|(_, room)| *room > 0);
            if open.is_none() {
                finish(out, start);
            }
        }
    }
    if let Some((start, _)) = open {
        finish(out, start);
    }
}

/// Appends the seven octets that come before `len` octets of body, which the caller writes from
/// where they are, and then [`FRAME_END`].
pub fn body_frame_header(out: &mut Vec<u8>, channel: u16, len: u32) {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = len.to_be_bytes();
    out.extend_from_slice(&[FrameKind::Body.octet(), c1, c0, s3, s2, s1, s0]);
}

/// Octets of body that a frame can take; `frame_max` is the negotiated one, 0 for no limit.
pub fn payload_max(frame_max: u32) -> usize {
    let frame_max = if frame_max == 0 { u32::MAX } else { frame_max };
    usize::try_from(frame_max).unwrap_or(usize::MAX).saturating_sub(FRAME_OVERHEAD).max(1)
}

/// Appends a frame's kind, channel and size, and makes room for the rest of it.
#[inline]
fn begin(out: &mut Vec<u8>, kind: FrameKind, channel: u16, size: usize) {
    out.reserve(FRAME_OVERHEAD + size);
    out.extend_from_slice(&frame_header(kind, channel, size));
}

/// Kind, channel and size of a frame.
#[inline]
fn frame_header(kind: FrameKind, channel: u16, size: usize) -> [u8; FRAME_HEADER] {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    [kind.octet(), c1, c0, s3, s2, s1, s0]
}

/// Ends the frame that began at `start`, now that its size is known.
fn finish(out: &mut Vec<u8>, start: usize) {
    let size = (out.len() - start - FRAME_HEADER) as u32;
    if let Some(place) = out.get_mut(start + 3..start + FRAME_HEADER) {
        place.copy_from_slice(&size.to_be_bytes());
    }
    out.push(FRAME_END);
}

/// Appends a string of at most 255 bytes behind its length.
#[inline]
fn shortstr(out: &mut Vec<u8>, text: &[u8]) {
    debug_assert!(text.len() <= 255);
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// A delivery tag and an octet of bits.
#[inline]
fn tagged(DeliveryTag(tag): DeliveryTag, bits: u8) -> [u8; 9] {
    let [t7, t6, t5, t4, t3, t2, t1, t0] = tag.to_be_bytes();
    [t7, t6, t5, t4, t3, t2, t1, t0, bits]
}

/// Appends a method of class basic that has only a tag and bits.
#[inline]
fn settle(out: &mut Vec<u8>, channel: u16, method_id: u8, tag: PublishSeq, bits: u8) {
    let [c1, c0] = channel.to_be_bytes();
    let [t7, t6, t5, t4, t3, t2, t1, t0] = tag.0.to_be_bytes();
    out.extend_from_slice(&[
        1, c1, c0, 0, 0, 0, 13, 0, 60, 0, method_id, t7, t6, t5, t4, t3, t2, t1, t0, bits,
        FRAME_END,
    ]);
}
