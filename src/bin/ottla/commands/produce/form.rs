//! What a line says of a record.

use clap::Args;
use ottla::{Header, ProducerRecord, Topic};

use super::chunks::lines;
use super::sending::Sending;
use crate::escapes::unescape;
use crate::failure::{Failure, reason};
use crate::output::text;
use crate::record_json::JsonRecord;

/// How a line is read.
#[derive(Debug, Args)]
pub struct Options {
    /// One key for all records
    #[arg(short = 'k', long, value_name = "KEY")]
    key: Option<String>,
    /// A line is a key, then SEP, then the value; SEP may have escapes such as \t
    #[arg(short = 'K', long, value_name = "SEP", conflicts_with = "key")]
    key_separator: Option<String>,
    /// Add a header to each record; without = it has no value. May be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// An empty value is null, and with -K an empty key, too
    #[arg(short = 'Z', long)]
    empty_is_null: bool,
    /// A line is a JSON object, as `consume -J` writes it. It names its partition and its time or leaves them out; with -p all go to
    /// that one. Its topic and its offset do not count
    #[arg(long, conflicts_with_all = ["key", "key_separator", "headers", "empty_is_null"])]
    json: bool,
}

/// How records are made of lines.
#[derive(Debug)]
pub struct Form {
    fields: Fields,
    partition: Option<u32>,
}

#[derive(Debug)]
enum Fields {
    /// A value, or a key and a value.
    Text(Text),
    Json,
}

#[derive(Debug)]
struct Text {
    key: Option<Vec<u8>>,
    separator: Option<Vec<u8>>,
    headers: Vec<(String, Option<String>)>,
    empty_is_null: bool,
}

/// JSON may say a byte in six, and what else a line has is less than this.
const BYTES_OF_A_BYTE_MAX: usize = 6;
const OTHER_BYTES_MAX: usize = 64 << 10;

impl Form {
    /// The form that is asked for; all records go to `partition`, if one is named.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn new(options: &Options, partition: Option<u32>) -> Result<Form, Failure> {
        if options.json {
            return Ok(Form { fields: Fields::Json, partition });
        }
        let separator = options.key_separator.as_deref().map(unescape).transpose();
        let separator = separator.map_err(Failure::refused)?;
        if separator.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::refused("-K needs a separator that is not empty"));
        }
        let header = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        let text = Text {
            key: options.key.clone().map(String::into_bytes),
            separator,
            headers: options.headers.iter().map(header).collect(),
            empty_is_null: options.empty_is_null,
        };
        Ok(Form { fields: Fields::Text(text), partition })
    }

    /// No line that has more bytes makes a record that `topic` takes.
    pub fn line_bytes_max(topic: &Topic) -> usize {
        let record_bytes_max = topic.config().get_max_message_bytes() as usize;
        record_bytes_max.saturating_mul(BYTES_OF_A_BYTE_MAX).saturating_add(OTHER_BYTES_MAX)
    }

    /// Sends the records of these lines, up to the first one that is wrong.
    ///
    /// # Errors
    /// What is wrong with the line behind those that were sent.
    pub fn send(&self, chunk: &[u8], sending: &mut Sending<'_>) -> Result<(), String> {
        match &self.fields {
            Fields::Text(text) => {
                let headers = text.headers();
                let records = lines(chunk).map(|line| text.record(line, &headers));
                let (records, wrong) = up_to_the_first_error(records);
                self.send_then(records, sending, wrong)
            }
            Fields::Json => {
                let (read, wrong) = up_to_the_first_error(lines(chunk).map(JsonRecord::read));
                self.send_then(read.iter().map(JsonRecord::record).collect(), sending, wrong)
            }
        }
    }

    fn send_then(
        &self,
        mut records: Vec<ProducerRecord<'_>>,
        sending: &mut Sending<'_>,
        wrong: Option<String>,
    ) -> Result<(), String> {
        if let Some(partition) = self.partition {
            records = records.into_iter().map(|record| record.partition(partition)).collect();
        }
        sending.send(&records).map_err(|error| reason(&error))?;
        wrong.map_or(Ok(()), Err)
    }
}

impl Text {
    fn headers(&self) -> Vec<Header<'_>> {
        let headers = self.headers.iter().map(|(name, value)| match value {
            None => Header::null(name),
            Some(value) => Header::new(name, value),
        });
        headers.collect()
    }

    fn record<'l>(&'l self, line: &'l [u8], headers: &'l [Header<'l>]) -> Result<ProducerRecord<'l>, String> {
        let (key, value) = match &self.separator {
            None => (self.key.as_deref(), line),
            Some(separator) => {
                let (key, value) = split_once(line, separator).ok_or_else(|| {
                    let separator = text::escaped(separator);
                    format!("it has no separator \"{separator}\"")
                })?;
                (Some(key).filter(|key| !(self.empty_is_null && key.is_empty())), value)
            }
        };
        let value = Some(value).filter(|value| !(self.empty_is_null && value.is_empty()));
        Ok(ProducerRecord::new().key(key).value(value).headers(headers))
    }
}

/// What stands before and behind the first `separator`, which is not empty.
fn split_once<'l>(line: &'l [u8], separator: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((line.get(..at)?, line.get(at + separator.len()..)?))
}

/// What is right, and what is wrong with what follows it.
fn up_to_the_first_error<T>(results: impl Iterator<Item = Result<T, String>>) -> (Vec<T>, Option<String>) {
    let mut right = Vec::new();
    for result in results {
        match result {
            Ok(value) => right.push(value),
            Err(error) => return (right, Some(error)),
        }
    }
    (right, None)
}
