//! `ottla backup` and `ottla restore`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ottla::{Broker, TopicConfig, TopicPartition};

use crate::run::{free, live, on, ottla, send, start};

fn topics(broker: &Broker) {
    broker.create_topic("orders", TopicConfig::new().segment_bytes(4096)).unwrap();
    let value = "v".repeat(1000);
    for _ in 0..200 {
        send(broker, "orders", 0, 0, &[&value]);
    }
    broker.admin().reset_offsets("billing").topic("orders").to(ottla::ResetTo::Latest).execute().unwrap();
}

fn end(dir: &Path) -> u64 {
    Broker::open_read_only(dir).unwrap().existing_topic("orders").unwrap().partition(0).unwrap().log_end_offset()
}

#[test]
fn a_backup_is_made_verified_and_restored() {
    let (source, copies) = (free(topics), tempfile::tempdir().unwrap());
    let [monday, tuesday, all, part] = ["monday", "tuesday", "all", "part"].map(|name| copies.path().join(name));
    let [to_monday, to_tuesday] = [&monday, &tuesday].map(|path| path.display().to_string());
    let made = on(source.path(), &format!("backup {to_monday} --output jsonl")).json_lines().remove(0);
    assert_eq!(made["partitions"], 2);
    let made = on(source.path(), &format!("backup {to_tuesday} --base {to_monday} --output table"));
    assert_eq!(made.status, 0, "{made:?}");
    assert!(made.text().lines().count() == 2 && made.text().contains("linked"), "{made:?}");
    let verified = on(&tuesday, "verify --deep --output table");
    assert_eq!(verified.status, 0, "{verified:?}");
    let restore = |arguments: &[&str]| ottla([&["restore", &to_tuesday], arguments].concat()).run();
    let said = restore(&[all.to_str().unwrap()]);
    assert_eq!(said.status, 0, "{said:?}");
    let said = restore(&[part.to_str().unwrap(), "--to-offset", "orders-0:50", "--output", "jsonl"]);
    let restored = said.json_lines().remove(0);
    assert_eq!(
        (restored["moved_back"][0]["before"].as_u64(), restored["moved_back"][0]["after"].as_u64()),
        (Some(200), Some(50))
    );
    assert_eq!((end(&all), end(&part)), (200, 50));
    assert!(Broker::open_read_only(&tuesday).unwrap().admin().verify().unwrap().is_clean());
    let orders = TopicPartition::new("orders", 0);
    assert_eq!(ottla::BackupReport::read(&tuesday).unwrap().offsets(&orders), Some(0..200));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let (source, copies) = (free(topics), tempfile::tempdir().unwrap());
    let target = copies.path().join("backup").display().to_string();
    assert_eq!(on(source.path(), &format!("backup {target}")).status, 0);
    for line in [
        format!("backup {target}"),
        format!("backup {}/new --base {}", copies.path().display(), source.path().display()),
        format!("restore {} {}/new", source.path().display(), copies.path().display()),
        format!("restore {target} {}", source.path().display()),
        format!("restore {target} {}/new --to-offset orders-0:201", copies.path().display()),
        format!("restore {target} {}/new --to-offset orders", copies.path().display()),
        format!("restore {target} {}/new --to-datetime 2026-12-01T15:00:00", copies.path().display()),
    ] {
        let said = on(source.path(), &line);
        assert_eq!((said.status, said.stderr.lines().count()), (2, 1), "{line}: {said:?}");
        assert!(!copies.path().join("new").exists(), "{line}");
    }
    // Nor is a backup changed by a command that was meant for its source.
    let other = copies.path().join("other").display().to_string();
    for line in [
        format!("backup {other}"),
        format!("export {other}"),
        "topics create new".to_owned(),
        "groups reset billing --topic orders --to-earliest --execute".to_owned(),
        "consume orders --group billing".to_owned(),
    ] {
        let said = on(Path::new(&target), &line);
        assert_eq!(said.status, 2, "{line}: {said:?}");
        assert!(said.stderr.contains("is a backup"), "{line}: {said:?}");
    }
    assert!(Broker::open_read_only(&target).unwrap().admin().verify().unwrap().is_clean());
    ottla::BackupReport::read(&target).unwrap();
    let busy = live(topics);
    busy.refuses(&format!("backup {}/busy", copies.path().display()));
}

#[test]
fn ctrl_c_ends_a_backup_and_leaves_nothing_of_it() {
    let (source, copies) = (free(topics), tempfile::tempdir().unwrap());
    let target = copies.path().join("backup");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(["backup", "--copy-all", "--bytes-per-second", "200"]).arg(&target).env("OTTLA_DIR", source.path());
    let child = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    // Its first log file is there, which takes its time.
    while !target.join("orders-0").join(format!("{:020}.log", 0)).exists() {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(!target.exists());
    // And the source is as it was.
    assert_eq!(on(source.path(), &format!("backup {}", target.display())).status, 0);
}
