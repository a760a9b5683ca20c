//! The data directory that a command works on.

use std::path::PathBuf;

use ottla::{Broker, Error, Topic};

use crate::failure::Failure;
use crate::output::text;

/// Where a command is to work.
#[derive(Debug)]
pub struct Place {
    dir: Option<PathBuf>,
}

impl Place {
    pub fn new(dir: Option<PathBuf>) -> Place {
        Place { dir }
    }

    /// The data directory.
    pub fn dir(&self) -> Result<&PathBuf, Failure> {
        self.dir.as_ref().ok_or_else(|| Failure::refused("no data directory: give it with --dir PATH, or in OTTLA_DIR"))
    }

    /// Opens the directory to look at it, whoever writes it.
    pub fn read(&self) -> Result<Broker, Failure> {
        Ok(Broker::open_read_only(self.dir()?)?)
    }

    /// Opens the directory to change something in it, if nobody else has it open for writing.
    pub fn write(&self) -> Result<Broker, Failure> {
        Ok(Broker::builder(self.dir()?).create(false).open()?)
    }

    /// The same, and makes the directory if there is none.
    pub fn write_or_create(&self) -> Result<Broker, Failure> {
        Ok(Broker::builder(self.dir()?).open()?)
    }
}

/// The topic of this name; if there is none, the failure names the one that was probably meant.
pub fn topic(broker: &Broker, name: &str) -> Result<Topic, Failure> {
    broker.existing_topic(name).map_err(|error| unknown_topic(broker, error))
}

/// What led to `error`, with the name that was probably meant if it is that there is no such topic.
pub fn unknown_topic(broker: &Broker, error: Error) -> Failure {
    let Error::UnknownTopic { name, .. } = &error else { return error.into() };
    let names = broker.admin().list_topics().unwrap_or_default();
    Failure::refused(match text::nearest(name, names.iter().map(String::as_str)) {
        Some(nearest) => format!("there is no topic {name:?}; did you mean {nearest:?}?"),
        None => format!("there is no topic {name:?}; `ottla topics list` names those that there are"),
    })
}
