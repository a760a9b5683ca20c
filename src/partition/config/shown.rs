//! A topic's configuration as a line.

use std::fmt;

use super::TopicConfig;

/// What differs from the defaults, by property names: `TopicConfig { num.partitions: 8, retention.ms: 86400000 }`. All settings are in
/// [`properties`](TopicConfig::properties).
impl fmt::Debug for TopicConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = TopicConfig::new().properties();
        let mut shape = f.debug_struct("TopicConfig");
        for (key, value) in self.properties().iter().filter(|property| !defaults.contains(property)) {
            shape.field(key, &format_args!("{value}"));
        }
        shape.finish()
    }
}
