//! In which forms a change of a topic's configuration gives the new one.

use crate::error::Result;
use crate::partition::config::TopicConfig;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// What the change that [`Admin::alter_topic`](crate::Admin::alter_topic) is given returns: a [`TopicConfig`], or a [`Result`] of one
/// where a setting comes as text and may be refused.
///
/// This trait is sealed: there are these two.
///
/// # Examples
/// ```
/// use ottla::{IntoTopicConfig, TopicConfig};
/// # let broker = ottla::Broker::temporary()?;
/// # broker.topic("orders")?;
/// # broker.topic("payments")?;
/// /// Changes both topics alike.
/// fn alter<C: IntoTopicConfig>(admin: &ottla::Admin<'_>, change: impl Fn(TopicConfig) -> C) -> ottla::Result<()> {
///     ["orders", "payments"].into_iter().try_for_each(|topic| admin.alter_topic(topic, &change))
/// }
/// alter(&broker.admin(), |config| config.retention_bytes(1 << 30))?;
/// alter(&broker.admin(), |config| config.set("retention.ms", "86400000"))?;
/// # Ok::<_, ottla::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic's configuration",
    note = "return the configuration that the change is given, or a `Result` of it"
)]
pub trait IntoTopicConfig: Sealed {
    /// The configuration, or why there is none.
    #[doc(hidden)]
    fn into_topic_config(self) -> Result<TopicConfig>;
}

impl Sealed for TopicConfig {}
impl IntoTopicConfig for TopicConfig {
    fn into_topic_config(self) -> Result<TopicConfig> {
        Ok(self)
    }
}

impl Sealed for Result<TopicConfig> {}
impl IntoTopicConfig for Result<TopicConfig> {
    fn into_topic_config(self) -> Result<TopicConfig> {
        self
    }
}
