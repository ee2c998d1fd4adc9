use super::*;
use crate::message::Traits;

fn message(size: usize) -> Message {
    let traits = Traits { is_persistent: true, ..Traits::default() };
    Message::copied(b"\0\0", b"\0\0", &[&vec![0; size]], traits, &mut Vec::new())
}

fn entry(position: u64, is_stored: bool) -> Entry {
    Entry {
        position: Position(position),
        message: message(10),
        standing: crate::store::Standing::default(),
        is_stored,
    }
}

/// What one entry takes.
fn footprint() -> usize {
    message(10).footprint()
}

fn with(positions: std::ops::Range<u64>) -> Ready {
    let mut ready = Ready::default();
    positions.for_each(|position| ready.push_back(entry(position, true)));
    ready
}

fn stored(positions: impl IntoIterator<Item = u64>) -> impl Iterator<Item = Entry> {
    positions.into_iter().map(|position| entry(position, true))
}

/// Moves out all but `keep` messages; returns the places that went.
fn page_out(ready: &mut Ready, keep: usize) -> Vec<u64> {
    let mut gone = Vec::new();
    ready.page_out(keep * footprint(), |entry| gone.push(entry.position.0));
    gone
}

fn wanted(ready: &Ready) -> Option<(u64, u64)> {
    ready.wanted(0).map(|wanted| (wanted.from.0, wanted.end.0))
}

/// Pops what is in memory.
fn pop_all(ready: &mut Ready) -> Vec<u64> {
    let mut popped = Vec::new();
    while let Next::Entry(entry, _) = ready.pop_front() {
        popped.push(entry.position.0);
    }
    popped
}

fn counts(ready: &Ready) -> (u64, u64, usize) {
    let all = Amount { messages: ready.count(), bytes: ready.body_bytes() };
    assert_eq!(ready.persistent(), all);
    (ready.count(), ready.body_bytes(), ready.resident_bytes() / footprint())
}

#[test]
fn what_left_memory_comes_back_between_head_and_tail() {
    let mut ready = with(1..6);
    assert_eq!(page_out(&mut ready, 2), [3, 4, 5]);
    ready.push_back(entry(6, true));
    assert_eq!(counts(&ready), (6, 60, 3));
    assert_eq!(wanted(&ready), None, "there is some left");
    assert_eq!(pop_all(&mut ready), [1, 2]);
    assert_eq!(wanted(&ready), Some((3, 6)));
    ready.page_in(Position(3), stored([3, 4]), Position(5), Some);
    assert_eq!(counts(&ready), (4, 40, 3));
    assert_eq!(pop_all(&mut ready), [3, 4]);
    ready.page_in(Position(5), stored([5]), Position(6), Some);
    assert_eq!(pop_all(&mut ready), [5, 6]);
    assert!(ready.is_empty());
    assert_eq!(counts(&ready), (0, 0, 0));
}

#[test]
fn run_that_grew_while_it_was_read_keeps_what_is_behind() {
    let mut ready = with(1..4);
    page_out(&mut ready, 0);
    ready.push_back(entry(4, true));
    page_out(&mut ready, 0);
    ready.page_in(Position(1), stored(1..4), Position(4), Some);
    assert_eq!(pop_all(&mut ready), [1, 2, 3]);
    assert_eq!(wanted(&ready), Some((4, 5)));
    assert_eq!(counts(&ready), (1, 10, 0));
}

#[test]
fn counts_follow_the_store_when_it_has_fewer_than_the_run_claimed() {
    let mut ready = with(1..6);
    page_out(&mut ready, 0);
    ready.push_back(entry(6, true));
    ready.page_in(Position(1), stored([2]), Position(4), Some);
    assert_eq!(ready.count(), 6, "what is behind may make up for it");
    ready.page_in(Position(4), stored([]), Position(6), Some);
    assert_eq!(counts(&ready), (2, 20, 2));
    assert_eq!(pop_all(&mut ready), [2, 6]);
    assert!(ready.is_empty());
}

#[test]
fn counts_follow_the_store_when_it_has_more_than_the_run_claimed() {
    let persistent = Amount { messages: 1, bytes: 10 };
    let (from, end, after) = (Position(1), Position(5), CommitSeq(0));
    let run = Run { from, end, count: 1, bytes: 10, persistent, after };
    let mut ready = Ready::recovered(Some(run));
    ready.page_in(Position(1), stored([1, 2]), Position(3), Some);
    assert_eq!(counts(&ready), (2, 20, 2));
    assert_eq!(pop_all(&mut ready), [1, 2]);
    assert!(!ready.is_empty(), "there may be more");
    ready.page_in(Position(3), stored([4]), Position(5), Some);
    assert_eq!(pop_all(&mut ready), [4]);
    assert!(ready.is_empty());
}

#[test]
fn messages_that_came_back_are_before_all_others() {
    let mut ready = with(5..7);
    for position in [4, 2, 3] {
        ready.put_back(entry(position, false));
    }
    let Next::Entry(first, came_back) = ready.pop_front() else { panic!("it is there") };
    assert_eq!((first.position, came_back), (Position(2), true));
    ready.undo_pop(first, came_back);
    assert_eq!(counts(&ready), (5, 50, 5));
    assert_eq!(page_out(&mut ready, 0), [5, 6], "they stay");
    assert_eq!(pop_all(&mut ready), [2, 3, 4]);
}

#[test]
fn messages_away_are_read_when_they_are_next() {
    let mut ready = with(9..10);
    for position in [1, 4, 5] {
        ready.put_back(entry(position, true));
    }
    for position in [2, 3, 7, 6] {
        ready.put_away(Position(position), 10, true);
    }
    ready.written_by(CommitSeq(8));
    assert_eq!(counts(&ready), (8, 80, 4));
    assert_eq!(wanted(&ready), None, "another is next");
    assert!(ready.wanted(usize::MAX).is_some_and(|wanted| wanted.after == CommitSeq(8)));
    assert_eq!(pop_all(&mut ready), [1]);
    assert_eq!(wanted(&ready), Some((2, 4)));
    ready.page_in(Position(2), stored([2, 3]), Position(4), Some);
    assert_eq!(pop_all(&mut ready), [2, 3, 4, 5]);
    assert_eq!(wanted(&ready), Some((6, 7)));
    ready.page_in(Position(6), stored([6]), Position(7), Some);
    assert_eq!(wanted(&ready), None);
    assert_eq!(pop_all(&mut ready), [6]);
    ready.page_in(Position(7), stored([7]), Position(8), Some);
    assert_eq!(pop_all(&mut ready), [7, 9]);
    assert_eq!(counts(&ready), (0, 0, 0));
}

#[test]
fn stretch_that_is_being_read_may_grow_at_its_end() {
    let mut ready = Ready::default();
    for position in [3, 4] {
        ready.put_away(Position(position), 10, true);
    }
    assert_eq!(wanted(&ready), Some((3, 5)));
    for position in [2, 5] {
        ready.put_away(Position(position), 10, true);
    }
    ready.page_in(Position(3), stored([3]), Position(5), Some);
    // The fourth was not there after all.
    assert_eq!(counts(&ready).0, 3);
    assert_eq!(wanted(&ready), Some((2, 3)));
    ready.page_in(Position(2), stored([2]), Position(3), Some);
    assert_eq!(pop_all(&mut ready), [2, 3]);
    assert_eq!(wanted(&ready), Some((5, 6)));
    ready.page_in(Position(5), stored([]), Position(6), Some);
    assert!(ready.is_empty());
    assert_eq!(counts(&ready), (0, 0, 0));
}

#[test]
fn store_is_never_asked_to_spill_before_what_it_spilled() {
    let mut ready = Ready::default();
    (1..7).for_each(|position| ready.push_back(entry(position, false)));
    assert_eq!(page_out(&mut ready, 4), [5, 6]);
    ready.page_in(Position(5), stored([5, 6]), Position(7), Some);
    ready.push_back(entry(7, false));
    // Memory has become short meanwhile.
    assert_eq!(page_out(&mut ready, 1), [7]);
    assert_eq!(pop_all(&mut ready), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn clear_tells_everything_that_was_there() {
    let mut ready = with(4..8);
    page_out(&mut ready, 1);
    ready.push_back(entry(8, true));
    ready.put_back(entry(3, true));
    ready.put_away(Position(1), 10, true);
    let (entries, ranges) = ready.clear();
    assert_eq!(entries.map(|entry| entry.position.0).collect::<Vec<_>>(), [3, 4, 8]);
    let ranges: Vec<_> = ranges.map(|(from, end)| (from.0, end.0)).collect();
    assert_eq!(ranges, [(1, 2), (5, 8)]);
    assert!(ready.is_empty());
    assert_eq!(counts(&ready), (0, 0, 0));
}

#[test]
fn persistent_messages_are_counted_among_others_wherever_they_are() {
    // Every third is persistent.
    let entry = |position: u64| {
        let traits = Traits { is_persistent: position.is_multiple_of(3), ..Traits::default() };
        let message = Message::copied(b"\0\0", b"\0\0", &[&[0; 10]], traits, &mut Vec::new());
        Entry { message, ..entry(position, true) }
    };
    let of = |positions: std::ops::Range<u64>| positions.map(entry).collect::<Vec<_>>();
    let mut ready = Ready::default();
    for entry in of(4..10) {
        ready.push_back(entry);
    }
    ready.put_back(entry(3));
    ready.put_away(Position(1), 10, false);
    let count = |ready: &Ready| {
        let Amount { messages, bytes } = ready.persistent();
        assert_eq!(bytes, messages * 10);
        messages
    };
    assert_eq!(count(&ready), 3);
    ready.page_out(2 * footprint(), drop);
    assert_eq!(count(&ready), 3, "6 and 9 are in the store alone");
    assert!(ready.forget(&entry(7)) && ready.forget(&entry(9)));
    assert_eq!(count(&ready), 2);
    ready.page_in(Position(1), [entry(1)].into_iter(), Position(2), Some);
    ready.page_in(Position(6), of(6..7).into_iter(), Position(7), Some);
    assert_eq!(count(&ready), 2);
    assert!(ready.remove(Position(6)).is_some());
    assert_eq!(count(&ready), 1);
    let Next::Entry(first, came_back) = ready.pop_front() else { panic!("it is there") };
    ready.undo_pop(first, came_back);
    assert_eq!(pop_all(&mut ready), [1, 3, 4, 5]);
    assert_eq!(count(&ready), 0, "8 is left");
    ready.put_away(Position(3), 10, true);
    assert_eq!(count(&ready), 1);
    drop(ready.clear());
    assert_eq!(count(&ready), 0);
}
