//! Where it happens: brokers and files in the system's temporary directory (`TMPDIR`), gone when they are dropped.

use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::Path;

use ottla::{Broker, BrokerBuilder, Durability, Producer, ProducerRecord, TopicConfig};

#[allow(clippy::disallowed_types, reason = "the limits are measured below the disk seam")]
pub(crate) type File = std::fs::File;

pub(crate) const TOPIC: &str = "orders";
pub(crate) const KEY: [u8; 8] = *b"customer";
pub(crate) const VALUE: [u8; 100] = [b'v'; 100];
pub(crate) const LARGE_VALUE: [u8; 1024] = [b'v'; 1024];
/// Records in a batch.
pub(crate) const BATCH: usize = 1000;
pub(crate) const SPACE: &str = "there is space";

/// A broker on a directory of its own.
pub(crate) struct Place {
    pub(crate) broker: Broker,
    // Behind the broker, which is dropped first.
    _dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(durability: Durability) -> Place {
        Place::of(|builder| builder.durability(durability))
    }

    /// With other settings.
    pub(crate) fn of(set: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = set(Broker::builder(dir.path())).open().expect("an empty directory");
        Place { broker, _dir: dir }
    }

    /// The same with an empty topic.
    pub(crate) fn with_topic(durability: Durability, config: TopicConfig) -> Place {
        let place = Place::new(durability);
        place.fresh_topic(config);
        place
    }

    /// Makes the topic, and first deletes the one that is there: each round begins with new files, as the limit does.
    pub(crate) fn fresh_topic(&self, config: TopicConfig) {
        let admin = self.broker.admin();
        if admin.list_topics().expect("the broker is open").iter().any(|name| name == TOPIC) {
            admin.delete_topic(TOPIC).expect("nobody else deletes it");
        }
        self.broker.create_topic(TOPIC, config).expect("a new topic");
    }

    pub(crate) fn producer(&self) -> Producer {
        self.broker.producer()
    }
}

pub(crate) fn record() -> ProducerRecord<'static> {
    ProducerRecord::to(TOPIC).key(&KEY).value(&VALUE)
}

pub(crate) fn large_record() -> ProducerRecord<'static> {
    ProducerRecord::to(TOPIC).key(&KEY).value(&LARGE_VALUE)
}

/// The bytes of `record`, for whoever does without a log.
pub(crate) fn payload() -> Vec<u8> {
    [&KEY[..], &VALUE].concat()
}

/// Keys and values, one after the other.
pub(crate) fn bytes_of(records: &[ProducerRecord<'_>]) -> Vec<u8> {
    let parts = records.iter().flat_map(|record| [record.get_key(), record.get_value()]);
    parts.flatten().flatten().copied().collect()
}

/// A file without a name.
pub(crate) fn new_file() -> File {
    tempfile::tempfile().expect("a temporary file")
}

/// A file whose blocks are all written and synced, so that overwriting them changes nothing but their bytes.
pub(crate) fn written_file(bytes: usize) -> File {
    let mut file = new_file();
    file.write_all(&vec![0; bytes]).expect(SPACE);
    file.sync_all().expect("a disk that syncs");
    file
}

/// The size of all files together: what anyone must ask to know what is there.
pub(crate) fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Looks at every byte.
pub(crate) fn sum_of(bytes: &[u8]) -> u8 {
    black_box(bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)))
}

/// Marsaglia's xorshift: the same places in every run.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
