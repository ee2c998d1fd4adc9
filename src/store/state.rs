//! Which messages of a page are settled, and which have come back: in memory and as a row.
//!
//! ```text
//! dead:  0
//! alive: 1 | settled: set | returned: count, then for each: ordinal, returns, failures, ready at
//! set:   full prefix varint | bytes varint | bits of the ordinals behind the prefix
//! ```

use std::collections::BTreeMap;

use super::{
    page::Malformed,
    record::{put_varint, take, take_varint},
};

const DEAD: u8 = 0;
const ALIVE: u8 = 1;

/// A set of ordinals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn contains(&self, ordinal: u32) -> bool {
        self.0.get(ordinal as usize / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    /// Adds an ordinal; whether it was not there before.
    pub(super) fn insert(&mut self, ordinal: u32) -> bool {
        let word = ordinal as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let before = self.0[word];
        self.0[word] |= 1 << (ordinal % 64);
        before != self.0[word]
    }

    fn put(&self, out: &mut Vec<u8>) {
        let full = self.0.iter().take_while(|&&word| word == u64::MAX).count();
        put_varint(out, full as u64 * 64);
        let mut bits: Vec<u8> = self.0[full..].iter().flat_map(|word| word.to_le_bytes()).collect();
        while bits.last() == Some(&0) {
            bits.pop();
        }
        put_varint(out, bits.len() as u64);
        out.extend_from_slice(&bits);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        // No page has more messages than fit 16 bits.
        let full = usize::try_from(take_varint(bytes)?).ok().filter(|full| *full <= 1 << 16)?;
        let len = usize::try_from(take_varint(bytes)?).ok()?;
        let bits = take(bytes, len)?;
        if full % 64 != 0 || len > 1 << 13 {
            return None;
        }
        let mut words = vec![u64::MAX; full / 64];
        for chunk in bits.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            words.push(u64::from_le_bytes(word));
        }
        Some(Self(words))
    }
}

/// What has happened to a page's messages since the page was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) settled: Bits,
    /// By ordinal.
    pub(super) returned: BTreeMap<u32, Returns>,
}

/// How often a message came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Returns {
    pub(super) times: u16,
    pub(super) failures: u16,
    /// When it is ready again.
    pub(super) ready_at: u64,
}

/// The row of a page of which nothing is left.
pub(super) fn dead_row() -> &'static [u8] {
    &[DEAD]
}

impl State {
    /// The row of a page of which something is left.
    pub(super) fn row(&self) -> Vec<u8> {
        let mut out = vec![ALIVE];
        self.settled.put(&mut out);
        put_varint(&mut out, self.returned.len() as u64);
        for (&ordinal, returns) in &self.returned {
            put_varint(&mut out, ordinal.into());
            put_varint(&mut out, returns.times.into());
            put_varint(&mut out, returns.failures.into());
            put_varint(&mut out, returns.ready_at);
        }
        out
    }

    /// Reads a row; `None` for a page of which nothing is left.
    pub(super) fn read(mut row: &[u8]) -> Result<Option<Self>, Malformed> {
        if row == [DEAD] {
            return Ok(None);
        }
        let row = &mut row;
        let alive = (|| {
            (take(row, 1)? == [ALIVE]).then_some(())?;
            let settled = Bits::take(row)?;
            let mut returned = BTreeMap::new();
            for _ in 0..take_varint(row)? {
                let ordinal = u32::try_from(take_varint(row)?).ok()?;
                let times = u16::try_from(take_varint(row)?).ok()?;
                let failures = u16::try_from(take_varint(row)?).ok()?;
                let ready_at = take_varint(row)?;
                returned.insert(ordinal, Returns { times, failures, ready_at });
            }
            let state = Self { settled, returned };
            row.is_empty().then_some(state)
        })();
        alive.map(Some).ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn state_comes_back_from_its_row(
            settled in prop::collection::btree_set(0u32..300, 0..300),
            returned in prop::collection::btree_map(0u32..300, any::<(u16, u16, u64)>(), 0..10),
        ) {
            let mut state = State::default();
            for &ordinal in &settled {
                prop_assert!(state.settled.insert(ordinal));
                prop_assert!(!state.settled.insert(ordinal));
            }
            for (&ordinal, &(times, failures, ready_at)) in &returned {
                state.returned.insert(ordinal, Returns { times, failures, ready_at });
            }
            let read = State::read(&state.row()).unwrap().unwrap();
            for ordinal in 0..400 {
                prop_assert_eq!(read.settled.contains(ordinal), settled.contains(&ordinal));
            }
            prop_assert_eq!(read.returned, state.returned);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = State::read(&bytes);
        }
    }

    #[test]
    fn dead_row_is_read_as_dead() {
        assert_eq!(State::read(dead_row()), Ok(None));
    }
}
