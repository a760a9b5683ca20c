//! A real broker of Kafka's, which adopts what is exported, and whose topics are imported.
//!
//! The failure that this is about: the files look right to us, to a decoder that we wrote ourselves and to the documents, and the broker
//! that they were for refuses them, or begins anew, or shows other records. So here the last word is its own: it is started, it adopts
//! what was exported by the very commands that the export gives (`steps`), and its own consumer is compared with ours (`export`); its
//! tool that dumps log files looks for mismatches in what it finds (`dump`); and what a broker wrote, stopped or killed, is imported,
//! compared with what its consumer saw, and brought back to another one (`import`).
//!
//! Needs Java 17 or newer on the path, and Kafka's jars with all that they need in the directory `OTTLA_KAFKA_LIBS`: those of
//! `org.apache.kafka:kafka_2.13:4.4.0` and `kafka-tools`, and one of slf4j's bindings. Without the variable the tests say that they are
//! skipped.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic as the tests do")]
#![allow(clippy::disallowed_types, reason = "what is exported is looked at from outside")]

mod broker;
#[path = "../exchange/decoder.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod decoder;
mod dump;
mod export;
mod import;
mod kafka;
mod process;
mod records;
mod steps;
mod topics;
