//! Waiting where another process sends, which can wake nobody here: looking again after pauses that grow.

use std::time::Duration;

/// The pauses of a consumer between looks that find nothing: each a small share of all that it has waited since it found something
/// last. So what comes soon is found soon, and whoever waits for long takes next to nothing of a processor, in one poll as in many.
#[derive(Debug)]
pub(super) struct Pauses {
    /// None are made if whoever sends wakes who waits.
    is_woken: bool,
    waited: Duration,
}

/// A sleep takes some tens of microseconds longer than asked for.
const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(10);
/// By how much each pause is shorter than what was waited before it.
const SHARE: u32 = 16;

impl Pauses {
    /// Those of a consumer that has not waited yet.
    pub(super) fn new(is_read_only: bool) -> Pauses {
        Pauses { is_woken: !is_read_only, waited: Duration::ZERO }
    }

    /// How long to wait now for being woken, at most `most`.
    pub(super) fn next(&mut self, most: Duration) -> Duration {
        if self.is_woken {
            return most;
        }
        let pause = (self.waited / SHARE).clamp(SHORTEST, LONGEST).min(most);
        self.waited = self.waited.saturating_add(pause);
        pause
    }

    /// Something was found: the next pauses are short again.
    pub(super) fn begin_anew(&mut self) {
        self.waited = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_microseconds_to_ten_milliseconds() {
        let mut pauses = Pauses::new(true);
        let taken: Vec<_> = (0..200).map(|_| pauses.next(Duration::MAX)).collect();
        assert_eq!((taken[0], taken[199]), (SHORTEST, LONGEST));
        assert!(taken.is_sorted());
        let (mut waited, mut count) = (Duration::ZERO, 0);
        for pause in taken.iter().take_while(|pause| **pause < LONGEST) {
            assert!(*pause <= SHORTEST.max(waited / 16), "what came meanwhile waits for a sixteenth of that");
            waited += *pause;
            count += 1;
        }
        assert!(waited < Duration::from_millis(200) && count < 150, "{waited:?} in {count} looks");
        pauses.begin_anew();
        assert_eq!(pauses.next(Duration::MAX), SHORTEST);
        assert_eq!(pauses.next(Duration::from_micros(1)), Duration::from_micros(1));
    }

    #[test]
    fn who_is_woken_waits_until_then() {
        let mut pauses = Pauses::new(false);
        assert_eq!([(); 2].map(|()| pauses.next(Duration::from_secs(9))), [Duration::from_secs(9); 2]);
    }
}
