use super::*;
use crate::broker::Broker;
use crate::disk::simulated::{CrashModel, SimulatedDisk};
use crate::{Durability, TopicConfig};

/// How often an id was counted. A record is the id, and how often.
#[derive(Debug)]
struct Count(u64);

impl State for Count {
    fn new(_: &str) -> Count {
        Count(0)
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

fn open(disk: &SimulatedDisk) -> Broker {
    Broker::builder("/data").background(false).durability(Durability::Always).disk(disk).open().unwrap()
}

/// Of the topic `counts`, which is made if there is none.
fn load(broker: &Broker) -> Coordinator<Count> {
    let topic =
        broker.create_topic("counts", TopicConfig::new().partitions(3)).or_else(|_| broker.topic("counts")).unwrap();
    let logs = topic.partitions().map(|partition| Arc::clone(partition.writable().unwrap())).collect();
    let apply = |states: &mut States<Count>, record: &ConsumerRecord<'_>| {
        let id = str::from_utf8(record.key().unwrap()).unwrap();
        let count = record.value().map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
        states.insert(id.to_owned(), Count(count));
    };
    Coordinator::load(logs, false, apply).unwrap()
}

fn set(counts: &Coordinator<Count>, id: &str, count: u64) {
    let appended = counts.change(id, |state, log| {
        state.0 = count;
        let value = (count > 0).then(|| count.to_be_bytes().to_vec());
        log.append(&[(id.as_bytes().to_vec(), value)])
    });
    counts.wait_durable(id, appended.unwrap().unwrap()).unwrap();
}

fn all(counts: &Coordinator<Count>) -> Vec<(String, u64)> {
    counts.ids().into_iter().map(|id| (id.clone(), counts.look(&id, |state| state.0).unwrap())).collect()
}

#[test]
fn what_was_waited_for_is_loaded_after_a_power_cut() {
    let disk = SimulatedDisk::new(1);
    let broker = open(&disk);
    let counts = load(&broker);
    for (id, count) in [("apples", 1), ("pears", 2), ("plums", 3), ("apples", 4), ("pears", 0)] {
        set(&counts, id, count);
    }
    let expected = [("apples".to_owned(), 4), ("plums".to_owned(), 3)];
    assert_eq!(all(&counts), expected);
    assert_eq!(all(&load(&open(&disk.crash(1, CrashModel::Subset)))), expected);
}

#[test]
fn a_state_that_is_empty_is_not_kept() {
    let broker = open(&SimulatedDisk::new(1));
    let counts = load(&broker);
    set(&counts, "apples", 1);
    set(&counts, "apples", 0);
    // A look by way of a change leaves nothing behind either.
    counts.change("pears", |state, _| assert!(state.is_empty())).unwrap();
    assert_eq!(all(&counts), []);
    assert!(counts.look("apples", |_| ()).is_none());
}

#[test]
fn records_that_are_too_many_for_one_batch_go_in_several() {
    let broker = open(&SimulatedDisk::new(1));
    let counts = load(&broker);
    let value = vec![0; 600_000];
    let appended = counts.change("apples", |_, log| {
        log.append(&[(b"apples".to_vec(), Some(value.clone())), (b"apples".to_vec(), Some(value))])
    });
    counts.wait_durable("apples", appended.unwrap().unwrap()).unwrap();
    let index = coordinator_partition("apples", 3);
    let partition = broker.topic("counts").unwrap().partition(index).unwrap();
    let read = partition.read(0, usize::MAX).unwrap();
    assert_eq!(read.iter().map(|record| record.offset()).collect::<Vec<_>>(), [0, 1]);
}
