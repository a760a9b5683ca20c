//! `ottla transactions abort`.
//!
//! Whoever opens a directory for writing aborts every transaction that stands open in it without a decision, since those who have begun
//! them are gone. So this ends what is open under other names, too, and says so.

use clap::Args;
use ottla::{Broker, TransactionDescription, TransactionState};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{Column, Look, Row};
use crate::output::text::counted;
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Abort {
    /// Whose
    transactional_id: String,
    /// Do it: without this it is only said what would be aborted
    #[arg(long)]
    yes: bool,
}

/// A transaction that was open.
#[derive(Debug, Serialize)]
struct Ended {
    transactional_id: String,
    /// How far it was before.
    was: String,
    /// Whether it was aborted, and not committed, as was decided before.
    aborted: bool,
    /// In how many partitions it was open.
    partitions: usize,
}

impl Row for Ended {
    const HEADER: &'static [&'static str] = &["transactional id", "was", "now", "partitions"];

    fn columns(&self, look: Look) -> Vec<Column> {
        let now = if self.aborted { "aborted" } else { "committed" };
        vec![(&self.transactional_id).into(), (&self.was).into(), now.into(), look.count(self.partitions)]
    }
}

impl From<&TransactionDescription> for Ended {
    fn from(found: &TransactionDescription) -> Ended {
        Ended {
            transactional_id: found.transactional_id().to_owned(),
            was: found.state().to_string(),
            aborted: found.state() != TransactionState::PrepareCommit,
            partitions: found.partitions().len(),
        }
    }
}

impl Abort {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let open = self.open(&place.read()?)?;
        if !self.yes {
            return Err(Failure::refused(what_ends(&self.transactional_id, &open)));
        }
        let broker = place.write()?;
        // Where opening could not do it.
        broker.admin().abort_transaction(&self.transactional_id)?;
        broker.close()?;
        output.rows(&open.iter().map(Ended::from).collect::<Vec<_>>())
    }

    /// All transactions that are open, that of this name first.
    fn open(&self, broker: &Broker) -> Result<Vec<TransactionDescription>, Failure> {
        let admin = broker.admin();
        let found = admin.describe_transaction(&self.transactional_id);
        let found = found.map_err(|error| place::unknown_transactional_id(broker, error))?;
        if !found.is_open() {
            let name = found.transactional_id();
            return Err(Failure::refused(format_args!(
                "no transaction of {name:?} is open: its state is {}",
                found.state()
            )));
        }
        if found.state() == TransactionState::PrepareCommit {
            let name = found.transactional_id();
            return Err(Failure::refused(format_args!(
                "the transaction of {name:?} is committed already, and only lacks markers"
            )));
        }
        let is_other = |other: &TransactionDescription| other.transactional_id() != self.transactional_id;
        let others = admin.list_transactions()?.into_iter().filter(|other| other.is_open() && is_other(other));
        Ok(std::iter::once(found).chain(others).collect())
    }
}

fn what_ends(id: &str, open: &[TransactionDescription]) -> String {
    let partitions = open.first().map_or(0, |own| own.partitions().len());
    let others = open.len().saturating_sub(1);
    let also = match others {
        0 => String::new(),
        _ => format!(", and ends {}, as whoever opens the directory for writing does", counted(others, "other")),
    };
    let partitions = counted(partitions, "partition");
    format!("nothing was aborted; --yes aborts the transaction of {id:?}, which is open in {partitions}{also}")
}
