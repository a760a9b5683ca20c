//! What a broker holds, as text: what is kept beside each golden directory, and what every later version has to find in it.

use std::fmt::Write;

use ottla::{Broker, OwnedRecord, Partition, Result};

/// The topic of groups, which is read like any other.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Everything that a user can ask for: topics with their configuration, records, groups, committed offsets.
pub(crate) fn of(broker: &Broker) -> Result<String> {
    let mut text = String::new();
    let names = broker.admin().list_topics()?;
    for name in names.iter().map(String::as_str).chain([OFFSETS_TOPIC]) {
        let described = broker.admin().describe(name)?;
        writeln!(text, "topic {name} id {:032x}", described.topic_id()).unwrap();
        for (key, value) in described.config().properties() {
            writeln!(text, "  {key}={value}").unwrap();
        }
        for partition in broker.topic(name)?.partitions() {
            list_partition(&mut text, &partition)?;
        }
    }
    for group in broker.admin().list_groups()? {
        let described = broker.admin().describe_group(&group)?;
        writeln!(text, "group {group}").unwrap();
        // Members that are not static end with their process, which a reader beside it cannot know.
        for member in described.members().iter().filter(|member| member.group_instance_id().is_some()) {
            let instance = member.group_instance_id().unwrap_or_default();
            writeln!(text, "  static member {instance} of {:?} owns {:?}", member.topics(), member.assignment())
                .unwrap();
        }
        for partition in described.partitions() {
            let Some(committed) = partition.committed() else { continue };
            let (offset, metadata) = (committed.offset(), committed.metadata());
            writeln!(text, "  {} committed {offset} {metadata:?}", partition.topic_partition()).unwrap();
        }
    }
    Ok(text)
}

fn list_partition(text: &mut String, partition: &Partition) -> Result<()> {
    let (start, end) = (partition.log_start_offset(), partition.log_end_offset());
    writeln!(text, "  {} offsets {start}..{end}", partition.topic_partition()).unwrap();
    for record in partition.iter_from(start) {
        writeln!(text, "    {}", line(&record?)).unwrap();
    }
    Ok(())
}

fn line(record: &OwnedRecord) -> String {
    let show = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()));
    let mut line = format!(
        "{} at {} key {} value {}",
        record.offset(),
        record.timestamp().as_millis(),
        show(record.key()),
        show(record.value())
    );
    for header in record.headers() {
        write!(line, " header {}={}", header.key().escape_debug(), show(header.value())).unwrap();
    }
    line
}
