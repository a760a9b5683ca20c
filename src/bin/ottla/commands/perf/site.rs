//! Where a measurement is made.

use clap::Args;
use ottla::{Broker, Durability, Topic, TopicConfig};

use crate::failure::Failure;
use crate::place::Place;

/// What is sent, and where to.
#[derive(Debug, Args)]
pub struct Load {
    /// The topic. With --dir it is created if there is none, and deleted again; one that is there keeps the records that are sent
    #[arg(long, value_name = "NAME", default_value = "ottla-perf")]
    pub topic: String,
    /// The bytes of each record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub record_size: usize,
    /// What a send waits for: always, os or interval:MS. A topic that asks for more gets it
    #[arg(long, value_name = "DURABILITY", default_value = "always")]
    pub durability: Durability,
}

/// A topic in a directory that is removed again, or in the one that was named.
pub struct Site {
    pub broker: Broker,
    pub topic: Topic,
    is_topic_ours: bool,
}

impl Site {
    pub fn open(place: &Place, load: &Load) -> Result<Site, Failure> {
        let broker = if place.is_named() { place.write_or_create()? } else { Broker::temporary()? };
        let created = broker.create_topic(&load.topic, TopicConfig::new().durability(load.durability));
        let is_topic_ours = created.is_ok();
        let topic = match created {
            Err(ottla::Error::TopicExists { .. }) => broker.existing_topic(&load.topic)?,
            created => created?,
        };
        Ok(Site { broker, topic, is_topic_ours })
    }

    /// Removes what was made for the measurement.
    pub fn close(self) -> Result<(), Failure> {
        if self.is_topic_ours {
            self.broker.admin().delete_topic(self.topic.name())?;
        }
        drop(self.topic);
        Ok(self.broker.close()?)
    }
}

impl Load {
    /// The value of every record: letters without a pattern.
    pub fn value(&self) -> Vec<u8> {
        let mut state = 1_u32;
        let letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'A' + u8::try_from((state >> 24) % 26).unwrap_or_default()
        };
        std::iter::repeat_with(letter).take(self.record_size).collect()
    }
}
