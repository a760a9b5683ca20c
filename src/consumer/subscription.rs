//! Which topics are meant: by name, or by pattern.

use crate::broker::topic_name::{self, is_internal};
use crate::broker::topic_registry::Topics;
use crate::config_key::invalid;
use crate::error::Result;
use crate::group::member;

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

    /// Checks that all of it can be meant.
    ///
    /// # Errors
    /// [`Error::InvalidTopic`](crate::Error::InvalidTopic), [`Error::InvalidConfig`](crate::Error::InvalidConfig) for the pattern.
    pub(super) fn validate(&self) -> Result<()> {
        self.topics.iter().try_for_each(|name| topic_name::validate(name))?;
        let Some(pattern) = &self.pattern else { return Ok(()) };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*?".contains(&byte);
        if pattern.is_empty() || !pattern.bytes().all(is_allowed) {
            let reason = "expected letters, digits, '.', '_' and '-', with * for any run of them and ? for any one";
            return Err(invalid("topic.pattern", pattern.clone(), reason));
        }
        Ok(())
    }

    /// Checks that every topic that is meant by name exists.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`](crate::Error::UnknownTopic).
    pub(super) fn check_present(&self, topics: &Topics) -> Result<()> {
        let missing = self.topics.iter().find(|name| !topics.contains_key(name.as_str()));
        missing.map_or(Ok(()), |name| Err(topic_name::unknown(name)))
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
