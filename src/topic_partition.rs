//! The address of one log: a topic and the number of a partition in it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::parse_error::ParseError;
use crate::text::serde_as_text;

/// A topic's name and the number of one of its partitions: the address of one log.
///
/// Cheap to clone: the name is shared. With the feature `serde` it is written as the text that it shows, and so can be the key of
/// a map in JSON.
///
/// # Examples
/// ```
/// let tp = ottla::TopicPartition::new("orders", 3);
/// assert_eq!(tp.topic(), "orders");
/// assert_eq!(tp.partition(), 3);
/// assert_eq!(tp.to_string(), "orders-3");
/// assert_eq!(format!("{:?}", [&tp]), "[orders-3]");
/// assert_eq!("orders-3".parse(), Ok(tp));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// The address of partition `partition` (from 0) of `topic`. Nothing is looked up or checked.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number within its topic, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

/// Kafka's directory name: `<topic>-<partition>`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// As it is shown: lists of partitions are printed in logs more often than single ones.
impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// From what it shows: the part behind the last hyphen is the number. Nothing is looked up, and only an empty name is refused.
impl FromStr for TopicPartition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<TopicPartition, ParseError> {
        let parts = text.rsplit_once('-').filter(|(topic, _)| !topic.is_empty());
        // As it is written, so that no two texts are one address.
        let is_written_so =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && !has_leading_zero(digits);
        let parts = parts.filter(|(_, digits)| is_written_so(digits));
        let parsed = parts.and_then(|(topic, digits)| Some(TopicPartition::new(topic, digits.parse().ok()?)));
        parsed.ok_or_else(|| ParseError::new("topic partition", text, "<topic>-<partition>, such as orders-0"))
    }
}

fn has_leading_zero(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}

serde_as_text!(TopicPartition);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for (topic, partition) in [("orders", 0), ("a-b", 3), ("a-1", 2), ("-", 7), ("x.y_z", u32::MAX)] {
            let address = TopicPartition::new(topic, partition);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["", "-", "-1", "orders", "orders-", "orders-x", "orders-01", "orders-+1", "orders-4294967296", "a-1 "]
        {
            assert!(text.parse::<TopicPartition>().is_err(), "{text:?}");
        }
    }
}
