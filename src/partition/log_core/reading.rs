//! Reading a log, without a lock.

use std::sync::Arc;

use super::LogCore;
use crate::error::Result;
use crate::partition::isolation::Isolation;
use crate::partition::log_view::LogView;
use crate::partition::reader::{FetchLimits, Place, Source, TailBytes, TailRecords};
use crate::record::Fetched;
use crate::tail::{OpenBatch, Salvaged};
use crate::topic_partition::TopicPartition;

impl LogCore {
    /// Reads records from offset `from` (included) on; see [`Source::fetch`].
    pub(crate) fn fetch(&self, from: u64, limits: FetchLimits, isolation: Isolation) -> Result<Fetched> {
        self.read(&self.spec.partition, isolation, |source| source.fetch(from, limits))
    }

    /// [`fetch`](LogCore::fetch) for a reader that goes on where it ended, at `place` in a batch. Returns where it ends, too. What is
    /// returned shares its address with `partition`, the reader's own copy: the owners of the log's are counted in a cache line that
    /// every sender changes.
    pub(crate) fn fetch_on(
        &self,
        partition: &TopicPartition,
        from: u64,
        limits: FetchLimits,
        isolation: Isolation,
        place: Option<&Place>,
    ) -> Result<(Fetched, Option<Place>)> {
        let read_on = place.and_then(|place| self.read_on(partition, from, limits, isolation, place));
        match read_on {
            Some(read) => Ok(read),
            None => self.read(partition, isolation, |source| source.fetch_on(from, limits, place)),
        }
    }

    /// Reads on in the open batch, if all that is visible behind `from` is there; see [`Place::read_on`].
    fn read_on(
        &self,
        partition: &TopicPartition,
        from: u64,
        limits: FetchLimits,
        isolation: Isolation,
        place: &Place,
    ) -> Option<(Fetched, Option<Place>)> {
        if self.check_not_forked().is_err() || self.is_closed() {
            return None;
        }
        // In this order, as for any other read.
        let end = self.end(isolation);
        let view = self.view();
        let open = view.batches.last().filter(|_| view.log_start_offset <= from)?;
        let read = place.read_on(partition, from..end, limits, open)?;
        let bytes = read.0.batches.iter().map(|batch| batch.records.len()).sum();
        self.counters.note_read(read.0.record_count, bytes);
        Some(read)
    }

    /// The first visible offset whose record has a timestamp of at least `timestamp_ms`.
    pub(crate) fn offset_for_time(&self, timestamp_ms: i64, isolation: Isolation) -> Result<Option<u64>> {
        self.read(&self.spec.partition, isolation, |source| source.offset_for_time(timestamp_ms))
    }

    fn read<T>(
        &self,
        partition: &TopicPartition,
        isolation: Isolation,
        read: impl Fn(&Source<'_>) -> Result<T>,
    ) -> Result<T> {
        // A slot that this process still takes for the open batch's may be another one's by now.
        self.check_not_forked()?;
        loop {
            self.check_open()?;
            // In this order: what is below the end is in a view loaded later, unless that begins behind it. And what was aborted below
            // the first open transaction is said to be so there: were the view loaded before, a transaction could have ended since
            // that it does not know for aborted.
            let high_watermark = self.visible_end();
            let is_committed = isolation == Isolation::ReadCommitted;
            let end = if is_committed { high_watermark.min(self.offsets.first_undecided()) } else { high_watermark };
            let guard = self.view();
            let view: &LogView = &guard;
            let (only, several);
            let tail = match (&view.batches[..], view.unsealed.is_empty()) {
                ([batch], true) => {
                    only = [in_slot(batch)];
                    &only[..]
                }
                ([], true) => &[],
                _ => {
                    several = all_in_tail(view);
                    &several
                }
            };
            let result = read(&Source {
                partition,
                topic_id: self.spec.topic_id,
                segments: &view.segments,
                tail,
                damage: &view.damage,
                waypoints: Some(&self.environment.waypoints),
                bounds: view.log_start_offset..end.max(view.log_start_offset),
                high_watermark,
                aborted: view.aborted.as_deref().filter(|_| is_committed),
                settings: &self.spec.settings,
                counters: Some(&self.counters),
            });
            if result.is_ok() {
                return result;
            }
            // Its files may have been closed meanwhile.
            self.check_open()?;
            // Segments that were replaced meanwhile may no longer be opened by their names.
            if Arc::ptr_eq(&view.segments, &self.view().segments) {
                return result.inspect_err(|error| self.events().add_met(error));
            }
        }
    }
}

/// What is behind the segments, for readers, where that is more than one batch: what opening could not seal comes first. Apart from
/// [`LogCore::read`], which as a rule finds one.
#[cold]
fn all_in_tail(view: &LogView) -> Vec<TailRecords<'_>> {
    let unsealed = view.unsealed.iter().map(|batch| salvaged(batch));
    unsealed.chain(view.batches.iter().map(|batch| in_slot(batch))).collect()
}

fn salvaged(batch: &Salvaged) -> TailRecords<'_> {
    TailRecords { identity: &batch.identity, bytes: TailBytes::Copied(&batch.records), is_dense: true }
}

#[inline]
fn in_slot(batch: &OpenBatch) -> TailRecords<'_> {
    TailRecords { identity: batch.identity(), bytes: TailBytes::InSlot(batch), is_dense: true }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::Broker;
    use crate::error::Error;
    use crate::partition::config::TopicConfig;
    use crate::partition::durability::Durability;
    use crate::partition::log::Log;
    use crate::record::ProducerRecord;

    const NO_LIMIT: FetchLimits = FetchLimits { bytes_max: usize::MAX, records_max: usize::MAX };

    fn log(durability: Durability) -> (Broker, Arc<Log>) {
        let broker = Broker::temporary().unwrap();
        let topic = broker.create_topic("orders", TopicConfig::new().durability(durability)).unwrap();
        let log = Arc::clone(topic.partition(0).unwrap().writable().unwrap());
        (broker, log)
    }

    fn record() -> ProducerRecord<'static> {
        ProducerRecord::to("orders").key("customer").value("2 coffees")
    }

    /// A reader that goes on where it ended, and compares what it gets with what one gets that comes from nowhere.
    #[derive(Default)]
    struct Reader {
        next_offset: u64,
        place: Option<Place>,
        /// How often no walk through the batch was needed.
        read_on: u64,
    }

    impl Reader {
        fn read(&mut self, log: &Log, limits: FetchLimits) -> usize {
            let (partition, from, isolation) = (log.partition(), self.next_offset, Isolation::default());
            let place = self.place.as_ref();
            let is_read_on =
                place.is_some_and(|place| log.read_on(partition, from, limits, isolation, place).is_some());
            let (fetched, place) = log.fetch_on(partition, from, limits, isolation, place).unwrap();
            let expected = log.fetch(from, limits, isolation).unwrap();
            assert_eq!(format!("{fetched:?}"), format!("{expected:?}"));
            let bytes = |fetched: &Fetched| fetched.batches.iter().map(|one| one.records.to_vec()).collect::<Vec<_>>();
            assert_eq!(bytes(&fetched), bytes(&expected));
            (self.next_offset, self.place) = (fetched.next_offset, place);
            self.read_on += u64::from(is_read_on);
            fetched.record_count
        }
    }

    #[test]
    fn who_reads_on_gets_what_anybody_gets() {
        let (_broker, log) = log(Durability::Os);
        let mut reader = Reader::default();
        for round in 0..2000 {
            for _ in 0..round % 4 {
                log.append(&[record()], Durability::Os).unwrap();
            }
            let limits = match round % 3 {
                0 => FetchLimits { records_max: 1, ..NO_LIMIT },
                1 => FetchLimits { bytes_max: 40, ..NO_LIMIT },
                _ => NO_LIMIT,
            };
            reader.read(&log, limits);
        }
        while reader.read(&log, NO_LIMIT) > 0 {}
        assert!(500 < reader.read_on, "{}", reader.read_on);
        assert_eq!(reader.next_offset, log.log_end_offset());
    }

    #[test]
    fn what_is_not_visible_yet_is_not_read_on() {
        let (_broker, log) = log(Durability::Always);
        let mut reader = Reader::default();
        for _ in 0..2 {
            log.append(&[record()], Durability::Always).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 1);
            log.append_unsynced(&[record()]).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 0);
            log.wait_durable(log.log_end_offset()).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 1);
            log.append(&[record()], Durability::Always).unwrap();
            log.append_unsynced(&[record()]).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 1, "the first of the two");
            log.wait_durable(log.log_end_offset()).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 1);
        }
        assert_ne!(reader.read_on, 0);
    }

    #[test]
    fn records_of_a_transaction_are_not_read_on_before_its_end() {
        let (broker, log) = log(Durability::Os);
        let mut reader = Reader::default();
        let mut producer = broker.transactional_producer("billing").unwrap();
        for is_committed in [true, false] {
            log.append(&[record()], Durability::Os).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 1);
            let transaction = producer.begin().unwrap();
            transaction.send(record()).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 0);
            transaction.send(record()).unwrap();
            log.append(&[record()], Durability::Os).unwrap();
            assert_eq!(reader.read(&log, NO_LIMIT), 0);
            if is_committed {
                transaction.commit().unwrap();
            } else {
                transaction.abort().unwrap();
            }
            assert_eq!(reader.read(&log, NO_LIMIT), if is_committed { 3 } else { 1 });
        }
    }

    #[test]
    fn who_stands_below_the_log_start_or_in_a_closed_log_does_not_read_on() {
        let (broker, log) = log(Durability::Os);
        let mut reader = Reader::default();
        log.append(&[record()], Durability::Os).unwrap();
        reader.read(&log, NO_LIMIT);
        log.append(&[record(), record()], Durability::Os).unwrap();
        let on = || log.fetch_on(log.partition(), 1, NO_LIMIT, Isolation::default(), reader.place.as_ref());
        assert_eq!(on().unwrap().0.record_count, 2);
        broker.admin().delete_records(&[(log.partition().clone(), 2)]).unwrap();
        assert!(matches!(on(), Err(Error::OffsetOutOfRange { requested: 1, log_start_offset: 2, .. })));
        broker.admin().delete_topic("orders").unwrap();
        assert!(matches!(on(), Err(Error::Closed { .. })));
    }
}
