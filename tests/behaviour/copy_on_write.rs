//! File systems that write overwritten blocks elsewhere: the tail is written by calls there, with the same promises, and a full
//! disk is an error as anywhere.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ottla::{Broker, Durability, Error, Partition, ProducerRecord};

use crate::all_from;

fn open(dir: &Path, durability: Durability) -> (Broker, Partition) {
    let broker = Broker::builder(dir).durability(durability).background(false).tail_bytes(2 << 20).open().unwrap();
    let partition = broker.topic("orders").unwrap().partition(0).unwrap();
    (broker, partition)
}

fn record(value: &[u8]) -> ProducerRecord<'_> {
    ProducerRecord::to("orders").value(value)
}

/// Sends records until the disk is full; returns how many were sent.
fn fill(partition: &Partition, bytes: usize) -> u64 {
    let value = vec![7; bytes];
    loop {
        match partition.append(&record(&value)) {
            Ok(_) => {}
            Err(Error::DiskFull { .. }) => return partition.log_end_offset(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is asked of each of them, on a disk that [`fill`] fills; `make_room` makes some.
fn holds_on_a_full_disk(dir: &Path, durability: Durability, make_room: impl FnOnce()) {
    let (broker, partition) = open(dir, durability);
    assert!(broker.recovery_report().writes_tail_by_calls());
    let sent = fill(&partition, 3000);
    assert_eq!(all_from(&partition, 0).len() as u64, sent, "what was refused is not there, what was sent is");
    make_room();
    assert_eq!(partition.append(&record(b"after")).unwrap(), sent, "without reopening");
    partition.wait_durable(sent + 1).unwrap();
    drop((broker, partition));
    let (broker, partition) = open(dir, durability);
    assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
    let values = all_from(&partition, 0);
    assert_eq!((values.len() as u64, values.last().unwrap().value()), (sent + 1, Some(&b"after"[..])));
}

#[cfg(feature = "testing")]
mod simulated {
    use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
    use ottla::{SendOutcome, TopicConfig};

    use super::*;

    /// More than goes through the tail.
    const LARGE: usize = 70_000;

    fn broker(disk: &SimulatedDisk, durability: Durability) -> (Broker, Partition) {
        let defaults = TopicConfig::new().segment_bytes(256 << 10);
        let builder = Broker::builder("/data").durability(durability).background(false).topic_defaults(defaults);
        let broker = builder.disk(disk).open().unwrap();
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        (broker, partition)
    }

    /// Has a write to a log file end half way for want of room, and no cut of one find any.
    fn refuse_to_write_and_cut(disk: &SimulatedDisk) {
        disk.fail(FaultRule::new(FaultKind::ShortWrite).on(Operation::Write).path_containing(".log"));
        disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::SetSize).forever());
    }

    #[test]
    fn a_disk_too_full_to_cut_off_what_was_refused_is_over_with_room() {
        for durability in [Durability::Os, Durability::Always] {
            let disk = SimulatedDisk::new(1);
            let (_broker, partition) = broker(&disk, durability);
            partition.append(&record(&[1; LARGE])).unwrap();
            refuse_to_write_and_cut(&disk);
            for _ in 0..2 {
                let refused = partition.append(&record(&[2; LARGE])).unwrap_err();
                assert!(matches!(&refused, Error::DiskFull { .. }), "{refused}");
            }
            let (_, killed) = broker(&disk.kill(1), durability);
            assert_eq!(all_from(&killed, 0).len(), 1, "what was refused is not there");
            disk.clear_faults();
            partition.append(&record(b"small")).unwrap();
            partition.append(&record(&[3; LARGE])).unwrap();
            let (killed, partition) = broker(&disk.kill(1), durability);
            let report = killed.recovery_report();
            assert!(report.partitions().iter().all(|partition| partition.cut_bytes() == 0), "{report}");
            assert_eq!(all_from(&partition, 0).len(), 3);
        }
    }

    #[test]
    fn what_could_not_be_cut_is_cut_before_the_segment_is_left() {
        for rolls in [false, true] {
            let disk = SimulatedDisk::new(1);
            let (first, partition) = broker(&disk, Durability::Os);
            for _ in 0..3 {
                partition.append(&record(&[1; 50_000])).unwrap();
            }
            first.run_maintenance().unwrap();
            refuse_to_write_and_cut(&disk);
            assert!(matches!(partition.append(&record(&[2; LARGE])), Err(Error::DiskFull { .. })));
            if rolls {
                let refused = partition.append(&record(&[2; 200_000])).unwrap_err();
                assert!(matches!(&refused, Error::DiskFull { .. }), "{refused}");
                disk.clear_faults();
                partition.append(&record(&[3; 200_000])).unwrap();
            }
            disk.clear_faults();
            first.close().unwrap();
            let (again, partition) = broker(&disk, Durability::Os);
            assert!(again.recovery_report().is_clean(), "{}", again.recovery_report());
            assert!(again.admin().verify().unwrap().is_clean());
            assert_eq!(all_from(&partition, 0).len(), if rolls { 4 } else { 3 });
        }
    }

    /// A send in which the `nth` write of the tail fails: the record, how much is published, the entry that a sync makes durable.
    fn send_where_the_tail_fails(
        durability: Durability,
        kind: FaultKind,
        nth: u64,
    ) -> (SimulatedDisk, Partition, Error) {
        let disk = SimulatedDisk::new(1);
        disk.copy_on_write();
        let (broker, partition) = broker(&disk, durability);
        partition.append(&record(b"before")).unwrap();
        disk.fail(FaultRule::new(kind).on(Operation::Write).path_containing("tail").nth(nth));
        let error = partition.append(&record(b"sent")).unwrap_err();
        assert_eq!(disk.faults_injected(), 1);
        drop(broker);
        (disk, partition, error)
    }

    #[test]
    fn what_the_file_holds_tells_whether_a_record_was_published_by_a_write_that_failed() {
        for (durability, nth, outcome) in [
            (Durability::Os, 1, SendOutcome::NotAppended),
            (Durability::Os, 2, SendOutcome::NotAppended),
            (Durability::Always, 1, SendOutcome::NotAppended),
            (Durability::Always, 2, SendOutcome::NotAppended),
            (Durability::Always, 3, SendOutcome::Unknown),
        ] {
            let (_, partition, error) = send_where_the_tail_fails(durability, FaultKind::InputOutput, nth);
            assert_eq!((error.outcome(), error.is_fatal()), (outcome, true), "{durability} {nth}: {error}");
            let later = partition.append(&record(b"later")).unwrap_err();
            assert!(matches!(&later, Error::Poisoned { .. }), "{later}");
        }
    }

    #[test]
    fn a_record_of_which_nobody_knows_whether_it_was_published_is_in_doubt() {
        for durability in [Durability::Os, Durability::Always] {
            let disk = SimulatedDisk::new(1);
            disk.copy_on_write();
            let (_broker, partition) = broker(&disk, durability);
            partition.append(&record(b"before")).unwrap();
            let fails = |operation| FaultRule::new(FaultKind::InputOutput).on(operation).path_containing("tail");
            disk.fail(fails(Operation::Write).nth(2));
            disk.fail(fails(Operation::Read).forever());
            let error = partition.append(&record(b"sent")).unwrap_err();
            assert_eq!((error.outcome(), error.is_fatal()), (SendOutcome::Unknown, true), "{error}");
            assert!(matches!(partition.append(&record(b"later")), Err(Error::Poisoned { .. })));
        }
    }

    #[test]
    fn a_durable_record_whose_commit_finds_no_room_is_in_the_log_and_not_durable_yet() {
        let (disk, partition, error) = send_where_the_tail_fails(Durability::Always, FaultKind::StorageFull, 3);
        assert!(matches!(&error, Error::NotDurable { offsets, .. } if *offsets == (1..2)), "{error}");
        let killed = broker(&disk.kill(1), Durability::Always).1;
        assert_eq!(all_from(&killed, 0).len(), 2, "it outlives the process");
        partition.wait_durable(2).unwrap();
        assert_eq!(partition.append(&record(b"later")).unwrap(), 2);
        for nth in [1, 2] {
            let (_, partition, error) = send_where_the_tail_fails(Durability::Always, FaultKind::StorageFull, nth);
            assert!(matches!(&error, Error::DiskFull { .. }), "{error}");
            assert_eq!(partition.append(&record(b"sent")).unwrap(), 1, "nothing was appended");
        }
    }

    #[test]
    fn a_batch_whose_first_record_found_no_room_is_not_sealed() {
        for durability in [Durability::Os, Durability::Always] {
            let disk = SimulatedDisk::new(1);
            disk.copy_on_write();
            let open = || Broker::builder("/data").durability(durability).background(false).disk(&disk).open().unwrap();
            let broker = open();
            let topic = broker.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
            topic.partition(0).unwrap().append(&record(b"there are slots now")).unwrap();
            // Four writes say whose the slot is.
            disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::Write).path_containing("tail").nth(5));
            let partition = topic.partition(1).unwrap();
            assert!(matches!(partition.append(&record(b"refused")), Err(Error::DiskFull { .. })));
            assert_eq!(disk.faults_injected(), 1);
            broker.close().unwrap();
            let broker = open();
            assert!(broker.recovery_report().is_clean(), "{}", broker.recovery_report());
            let partition = broker.topic("orders").unwrap().partition(1).unwrap();
            assert_eq!((all_from(&partition, 0).len(), partition.append(&record(b"first")).unwrap()), (0, 0));
        }
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_send_and_over_when_there_is_room() {
        let disk = SimulatedDisk::new(1);
        disk.copy_on_write();
        let broker = Broker::builder("/data").durability(Durability::Os).background(false).disk(&disk).open().unwrap();
        assert!(broker.recovery_report().writes_tail_by_calls());
        assert!(broker.recovery_report().to_string().contains("the tail is written by system calls"));
        let partition = broker.topic("orders").unwrap().partition(0).unwrap();
        partition.append(&record(b"first")).unwrap();
        disk.limit_capacity(Some(disk.used_bytes()));
        assert!(matches!(partition.append(&record(b"refused")), Err(Error::DiskFull { .. })));
        assert_eq!(partition.log_end_offset(), 1);
        disk.limit_capacity(None);
        assert_eq!(partition.append(&record(b"second")).unwrap(), 1);
        let after = Broker::builder("/data").disk(&disk.kill(1)).open().unwrap();
        let values: Vec<_> = all_from(&after.topic("orders").unwrap().partition(0).unwrap(), 0);
        assert_eq!(values.iter().map(|record| record.value().unwrap()).collect::<Vec<_>>(), [&b"first"[..], b"second"]);
    }
}

/// On a small file system of that kind that is mounted at `OTTLA_COW_DIR` (btrfs or XFS on a loop device, say), which this fills.
#[test]
fn a_full_disk_is_no_signal_on_a_real_one() {
    let Some(mounted) = env::var_os("OTTLA_COW_DIR").map(PathBuf::from) else {
        println!(
            "not run: OTTLA_COW_DIR names no directory on a small file system that writes overwritten blocks elsewhere"
        );
        return;
    };
    for durability in [Durability::Os, Durability::Always] {
        let (dir, ballast) = (mounted.join("data"), mounted.join("ballast"));
        fs::create_dir(&ballast).unwrap();
        let pieces = |count: usize| (0..count).map(|number| ballast.join(number.to_string()));
        let is_written = |piece: &PathBuf| fs::write(piece, vec![1; 1 << 20]).is_ok();
        let count = pieces(1 << 20).take_while(is_written).count();
        // So that not much is left to be filled record by record.
        _ = fs::remove_file(ballast.join(count.to_string()));
        pieces(count).rev().take(6).for_each(|piece| fs::remove_file(piece).unwrap());
        fs::create_dir(&dir).unwrap();
        holds_on_a_full_disk(&dir, durability, || fs::remove_dir_all(&ballast).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }
}
