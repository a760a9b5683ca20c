//! Imports a CSV file exactly once, although the import is killed over and over, and the file grows meanwhile.
//! Run it with `cargo run --release --example import_csv_once`; `OTTLA_EXAMPLE_KILLS=100` kills it more often.
//! You will see from which row on each life of the import goes on, and that at the end each row is in the log once.

#![allow(clippy::disallowed_types, reason = "an application may read files itself")]

mod killing;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use killing::{Life, Result};
use ottla::{Broker, ProducerRecord, TopicConfig};

const PEOPLE: &str = "people";
/// The name of the import: whoever opens it goes on where the one before has stopped.
const NAME: &str = "import people.csv";
/// Rows that are committed together. The more, the faster, and the more is done again after a kill.
const ROWS_PER_TRANSACTION: usize = 25;
/// Rows that come to the file between two lives.
const NEW_ROWS: usize = 300;

fn main() -> Result<()> {
    if let Some(life) = Life::of_child() {
        return import(&life);
    }
    let dir = tempfile::tempdir()?;
    let mut row_count = 0;
    killing::kill_over_and_over(dir.path(), 8, || append_rows(dir.path(), &mut row_count))?;
    check(dir.path(), row_count)
}

/// Imports what is not in the log yet. This is all there is to it; that the process may die at any moment, it need not know.
fn import(life: &Life) -> Result<()> {
    let broker = Broker::open(life.dir.join("log"))?;
    broker.topic_with(PEOPLE, TopicConfig::new().partitions(4))?;
    let mut importer = broker.transactional_producer(NAME)?;
    let mut row = match importer.checkpoint() {
        Some(checkpoint) => row_of(checkpoint)?,
        None => 0,
    };
    killing::begin(&format!("goes on behind row {row}"));

    let file = BufReader::new(File::open(life.dir.join("people.csv"))?);
    let mut lines = file.lines().skip(1 + row); // The first line has the names of the columns.
    loop {
        let rows = lines.by_ref().take(ROWS_PER_TRANSACTION).collect::<io::Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Ok(broker.close()?);
        }
        row += rows.len();
        let transaction = importer.begin()?;
        for row in &rows {
            let id = row.split(',').next();
            transaction.send(ProducerRecord::to(PEOPLE).key(id).value(row))?;
        }
        // It counts if the rows do, and they count if it does: in all partitions, or in none.
        transaction.set_checkpoint(format!("row {row}").as_bytes())?;
        transaction.commit()?;
    }
}

fn row_of(checkpoint: &[u8]) -> Result<usize> {
    let row = std::str::from_utf8(checkpoint)?.strip_prefix("row ").ok_or("a checkpoint that is not ours")?;
    Ok(row.parse()?)
}

/// What somebody else does meanwhile: the file grows, by whole lines.
fn append_rows(dir: &Path, row_count: &mut usize) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join("people.csv"))?;
    let mut text = String::new();
    if *row_count == 0 {
        text.push_str("id,name,balance\n");
    }
    for id in *row_count..*row_count + NEW_ROWS {
        text.push_str(&row(id));
        text.push('\n');
    }
    *row_count += NEW_ROWS;
    Ok(file.write_all(text.as_bytes())?)
}

fn row(id: usize) -> String {
    format!("{id},customer {id},{}.{:02}", id % 977, id % 100)
}

/// Each row of the file is in the log once, in the order of the file in each partition; and the checkpoint says so.
fn check(dir: &Path, row_count: usize) -> Result<()> {
    let broker = Broker::open(dir.join("log"))?;
    let mut rows = BTreeSet::new();
    for partition in broker.existing_topic(PEOPLE)?.partitions() {
        let mut last = None;
        for record in partition.iter_from(0) {
            let record = record?;
            let id: usize = record.key_str()?.parse()?;
            assert_eq!(record.value_str()?, row(id), "{} is as it was in the file", record.address());
            assert!(last < Some(id), "{} comes behind row {last:?}", record.address());
            assert!(rows.insert(id), "row {id} is there twice");
            last = Some(id);
        }
        println!("{}: up to row {}", partition.topic_partition(), last.map_or(0, |id| id + 1));
    }
    assert!(rows.into_iter().eq(0..row_count), "no row is missing, and none is there that the file does not have");
    let importer = broker.transactional_producer(NAME)?;
    let checkpoint = importer.checkpoint().ok_or("no checkpoint")?;
    assert_eq!(row_of(checkpoint)?, row_count);
    println!("{row_count} rows, each of them once");
    Ok(())
}
