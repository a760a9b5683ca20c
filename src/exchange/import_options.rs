//! What is to be imported, and as what.

use std::collections::BTreeMap;

use crate::partition::config::TopicConfig;

/// What [`Admin::import`](crate::Admin::import) takes over.
///
/// # Examples
/// ```
/// use ottla::{CleanupPolicy, ImportOptions, TopicConfig};
///
/// let options = ImportOptions::new()
///     .topics(["orders", "prices"])
///     .topic_config("prices", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ImportOptions {
    pub(super) topics: Option<Vec<String>>,
    pub(super) config: TopicConfig,
    pub(super) configs: BTreeMap<String, TopicConfig>,
    pub(super) committed_offsets: bool,
    pub(super) missing_partitions: bool,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            topics: None,
            config: TopicConfig::new(),
            configs: BTreeMap::new(),
            committed_offsets: true,
            missing_partitions: false,
        }
    }
}

impl ImportOptions {
    /// All topics that are there but the internal ones, with the default settings, and what groups have committed for them.
    pub fn new() -> ImportOptions {
        ImportOptions::default()
    }

    /// Only these topics. Default: all but the internal ones, which are never imported.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = Some(topics.into_iter().map(Into::into).collect());
        self
    }

    /// How the topics that are created are configured: what a broker has of that is not among its partition directories. The number of
    /// partitions is that of the directories, whatever this says. A topic that is there keeps its own settings. Default:
    /// [`TopicConfig::new`].
    ///
    /// Mind the limits of age and size: what they do not keep is deleted soon after. Old records count as no older than their import.
    pub fn config(mut self, config: TopicConfig) -> Self {
        self.config = config;
        self
    }

    /// How this topic is configured, if it is created. Default: as [`config`](ImportOptions::config) says.
    pub fn topic_config(mut self, topic: impl Into<String>, config: TopicConfig) -> Self {
        self.configs.insert(topic.into(), config);
        self
    }

    /// Whether what groups have committed is taken over, from the directories `__consumer_offsets-<n>` that are beside the partitions.
    /// Default: true. Groups that have members here are put out, and begin anew with what was taken over.
    pub fn committed_offsets(mut self, are_wanted: bool) -> Self {
        self.committed_offsets = are_wanted;
        self
    }

    /// Whether a topic of which some partitions are not there is imported all the same, with those empty. Default: false, which makes
    /// that an error: they may be on another disk of the broker, or on another broker.
    pub fn missing_partitions(mut self, may_be_empty: bool) -> Self {
        self.missing_partitions = may_be_empty;
        self
    }
}
