//! Pages: consecutive messages of one queue, packed into one row.
//!
//! A page's row is its records, one behind the other, each preceded by the distance of its place
//! from the place before (0 for the first, whose place is in the row's key). So a page can grow
//! at its end, and its records can be copied into another page as they are.
//!
//! redb keeps a row this large in an allocation of its own and allocates in powers of two:
//! [`PAGE_BYTES_MAX`] fills 64 KiB to the brim; one byte more than fits would cost 128 KiB.
//!
//! A message too large for a page, or that would leave too much of one empty, has a page of its
//! own, with its body in rows of the sizes of [`CHUNKS`]: see [`chunk_lens`]. A single row of 10 MB
//! would be given 16 MiB; these take 0.5 % more than the body, and 2 % more for 1 MB.
//!
//! # Figures
//! `cargo bench --bench page` on a shared virtual machine of two cores, the least of its samples:
//! 48 ns to pack a message, and 65 ns (100 B) or 77 ns (1 KiB) to make one of its record again.

use std::mem;

use super::{
    op::{RecordKind, Standing},
    record::{
        Out, RETURNS_LEN, Record, put_record, put_returned, put_varint, record_len, take_record,
        take_varint, varint_len,
    },
    state::Returns,
};
use crate::message::Message;

/// Bytes of a page's row: 64 KiB less redb's header, offset and key, and something to spare.
pub(super) const PAGE_BYTES_MAX: usize = 65_400;

/// Bytes of a body's rows: those that fill redb's allocations of 64 KiB down to 4 KiB.
const CHUNKS: [usize; 5] = [65_400, 32_700, 16_300, 8_100, 4_000];

/// A row may leave this share of its allocation empty rather than be split further.
const EMPTY_SHARE: usize = 5;

/// The places of one page lie within this many of each other, so that distances fit 16 bits.
const SPAN_MAX: u64 = 0xffff;

/// The lengths of the rows of a body of so many bytes.
pub(super) fn chunk_lens(bytes: u64) -> impl Iterator<Item = usize> {
    let mut rest = usize::try_from(bytes).unwrap_or(usize::MAX);
    std::iter::from_fn(move || {
        let len = chunk_len(rest);
        rest -= len;
        (len > 0).then_some(len)
    })
}

/// The length of the first of the rows that `rest` bytes are split into.
fn chunk_len(rest: usize) -> usize {
    let fitting = CHUNKS.iter().rposition(|&len| rest <= len);
    match fitting {
        None => CHUNKS[0],
        Some(at) => match CHUNKS.get(at + 1) {
            Some(&smaller) if rest < CHUNKS[at] - CHUNKS[at] / EMPTY_SHARE => smaller,
            _ => rest,
        },
    }
}

/// How many rows a body of so many bytes has for itself.
pub(super) fn chunk_rows(bytes: u64) -> u32 {
    chunk_lens(bytes).count() as u32
}

/// Whether a record of `len` bytes would better not be in a page.
fn is_chunked(len: usize) -> bool {
    let max = PAGE_BYTES_MAX - DELTA_LEN_MAX;
    len > max || (len > max / 2 && len < max - max / EMPTY_SHARE)
}

/// Which places a page holds: a first one, and pieces without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u32,
    /// Pieces behind the first gap: distance from `first`, and how many places come before it.
    pieces: Box<[(u16, u16)]>,
}

impl Runs {
    /// The number of places before `position`, if the page holds it.
    pub(super) fn ordinal(&self, position: u64) -> Option<u32> {
        let offset = position.checked_sub(self.first)?;
        if position > self.last {
            return None;
        }
        let offset = offset as u16;
        let next = self.pieces.partition_point(|&(start, _)| start <= offset);
        let (start, before) = match next {
            0 => (0, 0),
            _ => self.pieces[next - 1],
        };
        let ordinal = u32::from(before) + u32::from(offset - start);
        let limit = self.pieces.get(next).map_or(self.count, |&(_, before)| u32::from(before));
        (ordinal < limit).then_some(ordinal)
    }

    /// The ordinals of the places in `first..end`.
    pub(super) fn ordinals(&self, first: u64, end: u64) -> std::ops::Range<u32> {
        self.rank(first)..self.rank(end)
    }

    /// How many places come before `position`, which the page need not hold.
    fn rank(&self, position: u64) -> u32 {
        if position > self.last {
            return self.count;
        }
        let Some(offset) = position.checked_sub(self.first) else { return 0 };
        let offset = offset as u16;
        let next = self.pieces.partition_point(|&(start, _)| start <= offset);
        let (start, before) = match next {
            0 => (0, 0),
            _ => self.pieces[next - 1],
        };
        let limit = self.pieces.get(next).map_or(self.count, |&(_, before)| u32::from(before));
        limit.min(u32::from(before) + u32::from(offset - start))
    }

    /// Every place, in order.
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> {
        let mut pieces = self.pieces.iter().peekable();
        let mut next = self.first;
        (0..self.count).map(move |ordinal| {
            if let Some(&&(start, before)) = pieces.peek()
                && u32::from(before) == ordinal
            {
                next = self.first + u64::from(start);
                pieces.next();
            }
            next += 1;
            next - 1
        })
    }

    /// Bytes of memory beyond the struct itself.
    #[cfg(test)]
    fn pieces_count(&self) -> usize {
        self.pieces.len()
    }
}

/// Collects places into [`Runs`].
#[derive(Clone, Debug, Default)]
pub(super) struct RunsBuilder {
    first: u64,
    last: u64,
    count: u32,
    pieces: Vec<(u16, u16)>,
}

impl RunsBuilder {
    /// Goes on where `runs` ends.
    pub(super) fn resume(runs: &Runs) -> Self {
        Self { first: runs.first, last: runs.last, count: runs.count, pieces: runs.pieces.to_vec() }
    }

    /// Whether `position` is near enough to be in the same page.
    fn fits(&self, position: u64) -> bool {
        self.count == 0 || position - self.first <= SPAN_MAX
    }

    /// Adds a place behind all the others and returns its distance from the last, or `None` when
    /// it is not behind them or too far away.
    pub(super) fn push(&mut self, position: u64) -> Option<u64> {
        if self.count == 0 {
            *self = Self { first: position, last: position, count: 1, pieces: Vec::new() };
            return Some(0);
        }
        if position <= self.last || !self.fits(position) {
            return None;
        }
        let delta = position - self.last;
        if delta > 1 {
            self.pieces.push(((position - self.first) as u16, self.count as u16));
        }
        self.last = position;
        self.count += 1;
        Some(delta)
    }

    pub(super) fn build(self) -> Runs {
        Runs {
            first: self.first,
            last: self.last,
            count: self.count,
            pieces: self.pieces.into_boxed_slice(),
        }
    }
}

/// A page on its way to its row.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) runs: RunsBuilder,
    pub(super) contents: Contents,
    /// Bytes of `contents` as a row, or as the part to be appended to one.
    pub(super) len: usize,
    /// Bytes of the row that are already written, when the page grows.
    pub(super) len_before: usize,
    /// The body to be put into rows of its own; the page then holds nothing else.
    pub(super) chunked: Option<Chunked>,
}

/// What a page is made of.
#[derive(Debug)]
pub(super) enum Contents {
    /// Messages, which become bytes in the row itself.
    Fresh(Vec<Fresh>),
    /// Records copied from other rows.
    Packed(Vec<u8>),
}

impl Default for Contents {
    fn default() -> Self {
        Self::Fresh(Vec::new())
    }
}

/// A message on its way to a page.
#[derive(Debug)]
pub(super) struct Fresh {
    /// Its distance from the message before.
    delta: u64,
    pub(super) message: Message,
    pub(super) standing: Standing,
}

/// A body that has rows of its own.
#[derive(Debug)]
pub(super) enum Chunked {
    /// It is written from the message.
    Fresh(Message),
    /// Its rows, of so many bytes, are copied from where they are now.
    Copied(u64),
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.count == 0
    }

    pub(super) fn first(&self) -> u64 {
        self.runs.first
    }

    /// Bytes of the whole row.
    pub(super) fn row_bytes(&self) -> usize {
        self.len_before + self.len
    }

    /// Bytes of the body's own rows.
    pub(super) fn chunk_bytes(&self) -> u64 {
        match &self.chunked {
            None => 0,
            Some(Chunked::Fresh(message)) => message.body_len() as u64,
            Some(Chunked::Copied(bytes)) => *bytes,
        }
    }

    /// Bytes that are new in the file.
    pub(super) fn added_bytes(&self) -> u64 {
        self.len as u64 + self.chunk_bytes()
    }

    /// Puts the row, or the part to be appended: [`Self::len`] bytes.
    pub(super) fn put(&self, out: &mut impl Out) {
        match &self.contents {
            Contents::Packed(bytes) => out.put(bytes),
            Contents::Fresh(messages) => {
                for fresh in messages {
                    put_varint(out, fresh.delta);
                    put_record(out, &fresh.message, fresh.standing, self.chunked.is_some());
                }
            }
        }
    }

    /// Whether `bytes` more at `position` still make a page.
    fn has_room(&self, position: u64, bytes: usize) -> bool {
        self.chunked.is_none()
            && self.runs.fits(position)
            && self.row_bytes() + bytes <= PAGE_BYTES_MAX
    }
}

/// Bytes of a distance between places, at most.
const DELTA_LEN_MAX: usize = 3;

/// Packs messages into pages: first into `draft`, then into new ones. Full pages go to `done`.
pub(super) fn pack(
    draft: &mut Draft,
    position: u64,
    message: Message,
    standing: Standing,
    mut done: impl FnMut(Draft),
) {
    let mut len = record_len(&message, standing, false);
    let is_chunked = is_chunked(len);
    if is_chunked {
        len = record_len(&message, standing, true);
    }
    if !draft.is_empty() && (is_chunked || !draft.has_room(position, DELTA_LEN_MAX + len)) {
        let count = draft.runs.count as usize;
        done(mem::take(draft));
        draft.contents = Contents::Fresh(Vec::with_capacity(count));
    }
    let Some(delta) = draft.runs.push(position) else {
        debug_assert!(false, "places of a queue grow");
        return;
    };
    draft.len += varint_len(delta) + len;
    if is_chunked {
        draft.chunked = Some(Chunked::Fresh(message.clone()));
    }
    if let Contents::Fresh(messages) = &mut draft.contents {
        messages.push(Fresh { delta, message, standing });
    }
}

/// Packs a record that lies in another page's row as it is.
pub(super) fn repack(
    draft: &mut Draft,
    position: u64,
    record: &[u8],
    returns: Option<Returns>,
    mut done: impl FnMut(Draft),
) {
    if !draft.is_empty() && !draft.has_room(position, DELTA_LEN_MAX + RETURNS_LEN + record.len()) {
        done(mem::take(draft));
    }
    let Some(delta) = draft.runs.push(position) else {
        debug_assert!(false, "places of a queue grow");
        return;
    };
    if draft.runs.count == 1 {
        draft.contents = Contents::Packed(Vec::new());
    }
    if let Contents::Packed(bytes) = &mut draft.contents {
        put_varint(bytes, delta);
        match returns {
            None => bytes.extend_from_slice(record),
            Some(returns) => put_returned(bytes, record, returns),
        }
        draft.len = bytes.len();
    }
}

/// A page's records, in order. Ends with `Err` where the bytes make no sense.
#[derive(Debug)]
pub(super) struct Records<'a> {
    position: u64,
    rest: &'a [u8],
    is_first: bool,
}

impl<'a> Records<'a> {
    /// The records of the page whose first place is `first`.
    pub(super) fn new(first: u64, row: &'a [u8]) -> Self {
        Self { position: first, rest: row, is_first: true }
    }

    fn take(&mut self) -> Option<(u64, &'a [u8], Record<'a>)> {
        let delta = take_varint(&mut self.rest)?;
        if (delta == 0) != self.is_first {
            return None;
        }
        self.is_first = false;
        self.position = self.position.checked_add(delta)?;
        let start = self.rest;
        let record = take_record(&mut self.rest)?;
        Some((self.position, &start[..start.len() - self.rest.len()], record))
    }
}

impl<'a> Iterator for Records<'a> {
    /// Place, raw bytes of the record, and the record.
    type Item = Result<(u64, &'a [u8], Record<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.take();
        if item.is_none() {
            self.rest = &[];
        }
        Some(item.ok_or(Malformed))
    }
}

/// Bytes on the disk that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The record kind with this number.
pub(super) fn record_kind(number: u8) -> Option<RecordKind> {
    use RecordKind as K;
    [
        K::Vhost,
        K::Exchange,
        K::Queue,
        K::Binding,
        K::User,
        K::Permission,
        K::TopicPermission,
        K::Policy,
        K::Parameter,
    ]
    .into_iter()
    .find(|&kind| kind as u8 == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_know_their_places(
            gaps in prop::collection::vec(1u64..4, 1..200),
            start in 0u64..10,
        ) {
            let mut builder = RunsBuilder::default();
            let mut places = Vec::new();
            let mut position = start;
            for gap in gaps {
                prop_assert!(builder.push(position).is_some());
                places.push(position);
                position += gap;
            }
            let runs = builder.build();
            prop_assert_eq!(runs.positions().collect::<Vec<_>>(), places.clone());
            for p in 0..position + 2 {
                let ordinal = places.iter().position(|&q| q == p).map(|o| o as u32);
                prop_assert_eq!(runs.ordinal(p), ordinal);
                let before = places.iter().filter(|&&q| q < p).count() as u32;
                prop_assert_eq!(runs.ordinals(p, p).start, before);
            }
        }
    }

    #[test]
    fn rows_of_a_body_waste_little() {
        for bytes in (0..3_000_000).step_by(997) {
            let lens: Vec<usize> = chunk_lens(bytes).collect();
            assert_eq!(lens.iter().sum::<usize>() as u64, bytes);
            let allocated = |len: usize| (len + 36).next_power_of_two().max(4096);
            let all: usize = lens.iter().map(|&len| allocated(len)).sum();
            assert!(all as u64 <= bytes * 5 / 4 + 4096, "{bytes} bytes take {all}: {lens:?}");
        }
    }

    #[test]
    fn neighbours_need_no_pieces() {
        let mut builder = RunsBuilder::default();
        for position in 7..1000 {
            builder.push(position).unwrap();
        }
        assert_eq!(builder.push(999), None);
        assert_eq!(builder.push(7 + SPAN_MAX + 1), None);
        assert_eq!(builder.build().pieces_count(), 0);
    }
}
