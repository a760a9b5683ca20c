//! `ottla transactions describe`.

use std::io::{self, Write};

use clap::Args;
use ottla::{OpenPartition, TransactionDescription};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::table::{Column, Look, Row, write, write_facts};
use crate::output::{Output, Stdout, text};
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Describe {
    /// Which one
    transactional_id: String,
}

/// A transactional id, and how far its transaction is.
#[derive(Debug, Serialize)]
struct Described {
    transactional_id: String,
    state: String,
    producer_id: i64,
    producer_epoch: i16,
    timeout_ms: u64,
    /// Where the transaction is open.
    partitions: Vec<Partition>,
    /// What its last transaction left for the next holder, if that is text.
    checkpoint: Option<String>,
    /// The same in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_base64: Option<String>,
    #[serde(skip)]
    shown_checkpoint: Option<String>,
}

/// A partition in which it is open.
#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: u32,
    first_offset: u64,
}

impl Row for Partition {
    const HEADER: &'static [&'static str] = &["topic", "partition", "open from"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![(&self.topic).into(), look.number(self.partition), look.number(self.first_offset)]
    }
}

impl From<&OpenPartition> for Partition {
    fn from(open: &OpenPartition) -> Partition {
        Partition {
            topic: open.topic_partition().topic().to_owned(),
            partition: open.topic_partition().partition(),
            first_offset: open.first_offset(),
        }
    }
}

impl From<&TransactionDescription> for Described {
    fn from(found: &TransactionDescription) -> Described {
        let checkpoint = found.checkpoint();
        let as_text = checkpoint.and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
        let as_base64 = checkpoint.filter(|_| as_text.is_none()).map(text::base64);
        Described {
            transactional_id: found.transactional_id().to_owned(),
            state: found.state().to_string(),
            producer_id: found.producer_id(),
            producer_epoch: found.producer_epoch(),
            timeout_ms: u64::try_from(found.timeout().as_millis()).unwrap_or(u64::MAX),
            partitions: found.partitions().iter().map(Partition::from).collect(),
            checkpoint: as_text,
            checkpoint_base64: as_base64,
            shown_checkpoint: checkpoint.map(text::escaped),
        }
    }
}

impl Describe {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let found = broker.admin().describe_transaction(&self.transactional_id);
        let found = found.map_err(|error| place::unknown_transactional_id(&broker, error))?;
        output.value(&Described::from(&found), |out, look| show(out, look, &Described::from(&found)))
    }
}

fn show(out: &mut Stdout, look: Look, found: &Described) -> io::Result<()> {
    let mut facts = vec![
        ("state", (&found.state).into()),
        ("producer id", found.producer_id.to_string().into()),
        ("epoch", look.number(found.producer_epoch)),
        ("timeout", format!("{:?}", std::time::Duration::from_millis(found.timeout_ms)).into()),
    ];
    facts.extend(found.shown_checkpoint.as_deref().map(|checkpoint| ("checkpoint", Column::escaped(checkpoint))));
    write_facts(out, look, &found.transactional_id, facts)?;
    if found.partitions.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    write(out, look, &found.partitions)
}
