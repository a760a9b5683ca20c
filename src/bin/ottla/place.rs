//! The data directory that a command works on.

use std::path::PathBuf;

use ottla::{BackupReport, Broker, BrokerBuilder, Error, Topic, TopicPartition};

use crate::failure::Failure;
use crate::output::text;

/// Where a command is to work.
#[derive(Debug)]
pub struct Place {
    dir: Option<PathBuf>,
    is_named: bool,
}

impl Place {
    /// The directory `dir`, which the command line names itself, or the environment.
    pub fn new(dir: Option<PathBuf>, is_named: bool) -> Place {
        Place { dir, is_named }
    }

    /// Whether the command line names the directory.
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    /// The data directory.
    pub fn dir(&self) -> Result<&PathBuf, Failure> {
        self.dir.as_ref().ok_or_else(|| Failure::refused("no data directory: give it with --dir PATH, or in OTTLA_DIR"))
    }

    /// Opens the directory to look at it, whoever writes it.
    pub fn read(&self) -> Result<Broker, Failure> {
        Ok(Broker::open_read_only(self.dir()?)?)
    }

    /// Begins to open the directory for writing, if it is there.
    pub fn builder(&self) -> Result<BrokerBuilder, Failure> {
        Ok(Broker::builder(self.dir_to_change()?).create(false))
    }

    /// Opens the directory to change something in it, if nobody else has it open for writing.
    pub fn write(&self) -> Result<Broker, Failure> {
        Ok(self.builder()?.open()?)
    }

    /// The same, and makes the directory if there is none.
    pub fn write_or_create(&self) -> Result<Broker, Failure> {
        Ok(Broker::builder(self.dir_to_change()?).open()?)
    }

    /// The data directory, unless it is a backup, which would be none any more once it was opened for writing.
    fn dir_to_change(&self) -> Result<&PathBuf, Failure> {
        let dir = self.dir()?;
        if BackupReport::read(dir).is_err() {
            return Ok(dir);
        }
        let dir = text::escaped_path(dir);
        Err(Failure::refused(format_args!(
            "{dir} is a backup, and is to stay one: restore it into another directory with `ottla restore`, and use that"
        )))
    }
}

/// The topic of this name; if there is none, the failure names the one that was probably meant.
pub fn topic(broker: &Broker, name: &str) -> Result<Topic, Failure> {
    broker.existing_topic(name).map_err(|error| unknown_topic(broker, error))
}

/// What led to `error`, with the name that was probably meant if it is that there is no such topic.
pub fn unknown_topic(broker: &Broker, error: Error) -> Failure {
    let Error::UnknownTopic { name, .. } = &error else { return error.into() };
    not_there("topic", name, &broker.admin().list_topics().unwrap_or_default(), "topics list")
}

/// The same of a group.
pub fn unknown_group(broker: &Broker, error: Error) -> Failure {
    let Error::UnknownGroup { group, .. } = &error else { return error.into() };
    not_there("group", group, &broker.admin().list_groups().unwrap_or_default(), "groups list")
}

/// The same of a transactional id.
pub fn unknown_transactional_id(broker: &Broker, error: Error) -> Failure {
    let Error::UnknownTransactionalId { transactional_id, .. } = &error else { return error.into() };
    let all = broker.admin().list_transactions().unwrap_or_default();
    let names: Vec<String> = all.iter().map(|found| found.transactional_id().to_owned()).collect();
    not_there("transactional id", transactional_id, &names, "transactions list")
}

fn not_there(kind: &str, name: &str, names: &[String], list: &str) -> Failure {
    Failure::refused(match text::nearest(name, names.iter().map(String::as_str)) {
        Some(nearest) => format!("there is no {kind} {name:?}; did you mean {nearest:?}?"),
        None => format!("there is no {kind} {name:?}; `ottla {list}` names those that there are"),
    })
}

/// Fails if one of the partitions that were shown cannot be looked at: what was shown of it is not true then.
pub fn check_shown(broker: &Broker, is_shown: impl Fn(&TopicPartition) -> bool) -> Result<(), Failure> {
    let failed = broker.admin().health().failed_partitions;
    let mut failed = failed.into_iter().filter(|failed| is_shown(&failed.partition));
    failed.next().map_or(Ok(()), |failed| {
        Err(Failure::failed(format_args!("{} cannot be read: {}", failed.partition, failed.error.with_causes())))
    })
}
