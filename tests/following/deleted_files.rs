//! Files that were deleted while a reader had them open.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use ottla::{Broker, Consumer, ConsumerConfig, ConsumerRecords, Durability, Error, TopicConfig, TopicPartition};

use crate::dir_from_parent;

const LONG: Duration = Duration::from_secs(300);
const SEGMENTS: u64 = 10;
/// Larger than a slot and than half a segment: each record has a segment of its own.
const RECORD_BYTES: usize = 70_000;

/// A process that has the directory open for writing, and does what it is told.
struct Writer {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Writer {
    fn start(dir: &Path) -> Writer {
        let mut process = Command::new(std::env::current_exe().unwrap());
        let test = "deleted_files::child_writes";
        process.args(["--exact", test, "--ignored", "--nocapture"]).env("OTTLA_TEST_DIR", dir);
        let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Writer { process, commands, answers: BufReader::new(answers) }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        let answer = self.answers.by_ref().lines().map(Result::unwrap).find(|line| line.ends_with("done"));
        assert!(answer.is_some(), "the writer did not {command}");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "run by the tests of this module, in a process of its own"]
fn child_writes() {
    let Some(dir) = dir_from_parent() else { return };
    let writer = Broker::builder(&dir).durability(Durability::Os).background(false).open().unwrap();
    let topic = writer.create_topic("orders", TopicConfig::new().segment_bytes(100_000)).unwrap();
    for command in std::io::stdin().lines().map_while(Result::ok) {
        match command.as_str() {
            "fill" => {
                for n in 0..SEGMENTS {
                    topic.produce("k", format!("{n}{}", ".".repeat(RECORD_BYTES))).unwrap();
                }
                // Notes what is sealed: a reader has each segment open as it was noted.
                writer.run_maintenance().unwrap();
            }
            "retain" => {
                let bytes = RECORD_BYTES as u64 + 1000;
                writer.admin().alter_topic("orders", |config| config.retention_bytes(bytes)).unwrap();
                writer.run_maintenance().unwrap();
                assert_eq!(topic.partition(0).unwrap().log_start_offset(), 8);
            }
            "delete" => writer.admin().delete_topic("orders").unwrap(),
            other => panic!("{other}"),
        }
        println!("done");
    }
}

/// What a process has open or mapped below `dir` that was deleted.
fn deleted_of(process: &str, dir: &Path) -> Vec<String> {
    let dir = dir.canonicalize().unwrap().to_str().unwrap().to_owned();
    let handles = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let handles = handles.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()));
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let maps = maps.lines().filter_map(|line| line.get(line.find('/')?..).map(str::to_owned));
    // Not every system says " (deleted)" of a map.
    let is_there = |path: &str| Path::new(path).exists();
    handles.chain(maps).filter(|path| path.contains(&dir) && !is_there(path)).collect()
}

fn deleted_here(dir: &Path) -> Vec<String> {
    deleted_of("self", dir)
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A consumer that stands at the end, and the records that it got on its way.
fn follow(dir: &Path) -> (Consumer, Vec<ConsumerRecords>) {
    let reader = Broker::open_read_only(dir).unwrap();
    let mut consumer = reader.consumer_with(ConsumerConfig::new("billing").max_poll_records(1)).unwrap();
    consumer.assign(&[TopicPartition::new("orders", 0)]).unwrap();
    let records = (0..SEGMENTS).map(|_| consumer.poll(LONG).unwrap()).collect();
    (consumer, records)
}

fn log_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir.join("orders-0")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "log")).count()
}

#[test]
fn k11_08_what_was_deleted_is_let_go_of_with_the_next_poll_also_by_who_holds_records_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(dir.path());
    writer.tell("fill");
    let (mut at_the_end, records) = follow(dir.path());
    drop(records);
    let (mut holding, records) = follow(dir.path());
    let held = records.into_iter().nth(5).unwrap();
    let mut paused = follow(dir.path()).0;
    paused.pause(&[TopicPartition::new("orders", 0)]).unwrap();
    writer.tell("retain");
    assert!(log_files(dir.path()) < 4, "{}", log_files(dir.path()));
    assert_eq!(deleted_of(&writer.process.id().to_string(), dir.path()), [""; 0]);
    assert_eq!(deleted_here(dir.path()).len(), 3 * 8, "{:?}", deleted_here(dir.path()));

    for consumer in [&mut at_the_end, &mut paused, &mut holding] {
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    }
    // Read-only nothing is mapped: what is held is a copy, and keeps no file.
    assert_eq!(deleted_here(dir.path()), [""; 0]);
    assert_eq!(held.iter().next().unwrap().value().unwrap()[0], b'5');

    writer.tell("delete");
    for consumer in [&mut at_the_end, &mut paused, &mut holding] {
        let polled = consumer.poll(Duration::ZERO);
        assert!(matches!(polled, Err(Error::Closed { .. })) || polled.is_ok_and(|records| records.is_empty()));
    }
    assert_eq!(deleted_here(dir.path()), [""; 0]);
}

#[test]
fn k11_08_what_was_deleted_is_let_go_of_by_who_is_parked() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(dir.path());
    writer.tell("fill");
    let (mut consumer, records) = follow(dir.path());
    drop(records);
    let handle = consumer.handle();
    let waiting = thread::spawn(move || consumer.poll(LONG).map(|records| records.len()));
    writer.tell("retain");
    assert!(log_files(dir.path()) < 4, "{}", log_files(dir.path()));
    // Within a second, as the guide says; how long it takes here depends on what else runs.
    until(|| deleted_here(dir.path()).is_empty());
    assert!(!waiting.is_finished(), "nothing was sent");
    handle.wakeup();
    assert!(matches!(waiting.join().unwrap(), Err(Error::Wakeup)));
}
