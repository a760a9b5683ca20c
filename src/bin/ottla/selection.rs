//! Topics, partitions and other names as they are given on the command line.

use std::collections::BTreeSet;
use std::str::FromStr;

use ottla::{Broker, Error, TopicPartition};

use crate::failure::Failure;
use crate::place;

/// `orders`, which is all of its partitions, or `orders:0,2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub topic: String,
    /// Which partitions; all of them if there is none.
    pub partitions: BTreeSet<u32>,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Selection, String> {
        // No topic has a colon in its name.
        let Some((topic, numbers)) = text.split_once(':') else {
            return Ok(Selection { topic: text.to_owned(), partitions: BTreeSet::new() });
        };
        let partitions = numbers.split(',').map(|number| number.trim().parse()).collect::<Result<_, _>>();
        let expected = "expected a topic, or a topic and the numbers of partitions, such as orders:0,2";
        Ok(Selection { topic: topic.to_owned(), partitions: partitions.map_err(|_| expected.to_owned())? })
    }
}

impl Selection {
    /// This partition alone.
    pub fn of(partition: &TopicPartition) -> Selection {
        Selection { topic: partition.topic().to_owned(), partitions: BTreeSet::from([partition.partition()]) }
    }

    /// The partitions that are meant, all of which are there.
    pub fn partitions(&self, broker: &Broker) -> Result<Vec<ottla::Partition>, Failure> {
        let topic = place::topic(broker, &self.topic)?;
        if self.partitions.is_empty() {
            return Ok(topic.partitions().collect());
        }
        let found = self.partitions.iter().map(|number| topic.partition(*number));
        Ok(found.collect::<Result<_, _>>()?)
    }
}

/// The partitions that are meant by all of these, in order and once; those of all topics if there are none.
pub fn partitions(broker: &Broker, selections: &[Selection]) -> Result<Vec<ottla::Partition>, Failure> {
    let mut found = Vec::new();
    if selections.is_empty() {
        for name in broker.admin().list_topics()? {
            match broker.existing_topic(&name) {
                // It was deleted since.
                Err(Error::UnknownTopic { .. }) => {}
                topic => found.extend(topic?.partitions()),
            }
        }
    }
    for selection in selections {
        found.extend(selection.partitions(broker)?);
    }
    let key = |partition: &ottla::Partition| -> TopicPartition { partition.topic_partition().clone() };
    found.sort_by_key(key);
    found.dedup_by_key(|partition| key(partition));
    Ok(found)
}

/// Names in order, each once.
pub fn each_once(names: &[String]) -> Vec<String> {
    names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_with_or_without_partitions() {
        let selection = |text: &str| text.parse::<Selection>();
        let orders = |partitions: &[u32]| Selection {
            topic: "orders".to_owned(),
            partitions: partitions.iter().copied().collect(),
        };
        assert_eq!(selection("orders"), Ok(orders(&[])));
        assert_eq!(selection("orders:2,0"), Ok(orders(&[0, 2])));
        for text in ["orders:", "orders:x", "orders:-1", "orders:0,", "orders:0:1"] {
            assert!(selection(text).is_err(), "{text}");
        }
    }
}
