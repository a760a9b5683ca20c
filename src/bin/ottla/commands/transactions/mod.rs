//! `ottla transactions`.

mod abort;
mod describe;
mod list;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;
use crate::place::Place;

#[derive(Debug, Subcommand)]
pub enum Transactions {
    /// All transactional ids, and how far their transactions are
    List(list::List),
    /// A transactional id, and where its transaction is open
    Describe(describe::Describe),
    /// Abort the transaction that is open under a transactional id
    Abort(abort::Abort),
}

impl Transactions {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        match self {
            Transactions::List(list) => list.run(place, output),
            Transactions::Describe(describe) => describe.run(place, output),
            Transactions::Abort(abort) => abort.run(place, output),
        }
    }
}
