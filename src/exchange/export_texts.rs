//! The text files of an export: what is left to be done by hand, with the names, numbers and settings of these topics.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::broker_dir::{LOG_STARTS_FILE, print_checkpoint};
use super::export_report::ExportedPartition;
use crate::partition::config::{SEGMENT_BYTES, TopicConfig};
use crate::topic_partition::TopicPartition;

pub(super) const STEPS_FILE: &str = "README.txt";
pub(super) const OFFSETS_FILE: &str = "committed-offsets.txt";

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const RETENTION_MS: &str = "retention.ms";
/// The least that a broker takes, from 4.1 on.
const SEGMENT_BYTES_MIN: u32 = 1 << 20;

/// What a group has committed: the partition, the offset within the bounds of the export, and the text that is kept with it.
pub(super) type Committed = Vec<(TopicPartition, u64, String)>;

/// The name of the file with the offsets of the group of this number.
pub(super) fn offsets_file(number: usize) -> String {
    format!("committed-offsets-{number}.csv")
}

/// The lines of such a file, as `kafka-consumer-groups.sh --reset-offsets --from-file` takes them for one group.
pub(super) fn offsets_lines(committed: &Committed) -> String {
    let line = |(partition, offset, _): &(TopicPartition, u64, String)| {
        format!("{},{},{offset}\n", partition.topic(), partition.partition())
    };
    committed.iter().map(line).collect()
}

/// What all groups have committed, with the commands that set it.
pub(super) fn offsets_text(groups: &BTreeMap<String, Committed>) -> String {
    let mut text = "# What the groups have committed. A line that does not begin with # is a command that sets the offsets of one group, to be\n\
                    # run in this directory, while the group has no members, with the address of your broker for localhost:9092.\n"
        .to_owned();
    for (number, (group, committed)) in groups.iter().enumerate() {
        // Writing to a string cannot fail.
        _ = writeln!(text, "\n# {}", commented(&format!("group {group:?}")));
        for (partition, offset, metadata) in committed {
            let kept = if metadata.is_empty() {
                String::new()
            } else {
                format!(", metadata {metadata:?}, which the command does not set")
            };
            _ = writeln!(text, "#   {partition}: {offset}{}", commented(&kept));
        }
        _ = writeln!(
            text,
            "kafka-consumer-groups.sh --bootstrap-server localhost:9092 --reset-offsets --group {} --from-file {} --execute",
            quoted(group),
            offsets_file(number + 1)
        );
    }
    text
}

/// As part of a comment of one line.
fn commented(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The steps by which a broker adopts the partitions, of topics with these settings.
pub(super) fn steps_text(
    topics: &BTreeMap<String, TopicConfig>,
    partitions: &[ExportedPartition],
    has_offsets: bool,
) -> String {
    let mut text = String::from(
        "Partitions of topics, as a Kafka broker adopts them (4.x, KRaft). Their records keep offsets, timestamps, headers, producers and\n\
         transactions; every batch has leader epoch 0, and no transaction is open.\n\n\
         Below, EXPORT stands for this directory, LOG_DIR for the log directory of the broker (log.dirs), and localhost:9092 for its address: set\n\
         the first two in the shell that is to run the commands.\n\n\
         1. Create the topics, with one replica of each partition, on the broker that is to adopt them. Where there are several brokers, say\n   \
         which one with --replica-assignment.\n\n",
    );
    for (name, config) in topics {
        let of_topic = || partitions.iter().filter(|exported| exported.partition.topic() == name);
        let largest = of_topic().map(|exported| exported.largest_batch_bytes).max().unwrap_or(0);
        let of_one = |text: String, (key, value): (&str, String)| text + " --config " + key + "=" + &value;
        let settings = settings(config, largest).into_iter().fold(String::new(), of_one);
        let count = of_topic().count();
        _ = writeln!(
            text,
            "   kafka-topics.sh --bootstrap-server localhost:9092 --create --topic {name} --partitions {count} --replication-factor 1{settings}"
        );
    }
    text += "\n2. Stop that broker cleanly (kafka-server-stop.sh), and wait until it has ended.\n\n\
             3. Put the log files in the place of its own. Of those everything goes but partition.metadata, which names the topic's id.\n\n";
    let with_files: Vec<String> = partitions
        .iter()
        .filter(|exported| 0 < exported.files)
        .map(|exported| exported.partition.to_string())
        .collect();
    if with_files.is_empty() {
        text += "   There is nothing to copy: all partitions are empty, and begin at 0.\n";
    } else {
        _ = write!(
            text,
            "   for partition in {}; do\n     \
             find \"$LOG_DIR/$partition\" -type f ! -name partition.metadata -delete\n     \
             cp \"$EXPORT/$partition/\"*.log \"$LOG_DIR/$partition/\"\n   \
             done\n\n   \
             The files have to be the broker's own user's (chown).\n",
            with_files.join(" ")
        );
    }
    let starts = starts(partitions);
    let mut step = 4;
    if !starts.is_empty() {
        _ = write!(
            text,
            "\n{step}. Say where logs begin whose first records were deleted: LOG_DIR/{LOG_STARTS_FILE} needs the lines below, too, and\n   \
             counts its lines in the second one. This adds them:\n\n   \
             lines=\"$(cat \"$LOG_DIR/{LOG_STARTS_FILE}\" \"$EXPORT/{LOG_STARTS_FILE}\" | grep ' ')\"\n   \
             printf '0\\n%s\\n%s\\n' \"$(printf '%s\\n' \"$lines\" | grep -c ' ')\" \"$lines\" > \"$LOG_DIR/{LOG_STARTS_FILE}\"\n\n"
        );
        for (partition, offset) in &starts {
            _ = writeln!(text, "   {} {} {offset}", partition.topic(), partition.partition());
        }
        step += 1;
    }
    _ = write!(
        text,
        "\n{step}. Start the broker. It makes indexes and snapshots anew, and tells of each segment that it could not find an index file.\n   \
         Do not remove .kafka_cleanshutdown: the broker would read every partition that it has.\n\n\
         {}. Look at what it has:\n\n   \
         kafka-get-offsets.sh --bootstrap-server localhost:9092 --topic-partitions {}\n",
        step + 1,
        list_for_offsets(partitions)
    );
    step += 2;
    if has_offsets {
        _ = write!(
            text,
            "\n{step}. Set what the groups have committed: the commands are in {OFFSETS_FILE}. Do not copy __consumer_offsets.\n"
        );
        step += 1;
    }
    _ = write!(
        text,
        "\n{step}. Raise the replication factor, if wanted, with kafka-reassign-partitions.sh.\n\nWhat is here:\n\n"
    );
    for exported in partitions {
        let (start, end) = (exported.offsets.start, exported.offsets.end);
        let cut = if end < exported.log_end_offset {
            format!("; cut there, since a transaction is open behind: the log ended at {}", exported.log_end_offset)
        } else {
            String::new()
        };
        _ = writeln!(text, "   {}: begins at {start}, ends at {end}{cut}", exported.partition);
    }
    text
}

/// The partitions as the tools for offsets take them.
fn list_for_offsets(partitions: &[ExportedPartition]) -> String {
    let shown =
        |exported: &ExportedPartition| format!("{}:{}", exported.partition.topic(), exported.partition.partition());
    partitions.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// Where logs begin, as far as the names of their files do not say so.
fn starts(partitions: &[ExportedPartition]) -> Vec<(&TopicPartition, u64)> {
    let needed = partitions.iter().filter(|exported| exported.needs_log_start);
    needed.map(|exported| (&exported.partition, exported.offsets.start)).collect()
}

/// The checkpoint that says where logs begin, if any has to be in it.
pub(super) fn starts_text(partitions: &[ExportedPartition]) -> Option<String> {
    let starts = starts(partitions);
    (!starts.is_empty()).then(|| print_checkpoint(starts.into_iter()))
}

/// What a topic has to be created with, by Kafka's names: what is no default there.
fn settings(config: &TopicConfig, largest_batch_bytes: u32) -> Vec<(&'static str, String)> {
    let defaults = TopicConfig::new().properties();
    let is_kafkas = |key: &str| !key.starts_with("ottla.") && key != "num.partitions";
    let largest = config.max_message_bytes.max(config.largest_message_bytes).max(largest_batch_bytes);
    let mut settings = Vec::new();
    for (key, value) in config.properties() {
        let value = match key {
            MAX_MESSAGE_BYTES => largest.to_string(),
            SEGMENT_BYTES => config.segment_bytes.max(SEGMENT_BYTES_MIN).to_string(),
            RETENTION_MS => continue,
            _ => value,
        };
        if is_kafkas(key) && !defaults.contains(&(key, value.clone())) {
            settings.push((key, value));
        }
    }
    // A broker deletes after seven days unless it is told otherwise.
    let retention = config.get_retention_ms().map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string());
    settings.push((RETENTION_MS, retention));
    settings
}
