//! Hashes that stay what they are: the same in every process and every version, because messages
//! are spread over queues by them.

/// A hash of bytes: FNV-1a, mixed so that all of its bits are good.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// A number for a number, each bit of which depends on every bit (the end of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `count`, as evenly as the hash is.
pub(super) fn below(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_what_they_were() {
        // Whoever changes these numbers moves every message to another queue.
        assert_eq!(hash(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(hash(b"key"), hash(b"key"));
        assert_ne!(hash(b"a"), hash(b"b"));
    }

    #[test]
    fn numbers_below_a_count_are_even() {
        let mut counts = [0_u32; 7];
        for number in 0..70_000 {
            counts[below(mix(number), 7)] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
    }
}
