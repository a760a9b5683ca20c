//! The names under which metrics are published. They are a promise: the table in the guide has each of them, and none changes its
//! meaning.

use metrics::Unit;

/// What a recorder makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    Gauge,
    Histogram,
}

/// One name, and what stands for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) meaning: &'static str,
}

const fn counter(name: &'static str, unit: Unit, meaning: &'static str) -> Name {
    Name { text: name, kind: Kind::Counter, unit, meaning }
}

const fn gauge(name: &'static str, unit: Unit, meaning: &'static str) -> Name {
    Name { text: name, kind: Kind::Gauge, unit, meaning }
}

macro_rules! names {
    ($($constant:ident = $made_by:ident($name:literal, $unit:ident, $meaning:literal);)*) => {
        $(pub(super) static $constant: Name = $made_by($name, Unit::$unit, $meaning);)*
        /// All of them, in the order of the guide.
        pub(super) static ALL: &[&Name] = &[$(&$constant),*];
    };
}

const fn histogram(name: &'static str, unit: Unit, meaning: &'static str) -> Name {
    Name { text: name, kind: Kind::Histogram, unit, meaning }
}

names! {
    RECORDS_IN = counter("ottla_records_in_total", Count, "records that were appended");
    BYTES_IN = counter("ottla_bytes_in_total", Bytes, "bytes of the records that were appended, before compression");
    RECORDS_OUT = counter("ottla_records_out_total", Count, "records that were read");
    BYTES_OUT = counter("ottla_bytes_out_total", Bytes, "bytes of the records that were read, after decompression");
    REFUSED_SENDS = counter("ottla_refused_sends_total", Count, "sends of which nothing was appended");
    SEGMENTS_ROLLED = counter("ottla_segments_rolled_total", Count, "segments that were closed because the next one was begun");
    SEGMENTS_DELETED = counter("ottla_segments_deleted_total", Count, "segments that retention, the disk budget or an operator deleted");
    BYTES_DELETED = counter("ottla_bytes_deleted_total", Bytes, "bytes of the log files of the segments that were deleted");
    COMPACTIONS = counter("ottla_compactions_total", Count, "passes of compaction that were done");
    LOG_BYTES = gauge("ottla_log_bytes", Bytes, "bytes in the log files of the segments");
    SEGMENTS = gauge("ottla_segments", Count, "how many segments there are");
    FAILED_PARTITIONS = gauge("ottla_failed_partitions", Count, "partitions that refuse writes, or everything");
    UNDURABLE_OFFSETS = gauge("ottla_undurable_offsets", Count, "offsets at the ends of the logs that a power cut might take");
    LOG_START_OFFSET = gauge("ottla_log_start_offset", Count, "the first offset that can be read");
    LAST_STABLE_OFFSET = gauge("ottla_last_stable_offset", Count, "one above the last offset that readers of committed records see");
    LOG_END_OFFSET = gauge("ottla_log_end_offset", Count, "one above the last offset that was appended");
    GROUP_LAG = gauge("ottla_group_lag", Count, "offsets that the group has not committed yet");
    GROUP_MEMBERS = gauge("ottla_group_members", Count, "members of the group");
    GROUP_GENERATION = gauge("ottla_group_generation", Count, "the group's generation, which rises whenever its partitions are divided anew");
    GROUP_COMMITTED = gauge("ottla_group_committed_offset", Count, "what the group has committed, if anything");
    SYNC_SECONDS = histogram("ottla_sync_seconds", Seconds, "how long each sync of the file took");
    TAIL_SLOTS = gauge("ottla_tail_slots_in_use", Count, "slots of the tail that are in use");
    TAIL_BYTES = gauge("ottla_tail_bytes_in_use", Bytes, "bytes that the slots in use take");
    OPEN_TRANSACTIONS = gauge("ottla_open_transactions", Count, "transactions that are open");
    OLDEST_TRANSACTION = gauge("ottla_oldest_transaction_seconds", Seconds, "how long the oldest open transaction has been open; 0 if there is none");
    DISK_USED = gauge("ottla_disk_used_bytes", Bytes, "what all files of the data directory take on the disk");
    DISK_BUDGET = gauge("ottla_disk_budget_bytes", Bytes, "what all files of the data directory may take on the disk");
    MAINTENANCE_FAILURES = counter("ottla_maintenance_failures_total", Count, "turns of the maintenance that failed");
    MAINTENANCE_FAILING = gauge("ottla_maintenance_failing", Count, "1 if some work of the maintenance failed the last time, else 0");
    OPEN_FILES = gauge("ottla_open_files", Count, "segment files that are open");
    MAPS = gauge("ottla_maps", Count, "segment files that are mapped");
    UPTIME = gauge("ottla_uptime_seconds", Seconds, "how long the broker has been open");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the guide's tables: name, kind, unit.
    fn rows() -> Vec<[String; 3]> {
        let guide = include_str!("../guide/metrics.md");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("| `ottla_"));
        rows.map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_end_matches('`').to_owned());
            let name = format!("ottla_{}", cells.next().unwrap());
            [name, cells.next().unwrap(), cells.next().unwrap()]
        })
        .collect()
    }

    #[test]
    fn the_guide_has_each_name_with_its_kind_and_unit_and_no_other() {
        let row_of = |name: &&Name| {
            let kind = format!("{:?}", name.kind).to_lowercase();
            let unit = match name.unit {
                Unit::Bytes => "bytes",
                Unit::Seconds => "seconds",
                _ => "count",
            };
            [name.text.to_owned(), kind, unit.to_owned()]
        };
        assert_eq!(rows(), ALL.iter().map(row_of).collect::<Vec<_>>());
    }

    #[test]
    fn names_say_what_they_are() {
        for Name { text: name, kind, unit, .. } in ALL {
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
            assert_eq!(*unit == Unit::Bytes, name.contains("bytes"), "{name}");
        }
    }
}
