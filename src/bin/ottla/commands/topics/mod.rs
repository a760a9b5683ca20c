//! `ottla topics`.

mod alter;
mod create;
mod delete;
mod describe;
mod list;

use clap::Subcommand;
use ottla::TopicConfig;

use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

#[derive(Debug, Subcommand)]
pub enum Topics {
    /// All topics, in the order of their names
    List,
    /// Create a topic, and the data directory if there is none
    #[command(after_long_help = settings())]
    Create(create::Create),
    /// How topics are configured, and what is in their partitions
    Describe(describe::Describe),
    /// Change how a topic is configured, or add partitions
    #[command(after_long_help = settings())]
    Alter(alter::Alter),
    /// Delete topics: their records, and what groups have committed for them
    Delete(delete::Delete),
}

impl Topics {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        match self {
            Topics::List => list::run(place, output),
            Topics::Create(create) => create.run(place, output),
            Topics::Describe(describe) => describe.run(place, output),
            Topics::Alter(alter) => alter.run(place, output),
            Topics::Delete(delete) => delete.run(place, output),
        }
    }
}

/// The number of partitions, which has an option of its own.
const PARTITIONS: &str = "num.partitions";

/// The end of the help: which settings there are.
fn settings() -> String {
    let mut keys: Vec<&str> = TopicConfig::KEYS.iter().copied().filter(|key| *key != PARTITIONS).collect();
    keys.sort_unstable();
    format!("Settings: {}. `ottla topics describe --all` shows what they are set to.", keys.join(", "))
}

/// A setting as it is given: `retention.ms=86400000`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected a key and a value, such as retention.ms=86400000")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The configuration with all of these settings.
pub fn with_settings(config: TopicConfig, settings: &[(String, String)]) -> ottla::Result<TopicConfig> {
    settings.iter().try_fold(config, |config, (key, value)| config.set(key, value))
}
