//! How fast background work may read and write, all that is done of it together.

use std::time::Duration;

use super::Disk;
use crate::sync::Mutex;

/// Whether the caller wants the work to go on. Asked between batches.
pub(crate) type GoOn<'a> = &'a dyn Fn() -> bool;

/// Nobody who wants the work to end waits longer than this for it.
const STEP: Duration = Duration::from_millis(50);

/// Spreads bytes over time. What was not used in the past is not saved up.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: Option<u64>,
    /// When what was read and written so far may be over, by the monotonic clock.
    free_at: Mutex<Duration>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Throttle {
        Throttle { bytes_per_second, free_at: Mutex::new(Duration::ZERO) }
    }

    /// Notes that `bytes` were written; who [`spend`](Throttle::spend)s next waits for their time.
    pub(crate) fn note(&self, bytes: u64, disk: &dyn Disk) {
        if let Some(rate) = self.bytes_per_second {
            self.reserve(bytes, rate, disk.monotonic());
        }
    }

    /// Returns once `bytes` that were read or written have had their time, or the caller wants no more; whether it wants more.
    pub(crate) fn spend(&self, bytes: u64, disk: &dyn Disk, go_on: GoOn<'_>) -> bool {
        if let Some(rate) = self.bytes_per_second {
            let due = self.reserve(bytes, rate, disk.monotonic());
            while let left = due.saturating_sub(disk.monotonic())
                && !left.is_zero()
                && go_on()
            {
                disk.sleep(left.min(STEP));
            }
        }
        go_on()
    }

    fn reserve(&self, bytes: u64, rate: u64, now: Duration) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let mut free_at = self.free_at.lock();
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *free_at = now.max(*free_at).saturating_add(time);
        *free_at
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::disk::simulated::SimulatedDisk;

    #[test]
    fn bytes_take_their_time_and_no_more() {
        let disk = SimulatedDisk::new(1);
        let throttle = Throttle::new(Some(1000));
        let begin = disk.monotonic();
        for _ in 0..10 {
            assert!(throttle.spend(50, &disk, &|| true));
        }
        assert_eq!(disk.monotonic().checked_sub(begin), Some(Duration::from_millis(500)));
        disk.advance(Duration::from_secs(60));
        throttle.spend(1000, &disk, &|| true);
        assert_eq!(disk.monotonic().checked_sub(begin), Some(Duration::from_millis(61_500)), "nothing is saved up");
        assert!(Throttle::new(None).spend(u64::MAX, &disk, &|| true));
    }

    #[test]
    fn who_wants_no_more_does_not_wait_for_the_end() {
        let disk = SimulatedDisk::new(1);
        let begin = disk.monotonic();
        let asked = Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        assert!(!Throttle::new(Some(1)).spend(1 << 40, &disk, &go_on));
        assert_eq!(disk.monotonic().checked_sub(begin), Some(2 * STEP));
    }
}
