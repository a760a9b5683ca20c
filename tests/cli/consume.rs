//! `ottla consume`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ottla::{Broker, Durability, OwnedRecord, ProducerRecord, Timestamp, TopicConfig, TopicPartition};
use serde_json::Value;
use tempfile::TempDir;

use crate::run::{free, live, looks_at, on, ottla, send, wait_until_free};
use crate::terminal::on_a_terminal;

/// `t` with the values 0 to `count - 1` in partition 0, a second apart from 1970 on.
fn counted(count: usize) -> TempDir {
    free(|broker| {
        broker.create_topic("t", TopicConfig::new()).unwrap();
        let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
        send(broker, "t", 0, 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    })
}

/// The numbers from one to the other, a line each.
fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.fold(String::new(), |lines, number| lines + &number.to_string() + "\n")
}

fn committed(dir: &TempDir, group: &str) -> Option<u64> {
    let broker = Broker::open_read_only(dir.path()).unwrap();
    broker.committed(group, &TopicPartition::new("t", 0)).unwrap().map(|committed| committed.offset())
}

/// The program, reading until somebody ends it.
fn start(dir: &Path, line: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(line.split_whitespace()).env("OTTLA_DIR", dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Its exit status, with what is on stderr.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[track_caller]
fn next_line(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line
}

/// Copies a directory as a power cut at this moment would leave it, or nearly so.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-r").arg(dir.join(".")).arg(copy.path()).status().unwrap();
    assert!(status.success());
    copy
}

#[test]
fn k11_01_until_the_end_comes_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Broker::open(dir.path()).unwrap();
    let config = TopicConfig::new().partitions(4).durability(Durability::Os);
    let topic = writer.create_topic("t", config).unwrap();
    let mut producer = writer.transactional_producer("payments").unwrap();
    let record = |partition: u32, value: &'static str| ProducerRecord::to("t").partition(partition).value(value);
    let transaction = producer.begin().unwrap();
    for value in ["p1-0", "p1-1"] {
        transaction.send(record(1, value)).unwrap();
    }
    transaction.commit().unwrap();
    for _ in 0..50 {
        topic.partition(2).unwrap().append(&record(2, "gone")).unwrap();
    }
    writer.admin().delete_records(&[(TopicPartition::new("t", 2), 50)]).unwrap();
    for value in ["p3-0", "p3-1", "p3-2", "p3-3"] {
        topic.partition(3).unwrap().append(&record(3, value)).unwrap();
    }
    let transaction = producer.begin().unwrap();
    for value in ["p3-4", "p3-5"] {
        transaction.send(record(3, value)).unwrap();
    }
    let of = |said: &crate::run::Said, partition: &str| {
        said.done().lines().filter(|line| line.starts_with(partition)).map(str::to_owned).collect::<Vec<_>>()
    };
    let committed_ones = ["p3-0", "p3-1", "p3-2", "p3-3"];
    let all = ["p3-0", "p3-1", "p3-2", "p3-3", "p3-4", "p3-5"];
    // As it is while nobody writes, without the transaction: it is open.
    let crashed = copy_of(dir.path());
    let said = on(&dir, "consume t -e");
    assert_eq!(
        (of(&said, "p1"), of(&said, "p3"), said.text().lines().count()),
        (vec!["p1-0".into(), "p1-1".into()], committed_ones.map(String::from).to_vec(), 6)
    );
    // While somebody goes on appending.
    let is_done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                topic.partition(1).unwrap().append(&record(1, "p1-more")).unwrap();
            }
        });
        for (line, expected) in
            [("consume t -e", &committed_ones[..]), ("consume t -e --isolation-level read_uncommitted", &all)]
        {
            let said = on(&dir, line);
            assert_eq!(of(&said, "p1")[..2], ["p1-0", "p1-1"], "{line}");
            assert_eq!(of(&said, "p3"), expected, "{line}");
            assert!(of(&said, "gone").is_empty());
        }
        is_done.store(true, Ordering::Relaxed);
    });
    drop(transaction);
    // Opened for writing, its transaction is aborted.
    let said = on(&crashed, "consume t -e --group g");
    assert_eq!(
        (of(&said, "p1"), of(&said, "p3"), said.text().lines().count()),
        (vec!["p1-0".into(), "p1-1".into()], committed_ones.map(String::from).to_vec(), 6)
    );
    assert_eq!(on(&crashed, "consume t --group g").done(), "");
}

#[test]
fn k11_02_a_group_commits_no_more_than_was_printed() {
    let dir = counted(100);
    assert_eq!(on(&dir, "consume t --group g -c 3").done(), "0\n1\n2\n");
    assert_eq!(committed(&dir, "g"), Some(3));
    assert_eq!(on(&dir, "consume t --group g -c 3").done(), "3\n4\n5\n");
    assert_eq!(committed(&dir, "g"), Some(6));
    assert_eq!(on(&dir, "consume t --group g").done(), lines(6..100));
    assert_eq!(on(&dir, "consume t --group g").done(), "");
    // What lies in the pipe when its reader goes was printed for nobody.
    let (child, mut stdout) = start(dir.path(), "consume t --group h");
    let mut line = [0; 2];
    stdout.get_mut().read_exact(&mut line).unwrap();
    drop(stdout);
    assert_eq!((line, ended(child)), (*b"0\n", (Some(0), String::new())));
    assert_eq!(committed(&dir, "h"), None);
    assert_eq!(on(&dir, "consume t --group h").done(), lines(0..100));
    let piped = ["-c", "\"$0\" consume t --group head | head -1", env!("CARGO_BIN_EXE_ottla")];
    let output = Command::new("sh").args(piped).env("OTTLA_DIR", dir.path()).output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"0\n"[..], &b""[..]));
}

#[test]
#[cfg(target_os = "linux")]
fn k11_02_what_could_not_be_printed_is_not_committed() {
    let dir = counted(100);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = ottla(["consume", "t", "--group", "i"]).dir(&dir).run_into(full);
    assert!(said.failed().starts_with("cannot write to stdout: "), "{said:?}");
    assert_eq!(committed(&dir, "i"), None);
}

#[test]
fn k11_02_a_pipe_that_closes_ends_it_quietly() {
    let dir = free(|broker| {
        let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
        let value = vec![b'x'; 1000];
        topic.partition(0).unwrap().append_batch(&vec![ProducerRecord::new().value(&value); 900]).unwrap();
    });
    for line in ["consume t", "consume t -J", "consume t --follow", "consume t --group g", "consume t --output json"] {
        let (child, stdout) = start(dir.path(), line);
        drop(stdout);
        assert_eq!(ended(child), (Some(0), String::new()), "{line}");
    }
    assert_eq!(committed(&dir, "g"), None);
}

/// Records with all that is hard to write.
fn hostile(broker: &Broker) {
    let partition = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
    let at = |ms: i64| ProducerRecord::new().timestamp(Timestamp::from_millis(ms));
    for record in [
        at(0).key(b"\xff\xfe").value("\0\x1b[2J\n\"quotes\"\\\t\u{9b}ä\u{7f}"),
        at(1).key("").value(""),
        at(2).value("key null").header("twice", "1").header("twice", b"\xff").null_header("twice").header("", ""),
        at(253_402_300_800_000).key("value null"),
        at(i64::MAX).key("\u{202e}").value(b"\x00\x9b\xff"),
    ] {
        partition.append(&record).unwrap();
    }
}

fn copy(record: &OwnedRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers: Vec<_> = record.headers().map(|header| (header.key().to_owned(), bytes(header.value()))).collect();
    (record.offset(), record.timestamp(), bytes(record.key()), bytes(record.value()), headers)
}

#[test]
fn k11_03_bytes_that_are_not_text_go_out_and_in_as_they_are() {
    let dir = free(hostile);
    let said = looks_at(dir.path(), "consume t -J");
    let objects: Vec<Value> = said.json_lines();
    assert_eq!(objects.len(), 5);
    assert_eq!(objects[0]["key"]["base64"], "//4=");
    assert_eq!((&objects[1]["value"], &objects[3]["value"]), (&"".into(), &Value::Null));
    ottla(["produce", "u", "--json", "--create"]).dir(&dir).stdin(said.stdout.clone()).run().done();
    let broker = Broker::open_read_only(dir.path()).unwrap();
    let of = |topic: &str| {
        let partition = broker.existing_topic(topic).unwrap().partition(0).unwrap();
        partition.iter_from(0).map(|record| copy(&record.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(of("t"), of("u"));
    drop(broker);
    // In a pipe the values are what they are.
    let values: &[u8] = b"\0\x1b[2J\n\"quotes\"\\\t\xc2\x9b\xc3\xa4\x7f\n\nkey null\n\n\x00\x9b\xff\n";
    assert_eq!(on(&dir, "consume t").stdout, values);
}

#[test]
fn k11_03_a_terminal_gets_no_control_character() {
    let dir = free(hostile);
    for line in ["consume t", "consume t -J", "consume t --output json", "consume t -f %k|%s|%h\\n"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        let (status, got) = on_a_terminal(command.args(line.split_whitespace()).env("OTTLA_DIR", dir.path()));
        assert_eq!(status, 0, "{line}");
        let text = String::from_utf8(got).unwrap().replace("\r\n", "\n");
        let is_harmless = |character: char| character == '\n' || !character.is_control() && character != '\u{202e}';
        assert!(text.chars().all(is_harmless), "{line}: {text:?}");
        if line == "consume t" {
            let shown = "\\x00\\x1b[2J\\n\"quotes\"\\\\\\t\\u{9b}ä\\x7f\n\nkey null\n\n\\x00\\x9b\\xff\n";
            assert_eq!(text, shown);
        }
    }
}

#[test]
fn it_begins_and_ends_where_it_is_told() {
    let dir = counted(10);
    for (bounds, expected) in [
        ("", 0..10),
        ("-o beginning", 0..10),
        ("-o end", 10..10),
        ("-o 7", 7..10),
        ("-o 10", 10..10),
        ("-o -3", 7..10),
        ("-o -300", 0..10),
        ("-o s@1970-01-01T00:00:04Z", 4..10),
        ("-o s@3500", 4..10),
        ("-o s@-1h", 10..10),
        ("-o e@1970-01-01T00:00:04Z", 0..4),
        ("-o e@3001", 0..4),
        ("-o e@-1h", 0..10),
        ("-o s@2000 -o e@1970-01-01T01:00:05+01:00", 2..5),
        ("-o 8 -o e@2000", 8..8),
        ("-o -5 -c 2", 5..7),
        ("-c 3 -e", 0..3),
        ("-p 0", 0..10),
    ] {
        let said = looks_at(dir.path(), &format!("consume t {bounds}"));
        assert_eq!(said.done(), lines(expected), "{bounds}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = counted(10);
    for (line, reason) in [
        ("consume tt", "there is no topic \"tt\"; did you mean \"t\"?"),
        ("consume t -o 11", "offset 11 is past the end of t-0"),
        ("consume t -o stored", "-o stored is where a group is: say which one with --group"),
        ("consume t -o 1 -o 2", "-o says twice where to begin, or where to end"),
        ("consume t -o e@-1h --follow", "-o e@TIME says where to end, and --follow not to end: give one of them"),
    ] {
        assert_eq!(on(&dir, line).refused(), reason);
    }
    assert!(on(&dir, "consume t -p 1").refused().starts_with("there is no partition t-1: t has 1"));
    for line in
        ["-o yesterday", "-o s@1970-01-01", "-f %q", "-f \\q", "-c 0", "-c x", "--isolation-level none", "-e --follow"]
    {
        let said = on(&dir, &format!("consume t {line}"));
        said.refused();
    }
    on(&dir, "consume t --group g --follow").refused();
    on(&dir, "consume").refused();
}

#[test]
fn partitions_and_topics_are_read_together_and_each_once() {
    let dir = free(|broker| {
        for topic in ["a", "b"] {
            broker.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
            for partition in 0..2 {
                send(broker, topic, partition, 0, &["x", "y"]);
            }
        }
    });
    let sorted = |line: &str| {
        let said = looks_at(dir.path(), line);
        let mut lines: Vec<String> = said.done().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let format = "-f %t-%p@%o:%s/%S\\n";
    assert_eq!(sorted(&format!("consume a -p 1 {format}")), ["a-1@0:x/1", "a-1@1:y/1"]);
    assert_eq!(sorted(&format!("consume a b a {format}")).len(), 8);
    assert_eq!(sorted(&format!("consume b a -p 0 -o -1 {format}")), ["a-0@1:y/1", "b-0@1:y/1"]);
    // Where only some have the offset, the others begin at their ends.
    assert_eq!(sorted(&format!("consume a b -c 3 {format}")).len(), 3);
    ottla(["produce", "a", "-p", "0"]).dir(&dir).stdin("z").run().done();
    assert_eq!(sorted(&format!("consume a -o 3 {format}")), [""; 0]);
    assert_eq!(sorted(&format!("consume a -o 2 {format}")), ["a-0@2:z/1"]);
}

#[test]
fn records_are_found_by_text_in_their_keys_or_values() {
    let dir = free(|broker| drop(broker.create_topic("t", TopicConfig::new()).unwrap()));
    let input = "apple:1\npear:2 apples\nplum:3\n:\n";
    ottla(["produce", "t", "-K", ":"]).dir(&dir).stdin(input).run().done();
    assert_eq!(looks_at(dir.path(), "consume t --grep apple").done(), "1\n2 apples\n");
    assert_eq!(on(&dir, "consume t --grep apple -c 1").done(), "1\n");
    assert_eq!(on(&dir, "consume t --grep a.*e").done(), "");
    // What was passed over was read all the same.
    assert_eq!(on(&dir, "consume t --grep pear --group g").done(), "2 apples\n");
    assert_eq!(committed(&dir, "g"), Some(4));
}

#[test]
fn json_is_lines_or_one_document() {
    let dir = counted(2);
    for line in ["consume t -J", "consume t --output jsonl"] {
        let objects = looks_at(dir.path(), line).json_lines();
        let expected = r#"{"topic":"t","partition":0,"offset":1,"timestamp":"1970-01-01T00:00:01.000Z","key":null,"value":"1","headers":[]}"#;
        assert_eq!(objects[1], serde_json::from_str::<Value>(expected).unwrap());
    }
    let array: Value = serde_json::from_str(on(&dir, "consume t --output json").done()).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 2);
    let none: Value = serde_json::from_str(on(&dir, "consume t -o end --output json").done()).unwrap();
    assert_eq!(none.as_array().unwrap().len(), 0);
}

#[test]
fn beside_the_process_that_writes_it_reads_and_a_group_does_not() {
    let live = live(|broker| {
        broker.create_topic("t", TopicConfig::new()).unwrap();
        send(broker, "t", 0, 0, &["a", "b"]);
    });
    assert_eq!(on(live.path(), "consume t").done(), "a\nb\n");
    let busy = on(live.path(), "consume busy");
    assert!(busy.done().lines().count() >= 10 && busy.text().lines().all(|line| line == "a record"));
    // Its transaction is open.
    assert_eq!(on(live.path(), "consume busy-ledger").done(), "");
    live.refuses("consume t --group g");
}

#[test]
fn following_goes_on_until_ctrl_c() {
    let live = live(|_| {});
    for name in ["-INT", "-TERM"] {
        let (child, mut stdout) = start(live.path(), "consume busy --follow -f %p@%o\\n");
        // More than was there when it began.
        let there = on(live.path(), "consume busy").done().lines().count();
        for _ in 0..there + 5 {
            assert!(next_line(&mut stdout).contains('@'));
        }
        signal(&child, name);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(rest.is_empty() || rest.ends_with('\n'));
        assert_eq!(ended(child), (Some(0), String::new()), "{name}");
    }
}

#[test]
fn following_ends_when_enough_was_printed_or_nobody_reads_any_more() {
    let live = live(|broker| drop(broker.create_topic("t", TopicConfig::new()).unwrap()));
    assert_eq!(on(live.path(), "consume busy --follow -o end -c 3").done(), "a record\n".repeat(3));
    // To this topic nothing is sent, so that no write could tell.
    let (child, stdout) = start(live.path(), "consume t --follow");
    drop(stdout);
    assert_eq!(ended(child), (Some(0), String::new()));
}

/// The writer rolls, deletes, adds a partition, ends, and comes again.
#[test]
fn following_goes_on_whatever_the_writer_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::new().segment_bytes(1 << 20).durability(Durability::Os);
    let writer = Broker::open(dir.path()).unwrap();
    let topic = writer.create_topic("t", config).unwrap();
    let append = |broker: &Broker, partition: u32, value: &str| {
        let partition = broker.existing_topic("t").unwrap().partition(partition).unwrap();
        partition.append(&ProducerRecord::new().key(vec![b'k'; 300_000]).value(value)).unwrap();
    };
    let (child, mut stdout) = start(dir.path(), "consume t --follow");
    for round in 0..10 {
        append(&writer, 0, &round.to_string());
        assert_eq!(next_line(&mut stdout), format!("{round}\n"));
    }
    let end = topic.partition(0).unwrap().log_end_offset();
    writer.admin().delete_records(&[(TopicPartition::new("t", 0), end)]).unwrap();
    append(&writer, 0, "after deletion");
    assert_eq!(next_line(&mut stdout), "after deletion\n");
    writer.admin().add_partitions("t", 2).unwrap();
    append(&writer, 1, "in a new partition");
    assert_eq!(next_line(&mut stdout), "in a new partition\n");
    drop(topic);
    writer.close().unwrap();
    wait_until_free(dir.path());
    let writer = Broker::open(dir.path()).unwrap();
    append(&writer, 0, "by the next writer");
    assert_eq!(next_line(&mut stdout), "by the next writer\n");
    signal(&child, "-INT");
    assert_eq!(ended(child), (Some(0), String::new()));
}

#[test]
fn damage_is_told_by_its_place_and_passed_over_only_if_that_is_asked_for() {
    let dir = free(|broker| {
        let partition = broker.create_topic("t", TopicConfig::new()).unwrap().partition(0).unwrap();
        for value in ["first", "second", "third"] {
            // So large that each is a batch of its own.
            partition.append(&ProducerRecord::new().key(vec![b'k'; 200_000]).value(value)).unwrap();
        }
    });
    let log = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[300_000] ^= 1;
    fs::write(&log, bytes).unwrap();
    let said = looks_at(dir.path(), "consume t");
    assert_eq!(said.text(), "first\n");
    let reason = said.failed();
    assert!(
        reason.contains("t-0/00000000000000000000.log: corrupt at byte ") && reason.contains("offsets 1..2"),
        "{reason}"
    );
    assert!(reason.ends_with("--skip-corrupt goes on after it"), "{reason}");
    let said = looks_at(dir.path(), "consume t --skip-corrupt");
    assert_eq!((said.status, said.text()), (1, "first\nthird\n"));
    let told: Vec<&str> = said.stderr.lines().collect();
    assert!(told.len() == 2 && told[0].contains("offsets 1..2"), "{told:?}");
    assert_eq!(told[1], "ottla: offsets skipped since they cannot be read: 1");
    // A group commits what was printed before it, and stays there.
    for _ in 0..2 {
        on(&dir, "consume t --group g").failed();
        assert_eq!(committed(&dir, "g"), Some(1));
    }
    assert_eq!(on(&dir, "consume t --group g --skip-corrupt").text(), "third\n");
    assert_eq!(committed(&dir, "g"), Some(3));
}

#[test]
fn a_file_gets_what_a_pipe_gets() {
    let dir = counted(1000);
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = ottla(["consume", "t", "--group", "g"]).dir(&dir).run_into(File::create(file.path()).unwrap());
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), lines(0..1000));
    assert_eq!(committed(&dir, "g"), Some(1000));
}

#[test]
fn a_group_waits_until_what_it_printed_was_taken() {
    let dir = counted(10);
    let (child, mut stdout) = start(dir.path(), "consume t --group g");
    for number in 0..9 {
        let mut line = [0; 2];
        stdout.get_mut().read_exact(&mut line).unwrap();
        assert_eq!(line, *format!("{number}\n").as_bytes());
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!(committed(&dir, "g"), None, "the last one lies in the pipe");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), ended(child)), ("9\n", (Some(0), String::new())));
    assert_eq!(committed(&dir, "g"), Some(10));
}

#[test]
fn a_partition_that_cannot_be_looked_at_is_not_taken_for_an_empty_one() {
    let dir = free(|broker| {
        broker.create_topic("t", TopicConfig::new().partitions(2)).unwrap();
        (0..2).for_each(|partition| send(broker, "t", partition, 0, &["a", "b"]));
    });
    let partition = dir.path().join("t-1");
    fs::remove_dir_all(&partition).unwrap();
    fs::write(&partition, "a file where the partition was").unwrap();
    for line in ["consume t", "consume t --follow", "consume t -o end", "consume t --skip-corrupt", "consume t -G g"] {
        let said = on(&dir, line);
        assert!(said.status != 0 && said.stdout.is_empty() && said.stderr.contains("t-1"), "{line}: {said:?}");
    }
    assert_eq!(on(&dir, "consume t -p 0").done(), "a\nb\n");
}
