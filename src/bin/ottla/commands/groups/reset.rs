//! `ottla groups reset`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ottla::{Broker, Error, OffsetChange, ResetOffsets, ResetTo, Timestamp, TopicPartition};
use serde::Serialize;

use super::offsets_file;
use crate::failure::{Failure, say};
use crate::output::table::{Column, Look, Row};
use crate::output::{Format, Output, time, to_stdout};
use crate::place::{self, Place};
use crate::selection::Selection;

#[derive(Debug, Args)]
pub struct Reset {
    /// Which group
    name: String,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    to: To,
    /// Do it: without this it is only said what would change
    #[arg(long)]
    execute: bool,
    /// Begin a new group if there is none of this name
    #[arg(long)]
    create: bool,
    /// Write what comes after as lines of topic,partition,offset, as --from-file reads them
    #[arg(long, conflicts_with = "output")]
    export: bool,
}

/// In which partitions.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// A topic, or some of its partitions, as in orders:0,2; can be given several times
    #[arg(long, value_name = "TOPIC[:N,N…]")]
    topic: Vec<Selection>,
    /// Everything that the group has committed
    #[arg(long)]
    all_topics: bool,
    /// The partitions and offsets of a file, which has lines of topic,partition,offset
    #[arg(long, value_name = "FILE", conflicts_with = "To")]
    from_file: Option<PathBuf>,
}

/// To what.
#[derive(Debug, Args)]
#[group(id = "To", multiple = false)]
struct To {
    /// The first offset that there is
    #[arg(long)]
    to_earliest: bool,
    /// The end: only what is sent later will be read
    #[arg(long)]
    to_latest: bool,
    /// This offset, or the nearest that there is
    #[arg(long, value_name = "N")]
    to_offset: Option<u64>,
    /// The first record of this time or later, such as 2026-12-01T15:00:00Z, or -15m; the end if there is none
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    to_datetime: Option<Timestamp>,
    /// The first record that is no older than this, such as 90m or P1DT12H; the end if there is none
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    by_duration: Option<Duration>,
    /// So many offsets on, or back if negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// What is committed, or the nearest offset that there is; the end where nothing is
    #[arg(long)]
    to_current: bool,
}

/// A committed offset before and after.
#[derive(Debug, Serialize)]
struct Change {
    topic: String,
    partition: u32,
    before: Option<u64>,
    after: u64,
}

impl Row for Change {
    const HEADER: &'static [&'static str] = &["topic", "partition", "before", "after"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            (&self.topic).into(),
            look.number(self.partition),
            look.number_or_none(self.before),
            look.number(self.after),
        ]
    }
}

impl From<&OffsetChange> for Change {
    fn from(change: &OffsetChange) -> Change {
        Change {
            topic: change.topic_partition().topic().to_owned(),
            partition: change.topic_partition().partition(),
            before: change.before(),
            after: change.after(),
        }
    }
}

impl Reset {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let places = self.places()?;
        let broker = if self.execute { place.write()? } else { place.read()? };
        self.check_group(&broker)?;
        let reset = self.reset(&broker, &places)?;
        let changes = if self.execute { reset.execute() } else { reset.plan() };
        let changes = changes.map_err(|error| without_calls(&broker, error))?;
        broker.close()?;
        self.show(output, &changes, &places)
    }

    /// Where partitions with an offset of their own are to be set.
    fn places(&self) -> Result<Vec<(TopicPartition, u64)>, Failure> {
        match &self.scope.from_file {
            None => Ok(Vec::new()),
            Some(path) => read(path).map_err(|reason| Failure::refused(format_args!("{}: {reason}", path.display()))),
        }
    }

    /// A name that was mistyped does not begin a group.
    fn check_group(&self, broker: &Broker) -> Result<(), Failure> {
        match broker.admin().describe_group(&self.name) {
            Err(Error::UnknownGroup { .. }) if self.create => Ok(()),
            Err(error @ Error::UnknownGroup { .. }) => Err(match place::unknown_group(broker, error) {
                Failure::Refused(reason) => Failure::refused(format_args!("{reason} (--create begins a new one)")),
                other => other,
            }),
            described => Ok(described.map(drop)?),
        }
    }

    fn reset(&self, broker: &Broker, places: &[(TopicPartition, u64)]) -> Result<ResetOffsets, Failure> {
        let mut reset = broker.admin().reset_offsets(&self.name);
        if self.scope.from_file.is_none() {
            reset = reset.to(self.to.place()?);
        }
        for selection in &self.scope.topic {
            for partition in selection.partitions(broker)? {
                reset = reset.partition(partition.topic_partition().clone());
            }
        }
        for (partition, offset) in places {
            // Here, so that what is not there is told with the name that was probably meant.
            let selection = Selection::of(partition);
            selection.partitions(broker)?;
            reset = reset.partition_to(partition.clone(), ResetTo::Offset(*offset));
        }
        Ok(reset)
    }

    fn show(&self, output: &Output, changes: &[OffsetChange], places: &[(TopicPartition, u64)]) -> Result<(), Failure> {
        for change in changes {
            let own = places.iter().find(|(partition, _)| partition == change.topic_partition());
            let wanted = own.map(|(_, offset)| *offset).or(self.to.to_offset);
            if let Some(wanted) = wanted.filter(|wanted| *wanted != change.after()) {
                let (partition, nearest) = (change.topic_partition(), change.after());
                say(format_args!("{partition} has no offset {wanted}, and the nearest is {nearest}"));
            }
        }
        if self.export {
            return to_stdout(|out| {
                changes.iter().try_for_each(|change| {
                    writeln!(out, "{}", offsets_file::line(change.topic_partition(), change.after()))
                })
            });
        }
        output.rows(&changes.iter().map(Change::from).collect::<Vec<_>>())?;
        if !self.execute && output.format() == Format::Table {
            say("nothing was changed; --execute does it");
        }
        Ok(())
    }
}

impl To {
    fn place(&self) -> Result<ResetTo, Failure> {
        let ago = |duration: Duration| Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::from_millis(0));
        let given = [
            self.to_earliest.then_some(ResetTo::Earliest),
            self.to_latest.then_some(ResetTo::Latest),
            self.to_offset.map(ResetTo::Offset),
            self.to_datetime.map(ResetTo::Time),
            self.by_duration.map(|duration| ResetTo::Time(ago(duration))),
            self.shift_by.map(ResetTo::ShiftBy),
            self.to_current.then_some(ResetTo::Current),
        ];
        let missing = "say where to: --to-earliest, --to-latest, --to-offset, --to-datetime, --by-duration, --shift-by or --to-current";
        given.into_iter().flatten().next().ok_or_else(|| Failure::refused(missing))
    }
}

fn read(path: &Path) -> Result<Vec<(TopicPartition, u64)>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    offsets_file::parse(&text)
}

/// What the library says of a partition without a committed offset, for who has no calls to make.
fn without_calls(broker: &Broker, error: Error) -> Failure {
    match error {
        Error::NoCommittedOffset { partition, .. } => Failure::refused(format_args!(
            "{partition} cannot be shifted, since the group has committed nothing there: nothing was changed"
        )),
        error => place::unknown_topic(broker, error),
    }
}
