//! Numbers that follow from a seed, so that whatever was found can be found again.

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence for each seed. It begins at a number that the seed chooses: at the seed's own place in the generator's one long sequence,
    /// neighbours would have the same numbers, one later.
    pub(crate) fn new(seed: u64) -> Random {
        Random(Random(seed).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 (included) to `end` (excluded).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn choose<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(usize::try_from(self.below(from.len() as u64)).ok()?)
    }
}

#[test]
fn neighbouring_seeds_have_sequences_of_their_own() {
    let numbers = |seed: u64| (0..100).scan(Random::new(seed), |random, _| Some(random.next())).collect::<Vec<_>>();
    for seed in 0..100 {
        let (numbers, next) = (numbers(seed), numbers(seed + 1));
        assert!(!next.iter().any(|number| numbers.contains(number)), "{seed}");
    }
}
