//! Whatever ends an import or an export, or fails in it, at whichever call: the topic is there as a whole or not at all, and what was
//! there before is as it was.

use std::collections::BTreeMap;

use ottla::testing::{CrashModel, FaultKind, FaultRule, SimulatedDisk};
use ottla::{Broker, ExportOptions, ImportOptions, Isolation, ProducerRecord, TopicConfig, TopicPartition};

use crate::data::{clean, put};
use crate::{is_whole, open_on, seen_by};

const SOURCE: &str = "/kafka";

/// Two topics of a broker, what groups have committed for one of them, and a data directory with a topic of its own.
fn before(is_there: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    for name in ["orders-0", "orders-1", "orders-2", "__consumer_offsets-0"] {
        put(&clean().join(name), &disk, &format!("{SOURCE}/{name}"));
    }
    let broker = open_on(&disk).unwrap();
    broker.create_topic("own", TopicConfig::new()).unwrap();
    broker.producer().send(ProducerRecord::to("own").value("mine")).unwrap();
    broker.admin().reset_offsets("own-group").topic("own").execute().unwrap();
    if is_there {
        broker.create_topic("orders", TopicConfig::new().partitions(3).segment_bytes(4096)).unwrap();
    }
    broker.close().unwrap();
    disk
}

fn import(disk: &SimulatedDisk) -> ottla::Result<()> {
    let broker = open_on(disk)?;
    broker.admin().import(SOURCE, &ImportOptions::new())?;
    broker.close()
}

/// What is there of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    Empty,
    Whole,
}

/// Opens what was left, and says what there is; fails if it is a part of something.
fn found(disk: &SimulatedDisk, context: &str) -> Found {
    let broker = open_on(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(seen_by(&broker, "own", Isolation::ReadCommitted).len(), 1, "{context}");
    let own = broker.committed("own-group", &TopicPartition::new("own", 0)).unwrap();
    assert_eq!(own.map(|committed| committed.offset()), Some(0), "{context}");
    // Indexes are caches, which nobody waits for.
    let report = broker.admin().verify().unwrap();
    assert!(report.damage().next().is_none(), "{context}: {report}");
    let committed = |group: &str| {
        broker.committed(group, &TopicPartition::new("orders", 2)).unwrap().map(|committed| committed.offset())
    };
    let there = broker.admin().list_topics().unwrap().contains(&"orders".to_owned());
    let records = if there { seen_by(&broker, "orders", Isolation::ReadUncommitted).len() } else { 0 };
    let ends: Vec<u64> = match broker.existing_topic("orders") {
        Ok(topic) => topic.partitions().map(|partition| partition.log_end_offset()).collect(),
        Err(_) => Vec::new(),
    };
    let found = match (there, records) {
        (false, _) => Found::Nothing,
        (true, 0) => {
            assert_eq!(ends, [0, 0, 0], "{context}");
            Found::Empty
        }
        (true, _) => {
            assert_eq!(ends, WHOLE, "{context}: a part of it");
            Found::Whole
        }
    };
    let expected = (found == Found::Whole).then_some(14);
    assert_eq!(committed("classic-gone"), expected, "{context}: the offsets are those of what is there");
    // It can be used, and what was half done done again.
    match found {
        Found::Whole => _ = broker.topic("orders").unwrap().produce("k", "v").unwrap(),
        Found::Nothing | Found::Empty => {
            broker.admin().import(SOURCE, &ImportOptions::new()).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
    broker.close().unwrap();
    found
}

/// Where the partitions end.
const WHOLE: [u64; 3] = [12, 13, 22];

#[test]
fn the_ends_are_those_of_the_broker() {
    let expected = crate::data::expected();
    let end = |number: usize| expected[format!("clean/orders-{number}")]["high_watermark"].as_u64().unwrap();
    assert_eq!(WHOLE, [end(0), end(1), end(2)]);
}

/// Stops the import at each of its calls, and cuts the power there.
fn stopped_anywhere(is_there: bool) -> BTreeMap<String, usize> {
    let disk = before(is_there);
    disk.record_stops();
    import(&disk).unwrap();
    let stops = disk.take_stops();
    assert!(100 < stops.len());
    let mut seen = BTreeMap::new();
    for (index, (call, stopped)) in stops.iter().enumerate() {
        let models = CrashModel::ALL.iter().enumerate().filter(|(number, _)| (index + number) % 3 == 0);
        let mut images: Vec<(String, SimulatedDisk)> =
            models.map(|(_, &model)| (format!("call {call}, {model:?}"), stopped.crash(7, model))).collect();
        images.push((format!("call {call}, killed"), stopped.kill(3)));
        for (context, image) in images {
            let found = found(&image, &context);
            assert_ne!(found, if is_there { Found::Nothing } else { Found::Empty }, "{context}");
            *seen.entry(format!("{found:?}")).or_default() += 1;
        }
    }
    seen
}

#[test]
fn an_import_that_is_stopped_anywhere_is_there_as_a_whole_or_not_at_all() {
    let seen = stopped_anywhere(false);
    assert!(seen["Nothing"] > 20 && seen["Whole"] > 3, "{seen:?}");
}

#[test]
fn an_import_into_an_empty_topic_that_is_stopped_anywhere_leaves_it_empty_or_whole() {
    let seen = stopped_anywhere(true);
    assert!(seen["Empty"] > 20 && seen["Whole"] > 3, "{seen:?}");
}

/// Fails each call of an import in turn, in each of these ways.
fn failing_anywhere(is_there: bool) {
    let start = before(is_there);
    for kind in [FaultKind::InputOutput, FaultKind::StorageFull, FaultKind::ShortWrite] {
        for nth in (1..).step_by(5) {
            let disk = start.kill(1);
            let broker = open_on(&disk).unwrap();
            disk.fail(FaultRule::new(kind).nth(nth));
            let imported = broker.admin().import(SOURCE, &ImportOptions::new());
            let is_over = disk.faults_injected() == 0;
            disk.clear_faults();
            let context = format!("{kind:?} {nth}: {imported:?}");
            let topics = broker.admin().list_topics().unwrap();
            assert_eq!(topics.contains(&"orders".to_owned()) && !is_there, imported.is_ok() && !is_there, "{context}");
            assert!(
                imported.is_ok()
                    || broker.committed("classic-gone", &TopicPartition::new("orders", 2)).unwrap().is_none(),
                "{context}"
            );
            drop(broker);
            let left = found(&disk.kill(2), &context);
            assert!(imported.is_err() || left == Found::Whole, "{context}");
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn an_import_in_which_any_call_fails_is_there_as_a_whole_or_not_at_all() {
    failing_anywhere(false);
}

#[test]
fn an_import_into_an_empty_topic_in_which_any_call_fails_leaves_it_empty_or_whole() {
    failing_anywhere(true);
}

#[test]
fn on_a_full_disk_nothing_is_imported_and_later_all() {
    let disk = before(false);
    let broker = open_on(&disk).unwrap();
    disk.limit_capacity(Some(disk.used_bytes() + 3000));
    let refused = broker.admin().import(SOURCE, &ImportOptions::new());
    assert!(matches!(refused, Err(ottla::Error::DiskFull { .. })), "{refused:?}");
    disk.limit_capacity(None);
    drop(broker);
    assert_eq!(found(&disk, "full"), Found::Nothing);
}

fn exported(broker: &Broker) -> ottla::Result<()> {
    broker.admin().export("/exported", &ExportOptions::new()).map(drop)
}

#[test]
fn an_export_in_which_any_call_fails_leaves_nothing_behind() {
    let disk = before(false);
    let broker = open_on(&disk).unwrap();
    broker.admin().import(SOURCE, &ImportOptions::new()).unwrap();
    broker.close().unwrap();
    for kind in [FaultKind::InputOutput, FaultKind::StorageFull, FaultKind::ShortWrite] {
        for nth in 1.. {
            let disk = disk.kill(1);
            let broker = open_on(&disk).unwrap();
            disk.fail(FaultRule::new(kind).path_containing("/exported").nth(nth));
            let done = exported(&broker);
            let was_injected = 0 < disk.faults_injected();
            disk.clear_faults();
            let left = disk.files().into_iter().filter(|(path, _)| path.starts_with("/exported")).count();
            assert!(done.is_ok() || left == 0, "{kind:?} {nth}: {left} files, {done:?}");
            if done.is_err() {
                exported(&broker).unwrap_or_else(|error| panic!("{kind:?} {nth}: {error}"));
            }
            is_whole(&broker);
            if !was_injected {
                break;
            }
        }
    }
}

#[test]
fn an_export_that_has_ended_survives_a_power_cut() {
    let disk = before(false);
    let broker = open_on(&disk).unwrap();
    broker.admin().import(SOURCE, &ImportOptions::new()).unwrap();
    exported(&broker).unwrap();
    let files = |disk: &SimulatedDisk| -> BTreeMap<String, Vec<u8>> {
        let of_target = disk.files().into_iter().filter(|(path, _)| path.starts_with("/exported"));
        of_target.map(|(path, _)| (path.display().to_string(), disk.read(&path).unwrap())).collect()
    };
    let before = files(&disk);
    assert!(5 < before.len(), "{:?}", before.keys());
    for model in CrashModel::ALL {
        for seed in 0..10 {
            assert_eq!(files(&disk.crash(seed, model)), before, "{model:?} {seed}");
        }
    }
}
