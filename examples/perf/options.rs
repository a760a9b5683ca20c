//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use ottla::TopicConfig;

use crate::workload::Workload;

pub(crate) const USAGE: &str = "\
usage: perf [--only TEXT] [--json FILE] [--svg FILE]
       perf [--num-records N] [--record-size BYTES] [--throughput RECORDS_PER_SECOND] [--partitions N] [--threads N]
            [--durability always|os|interval:MS]

Without flags, or with those of the first line: a table of everything, or of the lines whose name contains TEXT.
OTTLA_PERF_SECONDS says about how long all of it takes (60).
With those of the second: one workload, sent and then read back. 1000000 records of 100 bytes as fast as it goes
(--throughput -1), by one thread to one partition, with `always`, unless said otherwise.";

pub(crate) enum Command {
    Table(TableOptions),
    Workload(Workload),
    Help,
}

#[derive(Debug)]
pub(crate) struct TableOptions {
    pub(crate) seconds: f64,
    /// Part of the names of the lines that are wanted.
    pub(crate) only: String,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

impl Command {
    /// Reads the command line, and the value of `OTTLA_PERF_SECONDS`. The error is for the user.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
        seconds: Option<String>,
    ) -> Result<Command, String> {
        let seconds = seconds.map_or(Ok(60.0), |seconds| number("OTTLA_PERF_SECONDS", &seconds))?;
        if !(0.1..=3600.0).contains(&seconds) {
            return Err(format!("OTTLA_PERF_SECONDS={seconds}: from 0.1 to 3600"));
        }
        let mut table = TableOptions { seconds, only: String::new(), json: None, svg: None };
        let mut workload = Workload::default();
        let (mut is_table, mut is_workload) = (false, false);
        while let Some(flag) = arguments.next() {
            if flag == "--help" || flag == "-h" {
                return Ok(Command::Help);
            }
            let is_known = is_flag_of_table(&flag) || is_flag_of_workload(&flag);
            if !is_known {
                return Err(format!("unknown flag: {flag}"));
            }
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            is_table |= is_flag_of_table(&flag);
            is_workload |= is_flag_of_workload(&flag);
            match flag.as_str() {
                "--only" => table.only = value,
                "--json" => table.json = Some(value.into()),
                "--svg" => table.svg = Some(value.into()),
                "--num-records" => workload.records = at_least_one(&flag, &value)?,
                "--record-size" => workload.record_bytes = number(&flag, &value)?,
                "--throughput" if value == "-1" => workload.records_per_second = None,
                "--throughput" => workload.records_per_second = Some(at_least_one(&flag, &value)?),
                "--partitions" => workload.partitions = at_least_one(&flag, &value)?,
                "--threads" => workload.threads = at_least_one(&flag, &value)?,
                _ => workload.topic = durability(&value)?,
            }
        }
        match (is_table, is_workload) {
            (true, true) => Err("the flags of a workload do not go with those of the table".into()),
            (_, false) => Ok(Command::Table(table)),
            (false, true) => Ok(Command::Workload(workload)),
        }
    }
}

fn is_flag_of_table(flag: &str) -> bool {
    ["--only", "--json", "--svg"].contains(&flag)
}

fn is_flag_of_workload(flag: &str) -> bool {
    ["--num-records", "--record-size", "--throughput", "--partitions", "--threads", "--durability"].contains(&flag)
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not such a number"))
}

fn at_least_one<T: FromStr + PartialOrd + From<u8>>(name: &str, value: &str) -> Result<T, String> {
    let number = number(name, value)?;
    if number < T::from(1) { Err(format!("{name}: at least 1")) } else { Ok(number) }
}

/// As text it is a setting of the topic.
fn durability(value: &str) -> Result<TopicConfig, String> {
    TopicConfig::new().set("ottla.durability", value).map_err(|error| error.to_string())
}
