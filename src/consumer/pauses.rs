//! Waiting where another process sends, which can wake nobody here: looking again after pauses that grow.

use std::time::Duration;

/// The pauses of one poll, each twice as long as the one before: short enough first that what comes at once is not waited for,
/// and in the end long enough that waiting costs next to nothing.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

const FIRST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(10);

impl Pauses {
    /// Those of a poll that begins; one endless pause if whoever sends wakes who waits.
    pub(super) fn begin(is_read_only: bool) -> Pauses {
        Pauses { next: if is_read_only { FIRST } else { Duration::MAX } }
    }

    /// How long to wait now for being woken.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        if pause < LONGEST {
            self.next = (pause * 2).min(LONGEST);
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_microseconds_to_ten_milliseconds() {
        let mut pauses = Pauses::begin(true);
        let taken: Vec<_> = (0..12).map(|_| pauses.next()).collect();
        assert_eq!((taken[0], taken[1], taken[11]), (FIRST, FIRST * 2, LONGEST));
        assert!(taken.is_sorted());
        assert!(taken.iter().sum::<Duration>() < Duration::from_millis(50));
    }

    #[test]
    fn who_is_woken_waits_until_then() {
        let mut pauses = Pauses::begin(false);
        assert_eq!((pauses.next(), pauses.next()), (Duration::MAX, Duration::MAX));
    }
}
