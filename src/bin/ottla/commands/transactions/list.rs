//! `ottla transactions list`.

use clap::Args;
use ottla::TransactionDescription;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::place::Place;

#[derive(Debug, Args)]
pub struct List {
    /// Only those that are open, or lack markers still
    #[arg(long)]
    open: bool,
}

/// A transactional id in the list.
#[derive(Debug, Serialize)]
struct Listed {
    transactional_id: String,
    state: String,
    producer_id: i64,
    producer_epoch: i16,
    /// In how many partitions it is open.
    open_partitions: usize,
}

impl Row for Listed {
    const HEADER: &'static [&'static str] = &["transactional id", "state", "partitions", "epoch", "producer id"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            (&self.transactional_id).into(),
            (&self.state).into(),
            look.count(self.open_partitions),
            look.number(self.producer_epoch),
            // An id, which nobody counts with.
            self.producer_id.to_string().into(),
        ]
    }
}

impl From<&TransactionDescription> for Listed {
    fn from(found: &TransactionDescription) -> Listed {
        Listed {
            transactional_id: found.transactional_id().to_owned(),
            state: found.state().to_string(),
            producer_id: found.producer_id(),
            producer_epoch: found.producer_epoch(),
            open_partitions: found.partitions().len(),
        }
    }
}

impl List {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let all = place.read()?.admin().list_transactions()?;
        let shown = all.iter().filter(|found| !self.open || found.is_open());
        output.rows(&shown.map(Listed::from).collect::<Vec<_>>())
    }
}
