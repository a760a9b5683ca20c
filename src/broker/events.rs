//! What a broker tells of itself and of its topics.

use super::recovery_report::RecoveryReport;
use super::store::Store;
use super::topic_entry::TopicEntry;
use crate::error::Result;
use crate::events::{Event, Stopwatch};
use crate::partition::recovery_report::PartitionRecovery;
use crate::transaction::Settled;

impl Store {
    /// Tells what opening has found, as far as the report has it by now, and that the broker is open.
    pub(super) fn tell_opened(&self, begun: Stopwatch) {
        let (events, report) = (self.files.events(), self.report_of_opening());
        for partition in report.partitions() {
            events.add(|| partition.recovered());
        }
        for damage in report.damage().chain(report.skipped()) {
            events.add(|| Event::DamageFound { damage: damage.clone() });
        }
        events.add(|| self.opened_event(report, begun));
        self.files.emit_events();
    }

    fn opened_event(&self, report: &RecoveryReport, begun: Stopwatch) -> Event {
        let sum = |count: fn(&PartitionRecovery) -> u64| report.partitions().iter().map(count).sum();
        let topics = self.registry.all();
        Event::BrokerOpened {
            dir: self.dir().to_owned(),
            mode: self.config.recovery_mode.to_string(),
            last_writer: report.last_writer.name(),
            is_clean: report.is_clean(),
            topics: topics.len(),
            partitions: topics.values().map(|topic| topic.partition_count() as usize).sum(),
            recovered_partitions: report.partitions().len(),
            salvaged_records: sum(PartitionRecovery::salvaged_records),
            cut_bytes: sum(PartitionRecovery::cut_bytes),
            damages: report.damage().chain(report.skipped()).count(),
            duration: begun.elapsed(self.monotonic()),
        }
    }

    /// Tells that the broker is closed, and why what it left is to be recovered, if so. Nothing follows.
    pub(super) fn tell_closed(&self, begun: Stopwatch, closed: &Result<()>) {
        self.files.events().add(|| Event::BrokerClosed {
            dir: self.dir().to_owned(),
            reason: closed.as_ref().err().map(|error| error.with_causes().to_string()),
            duration: begun.elapsed(self.monotonic()),
        });
        self.files.emit_events();
    }

    /// Tells how many transactions of an earlier process were ended.
    pub(super) fn tell_settled(&self, settled: Settled) {
        let Settled { committed, aborted } = settled;
        self.files.events().add(|| Event::TransactionsSettled { committed, aborted });
    }
}

impl TopicEntry {
    pub(super) fn created(&self) -> Event {
        Event::TopicCreated { topic: self.name.to_string(), config: format!("{:?}", self.present_settings()) }
    }

    pub(super) fn altered(&self) -> Event {
        Event::TopicAltered { topic: self.name.to_string(), config: format!("{:?}", self.present_settings()) }
    }

    pub(super) fn deleted(&self) -> Event {
        Event::TopicDeleted { topic: self.name.to_string() }
    }
}
