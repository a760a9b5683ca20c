//! Which topics a consumer reads: by name, by pattern, or partitions that it is given by hand.

use super::Consumer;
use crate::broker::topic_name::is_internal;
use crate::broker::topic_registry::Topics;
use crate::config_key::invalid;
use crate::error::Result;
use crate::group::member;
use crate::topic_partition::TopicPartition;

/// Names and a pattern; topics may come to exist later.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscription {
    pub(super) topics: Vec<String>,
    pub(super) pattern: Option<String>,
}

impl Subscription {
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.pattern.is_none()
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Some(pattern) = &self.pattern else { return Ok(()) };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*?".contains(&byte);
        if pattern.is_empty() || !pattern.bytes().all(is_allowed) {
            let reason = "expected letters, digits, '.', '_' and '-', with * for any run of them and ? for any one";
            return Err(invalid("topic.pattern", pattern.clone(), reason));
        }
        Ok(())
    }

    /// The topics that exist and are meant, with their numbers of partitions. Internal topics only by name.
    pub(super) fn resolve(&self, topics: &Topics) -> member::Subscription {
        let mut resolved = member::Subscription::new();
        for name in &self.topics {
            if let Some(topic) = topics.get(name.as_str()) {
                resolved.insert(name.clone(), topic.partition_count());
            }
        }
        if let Some(pattern) = &self.pattern {
            let is_meant = |name: &str| !is_internal(name) && matches(pattern.as_bytes(), name.as_bytes());
            for (name, topic) in topics.iter().filter(|(name, _)| is_meant(name)) {
                resolved.insert(name.to_string(), topic.partition_count());
            }
        }
        resolved
    }
}

impl Consumer {
    /// Reads these topics from now on, as a member of the group; gives up whatever was read before.
    ///
    /// # Errors
    /// [`Error::InconsistentAssignor`](crate::Error::InconsistentAssignor), [`Error::InvalidState`](crate::Error::InvalidState) in a listener, [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what
    /// giving up partitions returns.
    pub fn subscribe<S: Into<String>>(&mut self, topics: impl IntoIterator<Item = S>) -> Result<()> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.change_subscription(Subscription { topics, pattern: None })
    }

    /// Reads all topics with a name of this form from now on; see
    /// [`topic_pattern`](crate::ConsumerConfig::topic_pattern).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for other characters than a pattern has; as [`subscribe`](Consumer::subscribe).
    pub fn subscribe_pattern(&mut self, pattern: impl Into<String>) -> Result<()> {
        self.change_subscription(Subscription { topics: Vec::new(), pattern: Some(pattern.into()) })
    }

    /// Leaves the group, and reads nothing from now on.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) in a listener, [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what giving up partitions returns, after
    /// they were given up.
    pub fn unsubscribe(&mut self) -> Result<()> {
        self.change_subscription(Subscription::default())
    }

    fn change_subscription(&mut self, subscription: Subscription) -> Result<()> {
        self.check_outside_listener()?;
        self.check_usable()?;
        self.store.check_open()?;
        subscription.validate()?;
        if !subscription.is_empty() {
            self.membership.check_can_join()?;
        }
        self.check_not_replaced()?;
        self.was_put_out |= self.membership.removal().is_some();
        let given_up = self.give_up_everything();
        self.config.subscription = subscription;
        self.begin_subscription()?;
        given_up
    }

    /// Joins the group, if there is something to subscribe to, and takes what can be had at once.
    pub(super) fn begin_subscription(&mut self) -> Result<()> {
        if !self.subscribes() {
            return Ok(());
        }
        self.seen_topics_version = Some(self.store.topics_version());
        self.join()?;
        // What goes wrong comes again in the next poll, which returns it.
        let _ = self.take_steps();
        Ok(())
    }

    /// Reads from exactly these partitions from now on, without being a member of the group; gives up whatever was read
    /// before, but for those named here that were assigned by hand already. They can be committed as long as the group has
    /// no members. Read-only, those that are new begin at what the group has committed by now.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic), [`Error::UnknownPartition`](crate::Error::UnknownPartition): nothing was changed. [`Error::InvalidState`](crate::Error::InvalidState) in a listener,
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Fenced`](crate::Error::Fenced); what giving up partitions returns;
    /// read-only also [`Error::Corrupt`](crate::Error::Corrupt) if the committed offsets cannot be read.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_outside_listener()?;
        self.check_usable()?;
        let logs = partitions.iter().map(|partition| self.store.source(partition)).collect::<Result<Vec<_>>>()?;
        self.check_not_replaced()?;
        if self.store.is_read_only() {
            self.membership.note_committed(self.store.committed_of(self.membership.group())?);
        }
        let given_up = if self.subscribes() { self.give_up_everything() } else { Ok(()) };
        self.config.subscription = Subscription::default();
        self.positions.set(logs);
        self.share_positions();
        given_up
    }

    /// Gives up all partitions and leaves the group.
    pub(super) fn give_up_everything(&mut self) -> Result<()> {
        let mut partitions = self.assignment();
        partitions.extend(self.told.iter().filter(|partition| self.positions.get(partition).is_none()).cloned());
        // They are not released one by one: with the membership they go to others, but for those of a static member.
        let given_up = if partitions.is_empty() { Ok(()) } else { self.put_down(&partitions) };
        self.membership.leave(self.store.monotonic());
        self.group_due = None;
        given_up
    }
}

/// Whether `name` is of the form of `pattern`, in which `*` is any run of bytes and `?` any one. After a mismatch only the last
/// `*` need take more, so this takes at most the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut last_star = None;
    while let Some(&byte) = name.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, taken_to)) = last_star else { return false };
                last_star = Some((star, taken_to + 1));
                (at, read) = (star + 1, taken_to + 1);
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders-*", "orders-", true),
            ("orders-*", "orders-eu-1", true),
            ("orders-*", "order", false),
            ("*", "anything", true),
            ("*-eu", "orders-eu", true),
            ("*-eu", "orders-eu-1", false),
            ("*-eu-*", "a-eu-eu-b", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("order?", "orders", true),
            ("order?", "order", false),
            ("?*", "x", true),
            ("**", "x", true),
            ("*a?", "aaab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 249]));
    }

    #[test]
    fn a_pattern_of_other_characters_is_refused() {
        for pattern in ["", "orders/*", "^orders.*$", "[ab]"] {
            let subscription = Subscription { topics: Vec::new(), pattern: Some(pattern.to_owned()) };
            assert!(subscription.validate().is_err(), "{pattern}");
        }
    }
}
