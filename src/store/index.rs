//! A cold page's index row: what recovery has to know without reading the bodies.
//!
//! ```text
//! version u8 | append | row bytes | bytes of a body in rows of its own
//!   | runs: count of pieces, then for each: gap before it, places in it
//!   | body sizes: column | priorities: column | flags: column | deadlines: column
//! ```
//!
//! A column is one tag and one value when all messages agree, which is the usual case, and a value
//! for each message otherwise. All numbers are varints. Of
//! the deadlines only the earliest is told, as if all had it; 0 if no message has one.

use super::{
    op::Standing,
    page::{Contents, Draft, Fresh, Malformed, Records, Runs, RunsBuilder},
    record::{put_varint, take_varint},
};

const VERSION: u8 = 1;
const ALL_ALIKE: u8 = 0;
const EACH: u8 = 1;

/// What an index row says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) runs: Runs,
    /// The number of the append that the page came with.
    pub(super) append: u64,
    pub(super) row_bytes: u64,
    pub(super) chunk_bytes: u64,
    pub(super) body_bytes: Column,
    /// When the first of its messages expires or is ready again; 0 for never.
    pub(super) deadline: u64,
}

/// One value for each message of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// All have this one.
    Alike(u64),
    /// In the order of the messages.
    Each(Box<[u64]>),
}

impl Column {
    fn new(values: Vec<u64>) -> Self {
        match values.first() {
            Some(&first) if values.iter().any(|&v| v != first) => Self::Each(values.into()),
            first => Self::Alike(first.copied().unwrap_or_default()),
        }
    }

    /// The value of the message with this ordinal.
    pub(super) fn get(&self, ordinal: u32) -> u64 {
        match self {
            Self::Alike(value) => *value,
            Self::Each(values) => values.get(ordinal as usize).copied().unwrap_or_default(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Alike(value) => {
                out.push(ALL_ALIKE);
                put_varint(out, *value);
            }
            Self::Each(values) => {
                out.push(EACH);
                values.iter().for_each(|&value| put_varint(out, value));
            }
        }
    }

    fn take(bytes: &mut &[u8], count: u32) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        *bytes = rest;
        match tag {
            ALL_ALIKE => Some(Self::Alike(take_varint(bytes)?)),
            EACH => (0..count).map(|_| take_varint(bytes)).collect::<Option<_>>().map(Self::Each),
            _ => None,
        }
    }
}

/// What a page's row says of its messages, read from the row itself.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) runs: Runs,
    pub(super) body_bytes: Column,
    priorities: Column,
    flags: Column,
    /// When the first of its messages expires or is ready again; 0 for never.
    pub(super) deadline: u64,
    /// Bytes of the body that has rows of its own, if one has.
    pub(super) chunk_bytes: u64,
}

impl Summary {
    /// Reads through a page's row.
    pub(super) fn read(first: u64, row: &[u8]) -> Result<Self, Malformed> {
        let mut runs = RunsBuilder::default();
        let [mut body_bytes, mut priorities, mut all_flags] = [const { Vec::new() }; 3];
        let (mut chunk_bytes, mut deadline) = (0, 0);
        for record in Records::new(first, row) {
            let (position, _, record) = record?;
            runs.push(position).ok_or(Malformed)?;
            body_bytes.push(record.body_len as u64);
            if record.is_chunked() {
                chunk_bytes += record.body_len as u64;
            }
            priorities.push(u64::from(record.traits.priority));
            all_flags.push(flags(record.traits.is_persistent, record.standing));
            deadline = earlier(deadline, due(record.standing));
        }
        if body_bytes.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            runs: runs.build(),
            body_bytes: Column::new(body_bytes),
            priorities: Column::new(priorities),
            flags: Column::new(all_flags),
            deadline,
            chunk_bytes,
        })
    }

    /// The same of a page that is still to be written.
    pub(super) fn of(draft: &Draft) -> Result<Self, Malformed> {
        let messages = match &draft.contents {
            Contents::Packed(bytes) => return Self::read(draft.first(), bytes),
            Contents::Fresh(messages) => messages,
        };
        let column =
            |value: &dyn Fn(&Fresh) -> u64| Column::new(messages.iter().map(value).collect());
        Ok(Self {
            runs: draft.runs.clone().build(),
            body_bytes: column(&|fresh| fresh.message.body_len() as u64),
            priorities: column(&|fresh| u64::from(fresh.message.priority())),
            flags: column(&|fresh| flags(fresh.message.is_persistent(), fresh.standing)),
            deadline: messages.iter().map(|fresh| due(fresh.standing)).fold(0, earlier),
            chunk_bytes: draft.chunk_bytes(),
        })
    }

    /// The index row.
    pub(super) fn put(&self, out: &mut Vec<u8>, append: u64, row_bytes: u64) {
        out.push(VERSION);
        put_varint(out, append);
        put_varint(out, row_bytes);
        put_varint(out, self.chunk_bytes);
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut next = self.runs.first;
        for position in self.runs.positions() {
            match pieces.last_mut() {
                Some((_, places)) if position == next => *places += 1,
                _ => pieces.push((position - next, 1)),
            }
            next = position + 1;
        }
        put_varint(out, pieces.len() as u64);
        for (gap, places) in pieces {
            put_varint(out, gap);
            put_varint(out, places);
        }
        for column in
            [&self.body_bytes, &self.priorities, &self.flags, &Column::Alike(self.deadline)]
        {
            column.put(out);
        }
    }
}

/// The earlier of two deadlines, of which 0 is none.
pub(super) fn earlier(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

/// When a message expires or is ready again; 0 for never.
fn due(standing: Standing) -> u64 {
    earlier(standing.expires_at, standing.ready_at)
}

fn flags(is_persistent: bool, standing: Standing) -> u64 {
    u64::from(is_persistent) | u64::from(standing.returns > 0) << 1
}

impl Index {
    /// Reads the index row of the page whose first place is `first`.
    pub(super) fn read(first: u64, mut bytes: &[u8]) -> Result<Self, Malformed> {
        Self::take(first, &mut bytes).ok_or(Malformed)
    }

    fn take(first: u64, bytes: &mut &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        *bytes = rest;
        if version != VERSION {
            return None;
        }
        let append = take_varint(bytes)?;
        let row_bytes = take_varint(bytes)?;
        let chunk_bytes = take_varint(bytes)?;
        let mut runs = RunsBuilder::default();
        let mut next = first;
        for _ in 0..take_varint(bytes)? {
            next = next.checked_add(take_varint(bytes)?)?;
            for _ in 0..take_varint(bytes)? {
                runs.push(next)?;
                next = next.checked_add(1)?;
            }
        }
        let runs = runs.build();
        if runs.count == 0 || runs.first != first {
            return None;
        }
        let body_bytes = Column::take(bytes, runs.count)?;
        for _ in 0..2 {
            Column::take(bytes, runs.count)?;
        }
        let deadline = Column::take(bytes, runs.count)?.get(0);
        let index = Self { runs, append, row_bytes, chunk_bytes, body_bytes, deadline };
        bytes.is_empty().then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        message::{Message, Traits},
        store::page::pack,
    };

    proptest! {
        #[test]
        fn index_says_what_the_page_says(
            messages in prop::collection::vec((1u64..4, 0usize..40, 0u8..2), 1..100)
        ) {
            let mut draft = Draft::default();
            let mut position = 5;
            let (mut sizes, mut earliest) = (Vec::new(), 0);
            for (gap, size, priority) in messages {
                let traits = Traits { is_persistent: true, priority, ..Traits::default() };
                let body = vec![7; size];
                let message =
                    Message::copied(b"\0\0", b"\0\0", &[&body], traits, &mut Vec::new());
                let expires_at = if size > 20 { 1000 - size as u64 } else { 0 };
                let ready_at = if gap == 3 { 970 + size as u64 } else { 0 };
                let moments = [earliest, expires_at, ready_at].into_iter().filter(|at| *at > 0);
                earliest = moments.min().unwrap_or(0);
                let standing = Standing { expires_at, ready_at, ..Standing::default() };
                pack(&mut draft, position, message, standing, |_| unreachable!("one page"));
                sizes.push(size as u64);
                position += gap;
            }
            let mut page = Vec::new();
            draft.put(&mut page);
            prop_assert_eq!(page.len(), draft.len);
            let [mut row, mut same] = [const { Vec::new() }; 2];
            Summary::read(5, &page).unwrap().put(&mut row, 9, 17);
            Summary::of(&draft).unwrap().put(&mut same, 9, 17);
            prop_assert_eq!(&row, &same);
            let index = Index::read(5, &row).unwrap();
            prop_assert_eq!(&index.runs, &draft.runs.build());
            prop_assert_eq!(index.deadline, earliest);
            prop_assert_eq!((index.append, index.row_bytes, index.chunk_bytes), (9, 17, 0));
            for (ordinal, &size) in sizes.iter().enumerate() {
                prop_assert_eq!(index.body_bytes.get(ordinal as u32), size);
            }
            for len in 0..row.len() {
                prop_assert!(Index::read(5, &row[..len]).is_err());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Index::read(1, &bytes);
            let _ = Summary::read(1, &bytes);
        }
    }
}
