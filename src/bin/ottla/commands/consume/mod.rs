//! `ottla consume`.
//!
//! ```text
//! range     from where on, and up to where
//! reading   the loop: what a poll returns is printed, and then it counts as read
//! printer   records to stdout; format: how one is written; reader: whether somebody takes them
//! ```

mod format;
mod printer;
mod range;
mod reader;
mod reading;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use ottla::{Broker, ConsumerConfig, Isolation, TopicPartition};

use crate::failure::{Failure, say};
use crate::interrupt::Interrupt;
use crate::output::Format;
use crate::place::{self, Place};
use format::Template;
use printer::{Printer, Style};
use range::{Bound, Start};
use reading::Reading;

/// Print the records of topics: the values, a line each, unless asked otherwise
///
/// It ends where the logs ended when it began; with --follow it goes on and waits for more. Into a file or a pipe values go byte
/// by byte as they are, and on a terminal control characters are escaped. Reading changes nothing and works beside the process
/// that writes. With --group it commits what was printed, and then nobody else may have the directory open for writing.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Consume {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin: beginning, end, stored (where the group is), an offset, -N for the last N of each partition, or s@TIME for the
    /// first record of that time or later; and with a second -o e@TIME, where to end: before the first record of that time or later.
    /// Without it: stored with --group, else beginning
    #[arg(short, long = "offset", value_name = "WHERE", allow_hyphen_values = true)]
    offsets: Vec<Bound>,
    /// Read these partitions only. May be given more than once
    #[arg(short, long = "partition", value_name = "N")]
    partitions: Vec<u32>,
    /// End after so many records
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End where the logs end now, which is done anyway without --follow
    #[arg(short, long, conflicts_with = "follow")]
    exit: bool,
    /// Do not end, but wait for what another process sends
    #[arg(long, conflicts_with = "group")]
    follow: bool,
    /// Write a record like this: %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %K its length, %s value, %S its
    /// length (-1 for null), %h headers as name=value with commas between, %% a percent sign; \n, \t, \xHH. Default: %s\n
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<Template>,
    /// Write a record as a line of JSON, which `produce --json` takes
    #[arg(short = 'J', long)]
    json: bool,
    /// Read as this group, and commit what was printed
    #[arg(short = 'G', long)]
    group: Option<String>,
    /// What is seen of transactions that are not committed
    #[arg(long, value_name = "LEVEL", default_value = "read_committed")]
    isolation_level: IsolationLevel,
    /// Print only records that have this text in their key or value. It is taken as it is, and is no regular expression
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Go on after records that are damaged; the exit status is 1 all the same
    #[arg(long)]
    skip_corrupt: bool,
}

/// What is seen of transactions.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum IsolationLevel {
    ReadCommitted,
    ReadUncommitted,
}

impl From<IsolationLevel> for Isolation {
    fn from(level: IsolationLevel) -> Isolation {
        match level {
            IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
            IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
        }
    }
}

/// A poll reads so much at most.
const POLL_BYTES: u32 = 4 << 20;

impl Consume {
    pub fn run(&self, place: &Place, output: Option<Format>) -> Result<(), Failure> {
        let (start, until) = self.bounds()?;
        let broker = if self.group.is_some() { place.write()? } else { place.read()? };
        let partitions = self.partitions(&broker)?;
        let consumer = broker.consumer_with(self.config())?;
        let handle = consumer.handle();
        let interrupt = Interrupt::watch(move || handle.wakeup())?;
        let is_terminal = io::stdout().is_terminal();
        let pattern = self.grep.clone().map(String::into_bytes);
        let printer = Printer::begin(self.style(output), is_terminal, pattern)?;
        let mut reading = Reading {
            consumer,
            printer,
            interrupt,
            ends: BTreeMap::new(),
            count: self.count,
            commits: self.group.is_some(),
            skips_corrupt: self.skip_corrupt,
            skipped: 0,
            failure: None,
        };
        reading.assign(&partitions, start, until, self.follow)?;
        if self.follow {
            reading.print_on_and_on(|| self.partitions(&broker))?;
        } else {
            reading.print_to_the_end()?;
        }
        let skipped = reading.end()?;
        broker.close()?;
        match skipped {
            0 => Ok(()),
            skipped => Err(Failure::failed(format_args!("offsets skipped since they cannot be read: {skipped}"))),
        }
    }

    /// Where to begin, and the time at which to end.
    fn bounds(&self) -> Result<(Start, Option<ottla::Timestamp>), Failure> {
        let (mut start, mut until) = (None, None);
        for bound in &self.offsets {
            let is_second = match *bound {
                Bound::From(from) => start.replace(from).is_some(),
                Bound::Until(time) => until.replace(time).is_some(),
            };
            if is_second {
                return Err(Failure::refused("-o says twice where to begin, or where to end"));
            }
        }
        if until.is_some() && self.follow {
            return Err(Failure::refused("-o e@TIME says where to end, and --follow not to end: give one of them"));
        }
        if start == Some(Start::Stored) && self.group.is_none() {
            return Err(Failure::refused("-o stored is where a group is: say which one with --group"));
        }
        let default = if self.group.is_some() { Start::Stored } else { Start::Beginning };
        Ok((start.unwrap_or(default), until))
    }

    /// All partitions that are to be read.
    fn partitions(&self, broker: &Broker) -> Result<Vec<TopicPartition>, Failure> {
        let mut partitions = Vec::new();
        for name in &self.topics {
            let topic = place::topic(broker, name)?;
            let of_topic: Vec<_> = match &*self.partitions {
                [] => topic.partitions().collect(),
                numbers => numbers.iter().map(|number| topic.partition(*number)).collect::<Result<_, _>>()?,
            };
            partitions.extend(of_topic.iter().map(|partition| partition.topic_partition().clone()));
        }
        partitions.sort_unstable();
        partitions.dedup();
        Ok(partitions)
    }

    fn config(&self) -> ConsumerConfig {
        // Without a group nothing is committed, whatever its name.
        let group = self.group.as_deref().unwrap_or("ottla-consume");
        let config = ConsumerConfig::new(group).isolation(self.isolation_level.into());
        let config = config.fetch_max_bytes(POLL_BYTES).max_poll_records(u32::MAX);
        config.on_position_reset(|reset| say(format_args!("{reset}: not printed {:?}", reset.passed_over())))
    }

    fn style(&self, output: Option<Format>) -> Style {
        match (&self.format, output) {
            (Some(template), _) => Style::Text(template.clone()),
            (None, Some(Format::Json)) => Style::Json,
            (None, Some(Format::Jsonl)) => Style::JsonLines,
            (None, _) if self.json => Style::JsonLines,
            (None, _) => Style::Text(Template::value_lines()),
        }
    }
}
