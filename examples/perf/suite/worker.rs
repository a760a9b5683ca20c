//! A second process, for what one process cannot measure in itself: its own death, its memory and its first reads from the
//! beginning, how it works with few open files, and what another one hears of it.
//!
//! It is this program again, with `OTTLA_PERF_WORKER` set to a data directory. It takes one command a line, and answers each
//! with one number.

use std::env;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ottla::{Broker, ConsumerConfig, Durability, TopicConfig, TopicPartition};

use super::following::send_stamped;
use super::place::{SPACE, TOPIC, record, sum_of};

const DIR: &str = "OTTLA_PERF_WORKER";
/// Files that the process may have open.
const OPEN_FILES: u32 = 1024;

/// Serves, if this process was started as a worker; else returns at once.
pub(crate) fn serve_if_asked() {
    if let Some(dir) = env::var_os(DIR) {
        serve(Path::new(&dir));
        std::process::exit(0);
    }
}

fn serve(dir: &Path) {
    let (mut broker, mut gap) = (None, Duration::ZERO);
    for line in io::stdin().lines().map_while(Result::ok) {
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number = number.parse().expect("the other side is this file");
        let begin = Instant::now();
        match command {
            "open" => broker = Some(open(dir)),
            "close" => broker.take().map_or(Ok(()), Broker::close).expect("a disk that syncs"),
            "partitions" => create(broker.as_ref(), number),
            "send" => send(broker.as_ref(), number),
            "scan" => scan(broker.as_ref(), number),
            "gap" => gap = Duration::from_nanos(number),
            "stamped" => send_stamped(broker.as_ref().expect("an open broker"), number, gap),
            _ => {}
        }
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        println!(
            "{}",
            match command {
                // That of mapped files included.
                "resident" => memory("VmRSS:"),
                "anonymous" => memory("RssAnon:"),
                _ => took,
            }
        );
    }
}

fn open(dir: &Path) -> Broker {
    Broker::builder(dir).durability(Durability::Os).open().expect("a directory that was closed")
}

fn create(broker: Option<&Broker>, partitions: u64) {
    let partitions = u32::try_from(partitions).expect("not so many");
    let config = TopicConfig::new().partitions(partitions);
    broker.and_then(|broker| broker.create_topic(TOPIC, config).ok()).expect("an open broker without the topic");
}

/// To all partitions in turn.
fn send(broker: Option<&Broker>, records: u64) {
    let broker = broker.expect("an open broker");
    let partitions = broker.topic(TOPIC).expect("an open broker").partitions().len();
    let partitions = u32::try_from(partitions).expect("not so many");
    let producer = broker.producer();
    let in_turn = (0..partitions).cycle();
    for (_, partition) in (0..records).zip(in_turn) {
        producer.send(record().partition(partition)).expect(SPACE);
    }
}

/// Reads so many records from the first partition, without a group, and looks at every byte of their values.
fn scan(broker: Option<&Broker>, records: u64) {
    let broker = broker.expect("an open broker");
    let config = ConsumerConfig::new("scan").max_poll_records(10_000);
    let mut consumer = broker.consumer_with(config).expect("a group without a member");
    consumer.assign(&[TopicPartition::new(TOPIC, 0)]).expect("there is such a topic");
    let mut count = 0;
    while count < records {
        let polled = consumer.poll(Duration::ZERO).expect("a sound log");
        for value in polled.iter().filter_map(|record| record.value()) {
            sum_of(value);
        }
        count += polled.len() as u64;
    }
}

/// Memory of this process by the name that Linux gives it; 0 where the system does not tell.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// The process, seen from the one that measures. Dropped, it is killed as by `kill -9`.
pub(crate) struct Worker {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(dir: &Path) -> Worker {
        // The shell lowers its limit and becomes the worker.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {OPEN_FILES} && exec \"$0\""));
        shell.arg(env::current_exe().expect("this program")).env(DIR, dir);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = shell.spawn().expect("a shell");
        let commands = process.stdin.take().expect("it was piped");
        let answers = BufReader::new(process.stdout.take().expect("it was piped"));
        Worker { process, commands, answers }
    }

    /// The number that the worker answers: nanoseconds that the command took, or bytes.
    pub(crate) fn ask(&mut self, command: impl Display) -> u64 {
        self.tell(&command);
        self.answer().unwrap_or_else(|| panic!("the worker did not {command}"))
    }

    /// Begins what [`ask`](Worker::ask) waits for; the [answer](Worker::answer) is to be taken before the next command.
    pub(crate) fn tell(&mut self, command: impl Display) {
        writeln!(self.commands, "{command}").expect("the worker lives");
    }

    pub(crate) fn answer(&mut self) -> Option<u64> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the worker lives");
        answer.trim().parse().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
