//! `ottla backup` and `ottla restore`.

use std::path::Path;

use ottla::{Broker, TopicConfig, TopicPartition};

use crate::run::{free, live, on, ottla, send};

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
    let busy = live(topics);
    busy.refuses(&format!("backup {}/busy", copies.path().display()));
}
