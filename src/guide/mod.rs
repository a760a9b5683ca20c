//! The manual, chapter by chapter. Start with [`concepts`] if logs are new to you, or with [`coming_from_kafka`] if they are not.
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`concepts`] | What are topics, partitions, offsets and groups, and where do the bytes go? |
//! | [`guarantees`] | What is still there after a kill, a power cut, a full disk? |
//! | [`coming_from_kafka`] | What is Kafka's word for it here, which defaults differ, and what can Kafka's tools read? |
//! | [`groups`] | How do consumers share the work, and what does each of them see? |
//! | [`exactly_once`] | How does one read, decide and write so that each record counts once, and where does that end? |
//! | [`keeping`] | How long are records kept, and how does a topic keep the last one of each key? |
//! | [`errors_and_damage`] | Which errors can be retried, and how does one go on behind damage? |
//! | [`second_copy`] | How is a log copied that is being written, and how does one go on from the copy? |
//! | [`operations`] | What does it take, what is to be watched, how is it backed up and upgraded, and what is to be done when? |
//! | [`metrics`] | How much does it do, who is behind, and what is worth an alarm? |
//! | [`command`] | How does one look at a data directory, and change it, from a shell? |
//! | [`testing_your_code`] | How does one test code that uses a log, crashes included? |
//! | [`async_code`] | How does one use a synchronous library from an async runtime? |
//! | [`events`] | Which events does feature `tracing` bring, and what may a subscriber do? |
//! | [`performance`] | How fast is it, what is it slow at, and how does one measure it? |
//! | [`proof`] | What was tested, how much of it, and how can it be repeated? |
//! | [`contributing`] | How is the crate built inside? |

#[doc = include_str!("concepts.md")]
pub mod concepts {}

#[doc = include_str!("guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("coming_from_kafka.md")]
pub mod coming_from_kafka {}

#[doc = include_str!("groups.md")]
pub mod groups {}

#[doc = include_str!("exactly_once.md")]
pub mod exactly_once {}

#[doc = include_str!("keeping.md")]
pub mod keeping {}

#[doc = include_str!("errors_and_damage.md")]
pub mod errors_and_damage {}

#[doc = include_str!("second_copy.md")]
pub mod second_copy {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("command.md")]
pub mod command {}

#[doc = include_str!("testing_your_code.md")]
pub mod testing_your_code {}

#[doc = include_str!("async_code.md")]
pub mod async_code {}

#[doc = include_str!("events.md")]
pub mod events {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("proof.md")]
pub mod proof {}

#[doc = include_str!("contributing.md")]
pub mod contributing {}
