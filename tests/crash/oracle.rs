//! What must hold after a crash. With A what was acknowledged (after a power cut: as durable) and U what was attempted after
//! it, A is a prefix of the log and the log a prefix of A + U, in every partition; no piece is cut in two; a group stands
//! where it committed last, or where it was about to; topics are there or not as they were acknowledged; and none of it is
//! called damage.

use std::collections::BTreeSet;

use ottla::{Broker, Durability, OwnedRecord, Partition, TopicPartition};

use crate::history::{Checked, Existence, History, LogHistory};
use crate::workload::GROUP;

/// What came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Process,
    Power,
}

impl Loss {
    /// What both together come to.
    pub(crate) fn or(self, other: Loss) -> Loss {
        if self == Loss::Power { self } else { other }
    }
}

/// Checks an opened broker, and from then on takes what was found for the whole truth.
pub(crate) fn check(broker: &Broker, history: &mut History, loss: Loss) -> Checked {
    if let Some(damage) = broker.recovery_report().damage().next() {
        return Err(format!("damage was reported: {damage}"));
    }
    check_topics(broker, history)?;
    let mut always = BTreeSet::new();
    for name in history.topics.keys().cloned().collect::<Vec<_>>() {
        let topic = broker.topic(&name).map_err(|e| format!("{name}: {e}"))?;
        let Some(known) = history.topics.get_mut(&name) else { continue };
        let (durability, is_always) = (known.durability, known.is_always());
        known.maybe_durability = None;
        if is_always {
            always.insert(name.clone());
        }
        for (partition, log) in topic.partitions().zip(&mut known.logs) {
            check_log(&partition, log, (durability, is_always), loss)
                .map_err(|problem| format!("{}: {problem}", partition.topic_partition()))?;
        }
    }
    check_commits(broker, history, &always, loss)
}

/// Which topics there are, and how many partitions they have.
fn check_topics(broker: &Broker, history: &mut History) -> Checked {
    let listed = broker.admin().list_topics().map_err(|e| e.to_string())?;
    let listed: BTreeSet<String> = listed.into_iter().collect();
    if let Some(unknown) = listed.iter().find(|name| !history.topics.contains_key(*name)) {
        return Err(format!("topic {unknown} is there, and should not be"));
    }
    let absent: Vec<String> = history.topics.keys().filter(|name| !listed.contains(*name)).cloned().collect();
    for name in absent {
        if history.topics.get(&name).is_some_and(|topic| topic.existence == Existence::Certain) {
            return Err(format!("topic {name} is gone"));
        }
        history.forget(&name);
    }
    for (name, topic) in &mut history.topics {
        topic.existence = Existence::Certain;
        let description = broker.admin().describe(name).map_err(|e| e.to_string())?;
        let count = description.partitions().len();
        if count != topic.logs.len() && Some(count) != topic.maybe_partitions {
            return Err(format!("topic {name} has {count} partitions, {} were made", topic.logs.len()));
        }
        topic.resize(count);
        topic.maybe_partitions = None;
        let found = description.config().get_durability();
        if let Some(altered) = found.filter(|_| found == topic.maybe_durability) {
            topic.maybe_durability = Some(std::mem::replace(&mut topic.durability, altered));
        }
        if found != Some(topic.durability) {
            return Err(format!("topic {name} has forgotten its durability"));
        }
    }
    Ok(())
}

/// Compares a whole log with what was sent.
fn check_log(
    partition: &Partition,
    log: &mut LogHistory,
    (durability, is_always): (Durability, bool),
    loss: Loss,
) -> Checked {
    let start = partition.log_start_offset();
    log.compare_start(start)?;
    let found = read_from(partition, start)?;
    log.compare(start, &found)?;
    let required = match (loss, is_always) {
        (Loss::Process, _) => log.acked(),
        (Loss::Power, true) => log.durable.max(log.seen),
        (Loss::Power, false) => log.durable,
    };
    let end = start + found.len() as u64;
    if end < required as u64 {
        return Err(format!("the log ends at {end}, and {required} records must be there"));
    }
    let durable_offset = partition.durable_offset();
    // After a kill, what nobody was promised to be durable is synced later.
    let is_synced = durable_offset == end || (loss, durability) == (Loss::Process, Durability::Os);
    if [partition.log_end_offset(), partition.last_stable_offset()] != [end; 2] || !is_synced || end < durable_offset {
        return Err(format!("{partition:?} was read to {end}"));
    }
    log.settle(start, &found, durable_offset)
}

/// All records from offset `from` on.
pub(crate) fn read_from(partition: &Partition, from: u64) -> Checked<Vec<OwnedRecord>> {
    partition.iter_from(from).collect::<Result<_, _>>().map_err(|e| format!("cannot be read: {e}"))
}

/// `always` are the topics of which all records were promised to be durable: not those that may have been altered to it as the
/// crash came.
fn check_commits(broker: &Broker, history: &mut History, always: &BTreeSet<String>, loss: Loss) -> Checked {
    for partition in history.commits.keys().cloned().collect::<Vec<_>>() {
        let found = broker.committed(GROUP, &partition).map_err(|e| format!("committed offsets: {e}"))?;
        let keeps_all = loss == Loss::Process || always.contains(partition.topic());
        check_commit(history, &partition, found.map(|committed| committed.offset()), loss, keeps_all)
            .map_err(|problem| format!("{partition}: {problem}"))?;
    }
    Ok(())
}

fn check_commit(
    history: &mut History,
    partition: &TopicPartition,
    found: Option<u64>,
    loss: Loss,
    keeps_all: bool,
) -> Checked {
    let end = history.log(partition).map(|log| log.records.len() as u64);
    let Some(commits) = history.commits.get_mut(partition) else { return Ok(()) };
    let required = if loss == Loss::Power { commits.durable } else { commits.acked };
    let allowed = commits.attempts.get(required..).unwrap_or_default();
    if !allowed.contains(&found) {
        return Err(format!("the group stands at {found:?}, expected one of {allowed:?}"));
    }
    commits.settle(found);
    match (found, end) {
        (Some(_), None) => return Err("the group has a position in a topic that is gone".to_owned()),
        (Some(found), Some(end)) if found > end => {
            // Also where a power cut took a later commit, and so brought back the position of which the group was told.
            let was_told = history.told.contains_key(&(partition.clone(), found));
            let is_known = was_told || history.truncated.contains_key(partition);
            if !is_known && keeps_all {
                return Err(format!("the group stands at {found}, behind the end {end}"));
            }
            let truncated = history.truncated.entry(partition.clone()).or_insert(end);
            *truncated = end.min(*truncated);
        }
        _ => {}
    }
    if history.truncated.get(partition).is_some_and(|end| found.is_none_or(|found| found <= *end)) {
        history.truncated.remove(partition);
    }
    Ok(())
}
