//! Many partitions under a small limit of open files. `OTTLA_LIMIT_PARTITIONS` (1000) says how many; each costs about ten
//! syncs of the disk, which is what takes the time.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

use std::process::Command;

use ottla::{Broker, Durability, ProducerRecord, TopicConfig};

/// Records in each partition.
const RECORDS: u32 = 5;

/// The limit is the process's, so that the work is done by a child that lowers its own: the shell lowers it and becomes this
/// test.
#[test]
fn a_thousand_partitions_work_with_256_open_files() {
    let dir = tempfile::tempdir().unwrap();
    // With `Always` every send is a sync of the disk, so that fewer must do; they are still more than the files.
    let most: u32 = std::env::var("OTTLA_LIMIT_PARTITIONS").map_or(1000, |most| most.parse().unwrap());
    for (durability, partitions) in [("os", most), ("always", most * 3 / 10)] {
        let data = dir.path().join(durability);
        let mut child = Command::new("sh");
        child.args(["-c", "ulimit -n 256 && exec \"$0\" --exact child_with_few_files --ignored --nocapture"]);
        child
            .arg(std::env::current_exe().unwrap())
            .env("OTTLA_TEST_DIR", &data)
            .env("OTTLA_TEST_DURABILITY", durability);
        child.env("OTTLA_TEST_PARTITIONS", partitions.to_string());
        let output = child.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("1 passed"), "{durability}: {told}{complaints}");
        told.lines().filter(|line| line.contains("bytes of memory")).for_each(|line| println!("{durability}: {line}"));
    }
}

#[test]
#[ignore = "run by a_thousand_partitions_work_with_256_open_files, in a process of its own"]
fn child_with_few_files() {
    let Ok(dir) = std::env::var("OTTLA_TEST_DIR") else { return };
    let partitions = std::env::var("OTTLA_TEST_PARTITIONS").unwrap().parse().unwrap();
    let is_always = std::env::var("OTTLA_TEST_DURABILITY").as_deref() == Ok("always");
    let durability = if is_always { Durability::Always } else { Durability::Os };
    let open = || Broker::builder(&dir).durability(durability).open().unwrap();
    let broker = open();
    let before = resident_bytes();
    let topic = broker.create_topic("orders", TopicConfig::new().partitions(partitions)).unwrap();
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        println!("an idle partition takes {} bytes of memory", after.saturating_sub(before) / u64::from(partitions));
    }
    let (producer, count) = (broker.producer(), if is_always { 1 } else { RECORDS });
    for n in 0..count {
        let value = n.to_string();
        for partition in 0..partitions {
            producer.send(ProducerRecord::to("orders").partition(partition).value(&value)).unwrap();
        }
    }
    check(&broker, count);
    drop((broker, topic, producer));

    let broker = open();
    assert!(broker.recovery_report().is_clean(), "{:?}", broker.recovery_report());
    check(&broker, count);
    drop(broker);
    check(&Broker::open_read_only(&dir).unwrap(), count);
}

/// Memory of the process that is not a file's, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn check(broker: &Broker, count: u32) {
    for partition in broker.topic("orders").unwrap().partitions() {
        let records = partition.read(0, 1 << 20).unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value_str().unwrap().to_owned()).collect();
        assert_eq!(values, (0..count).map(|n| n.to_string()).collect::<Vec<_>>(), "{partition:?}");
    }
}
