//! `ottla produce`.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ottla::{Broker, OwnedRecord, TopicConfig};
use tempfile::TempDir;

use crate::run::{free, live, on, ottla};

fn with_topic(config: TopicConfig) -> TempDir {
    free(|broker| drop(broker.create_topic("t", config).unwrap()))
}

/// All records of a partition of `t`.
fn records(dir: &TempDir, partition: u32) -> Vec<OwnedRecord> {
    let broker = Broker::open_read_only(dir.path()).unwrap();
    let partition = broker.existing_topic("t").unwrap().partition(partition).unwrap();
    partition.iter_from(partition.log_start_offset()).map(Result::unwrap).collect()
}

/// Keys and values as text; `-` for null.
fn shown(records: &[OwnedRecord]) -> Vec<String> {
    let text = |bytes: Option<&[u8]>| bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    records.iter().map(|record| format!("{}={}", text(record.key()), text(record.value()))).collect()
}

#[test]
fn k11_04_no_line_gets_lost_on_the_way_in() {
    let cases: [(&str, &str, &[&str], &str); 8] = [
        ("a:1\nb:\nc:3", "-K :", &["a=1", "b=", "c=3"], ""),
        ("a:1\nb:\nc:3", "-K : -Z", &["a=1", "b=-", "c=3"], ""),
        (":1\n:\n", "-K : -Z", &["-=1", "-=-"], ""),
        ("a:1\nb:2\n\nd:4\ne:5\n", "-K :", &["a=1", "b=2"], "line 3: it has no separator \":\"; 2 lines are in"),
        ("a:1\nb:2\noops\nd:4\n", "-K : -Z", &["a=1", "b=2"], "line 3: it has no separator \":\"; 2 lines are in"),
        ("a\nb\n\nd\ne\n", "", &["-=a", "-=b", "-=", "-=d", "-=e"], ""),
        ("a\nb\n\nd\ne\n", "-Z", &["-=a", "-=b", "-=-", "-=d", "-=e"], ""),
        ("", "", &[], ""),
    ];
    for (input, options, expected, failure) in cases {
        let dir = with_topic(TopicConfig::new());
        let said = ottla(["produce", "t"].into_iter().chain(options.split_whitespace())).dir(&dir).stdin(input).run();
        if failure.is_empty() {
            assert_eq!(said.done(), "", "{input:?} {options}");
        } else {
            assert_eq!(said.failed(), failure, "{input:?} {options}");
        }
        assert_eq!(shown(&records(&dir, 0)), expected, "{input:?} {options}");
    }
}

/// A file may not grow any further, as on a disk that is full: the system says the same of both.
#[test]
fn k11_04_what_no_longer_fits_is_told_by_how_many_lines_are_in() {
    let dir = with_topic(TopicConfig::new());
    let line = "x".repeat(2000) + "\n";
    let lines = 20_000;
    let script = "trap '' XFSZ; ulimit -f 20000; exec \"$0\" produce t";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ottla")]).env("OTTLA_DIR", dir.path());
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = line.repeat(lines);
    let writing = thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    let is_in = records(&dir, 0).len();
    assert!(0 < is_in && is_in < lines, "{is_in}");
    assert!(said.starts_with(&format!("ottla: line {}: ", is_in + 1)), "{is_in}: {said}");
    assert!(said.contains("the disk is full") && said.contains(&format!("; {is_in} lines are in")), "{is_in}: {said}");
}

#[test]
fn a_record_that_the_topic_does_not_take_is_told_by_its_line() {
    let dir = with_topic(TopicConfig::new().max_message_bytes(1000));
    let input = "short\n".repeat(1000) + &"x".repeat(2000) + "\nshort\n";
    let said = ottla(["produce", "t"]).dir(&dir).stdin(input).run();
    let failure = said.failed();
    assert!(failure.starts_with("line 1001: ") && failure.ends_with("; 1000 lines are in"), "{failure}");
    assert!(failure.contains("max.message.bytes"), "{failure}");
    assert_eq!(records(&dir, 0).len(), 1000);
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let dir = with_topic(TopicConfig::new().max_message_bytes(1000));
    let said = ottla(["produce", "t"]).dir(&dir).stdin("a\n".to_owned() + &"x".repeat(8 << 20)).run();
    assert_eq!(said.failed(), "line 2: it is longer than any record of the topic may be; 1 line is in");
}

#[test]
fn keys_headers_and_partitions_are_as_they_were_given() {
    let dir = with_topic(TopicConfig::new().partitions(3));
    let arguments = ["produce", "t", "-k", "key", "-H", "a=1", "-H", "a=", "-H", "b", "-p", "2"];
    ottla(arguments).dir(&dir).stdin("one\ntwo\r\n").run().done();
    let sent = records(&dir, 2);
    assert_eq!(shown(&sent), ["key=one", "key=two\r"]);
    let headers: Vec<_> = sent[1].headers().map(|header| (header.key(), header.value())).collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("a", Some(&b""[..])), ("b", None)]);
    // Without a partition the key says which.
    let keys = ["a", "b", "c", "d", "e"].map(|key| format!("{key}\t1\n")).concat();
    ottla(["produce", "t", "-K", "\\t"]).dir(&dir).stdin(keys).run().done();
    for partition in 0..3 {
        for record in records(&dir, partition).iter().filter(|record| record.key() != Some(b"key")) {
            let expected = ottla::DefaultPartitioner::partition_of_key(record.key().unwrap(), 3);
            assert_eq!(record.partition(), expected, "{record:?}");
        }
    }
}

#[test]
fn a_file_is_read_and_a_topic_created_if_that_is_asked_for() {
    let above = tempfile::tempdir().unwrap();
    let (dir, file) = (above.path().join("data"), above.path().join("lines"));
    fs::write(&file, "a\nb").unwrap();
    let produce = |more: &[&str]| {
        let arguments = ["produce", "t", "-l", file.to_str().unwrap()];
        ottla(arguments.into_iter().chain(more.iter().copied())).dir(&dir).run()
    };
    produce(&[]).refused();
    assert!(!dir.exists());
    produce(&["--create"]).done();
    produce(&[]).done();
    assert_eq!(on(&dir, "consume t").done(), "a\nb\na\nb\n");
}

#[test]
fn what_cannot_be_done_here_is_refused() {
    let dir = with_topic(TopicConfig::new());
    assert_eq!(on(&dir, "produce tt").refused(), "there is no topic \"tt\"; did you mean \"t\"?");
    assert!(on(&dir, "produce t -p 1").refused().contains("there is no partition t-1: t has 1"));
    assert!(on(&dir, "produce t -l /no/such/file").refused().starts_with("cannot read /no/such/file: "));
    assert!(on(&dir, "produce t -l /").refused().starts_with("cannot read /: "));
    assert!(on(&dir, "produce t -K \\q").refused().contains("unknown escape"));
    ottla(["produce", "t", "-K", ""]).dir(&dir).run().refused();
    on(&dir, "produce t -K : -k x").refused();
    on(&dir, "produce t --json -Z").refused();
    assert!(records(&dir, 0).is_empty());
}

#[test]
fn a_directory_that_another_process_writes_to_is_refused() {
    let live = live(|broker| drop(broker.topic("t").unwrap()));
    live.refuses("produce t");
    live.refuses("produce t --create");
}

#[test]
fn lines_that_are_no_records_are_told_by_what_is_wrong() {
    let dir = with_topic(TopicConfig::new());
    for (line, reason) in [
        ("{}", "line 2: missing field `value` (column 2); 1 line is in"),
        ("", "line 2: not a JSON object: EOF while parsing a value (column 0); 1 line is in"),
        (r#"{"value":null,"partition":1}"#, "line 2: there is no partition t-1: t has 1, numbered from 0"),
    ] {
        let input = format!("{{\"value\":\"first\"}}\n{line}\n{{\"value\":\"last\"}}\n");
        let said = ottla(["produce", "t", "--json"]).dir(&dir).stdin(input).run();
        assert!(said.failed().starts_with(reason), "{said:?}");
    }
    assert_eq!(shown(&records(&dir, 0)), ["-=first"; 3]);
}

#[test]
fn what_is_typed_is_there_at_once_and_ctrl_c_says_how_much_that_is() {
    let dir = with_topic(TopicConfig::new());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(["produce", "t"]).env("OTTLA_DIR", dir.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for count in 1..=2 {
        stdin.write_all(b"a line\nhalf").unwrap();
        while records(&dir, 0).len() < count {
            thread::sleep(Duration::from_millis(1));
        }
    }
    // Its input is still open, and the second half of a line not there yet.
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(1), "ottla: interrupted; 2 lines are in\n"));
    assert_eq!(shown(&records(&dir, 0)), ["-=a line", "-=halfa line"]);
}
