//! `ottla produce`.
//!
//! ```text
//! chunks   whole lines, read by a thread of their own, so that Ctrl-C need not wait for the next one
//! form     what a line says of a record
//! sending  records into partitions, in the order of the lines: what is in is always a beginning of the input
//! ```

mod chunks;
mod form;
mod sending;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use clap::Args;
use ottla::{Broker, Durability, Topic};

use crate::failure::{Failure, reason};
use crate::interrupt::Interrupt;
use crate::place::{self, Place};
use chunks::Chunk;
use form::Form;
use sending::{Sending, lines_are_in};

/// Send records to a topic, one for each line of stdin or of a file
///
/// A line is in the topic as soon as it was read. When the command ends with exit status 0, every line is in, and survives a
/// power cut. If it fails, it says how many lines are in: always the first ones, in their order.
#[derive(Debug, Args)]
pub struct Produce {
    /// The topic
    topic: String,
    /// Read the lines of this file instead of stdin
    #[arg(short = 'l', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    form: form::Options,
    /// Send all records to this partition; without it their keys choose, and where there is no key, one after the other gets some
    #[arg(short, long, value_name = "N")]
    partition: Option<u32>,
    /// Create the topic if there is none, and the data directory
    #[arg(long)]
    create: bool,
}

/// So long nothing more has to come until what has come is synced.
const IDLE: Duration = Duration::from_millis(20);

impl Produce {
    pub fn run(&self, place: &Place) -> Result<(), Failure> {
        let source = chunks::Source::open(self.file.as_deref())?;
        let form = Form::new(&self.form, self.partition)?;
        // Synced when nothing more comes for a moment, and at the end: more often than that nobody can tell the difference. A topic
        // that asks for more gets it.
        let broker = place.builder()?.create(self.create).durability(Durability::Os).open()?;
        let topic = self.topic(&broker)?;
        let mut sending = Sending::new(&topic);
        if let Some(partition) = self.partition {
            topic.partition(partition)?;
        }
        let (chunks, stop) = source.read(Form::line_bytes_max(&topic));
        let interrupt = Interrupt::watch(move || stop.stop())?;
        let sent = send_all(&chunks, &form, &mut sending, &broker, &interrupt);
        let synced = broker.flush();
        let closed = broker.close();
        let mut told = sent.err().into_iter().collect::<Vec<_>>();
        told.push(lines_are_in(sending.sent()));
        if let Err(error) = synced {
            told.push(format!("they may not survive a power cut: {}", reason(&error)));
        } else if let (1, Err(error)) = (told.len(), closed) {
            told.push(reason(&error));
        }
        match &*told {
            // Nothing but how many are in.
            [_] => Ok(()),
            told => Err(Failure::failed(told.join("; "))),
        }
    }

    fn topic(&self, broker: &Broker) -> Result<Topic, Failure> {
        if self.create { Ok(broker.topic(&self.topic)?) } else { place::topic(broker, &self.topic) }
    }
}

/// Sends all that comes.
///
/// # Errors
/// Why it stopped before the end.
fn send_all(
    chunks: &Receiver<io::Result<Chunk>>,
    form: &Form,
    sending: &mut Sending<'_>,
    broker: &Broker,
    interrupt: &Interrupt,
) -> Result<(), String> {
    let mut is_synced = true;
    loop {
        let chunk = chunks.recv_timeout(if is_synced { Duration::MAX } else { IDLE });
        if interrupt.is_asked() {
            return Err("interrupted".to_owned());
        }
        match chunk {
            Ok(Ok(Chunk::Lines(bytes))) => {
                form.send(&bytes, sending).map_err(|why| format!("line {}: {why}", sending.sent() + 1))?;
                is_synced = false;
            }
            Ok(Ok(Chunk::LineTooLong)) => {
                return Err(format!("line {}: it is longer than any record of the topic may be", sending.sent() + 1));
            }
            Ok(Ok(Chunk::Stop)) => {}
            Ok(Ok(Chunk::End)) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(Err(error)) => return Err(format!("cannot read the lines: {error}")),
            Err(RecvTimeoutError::Timeout) => {
                broker.flush().map_err(|error| reason(&error))?;
                is_synced = true;
            }
        }
    }
}
