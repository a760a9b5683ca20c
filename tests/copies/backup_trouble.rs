//! Backups that do not come to their end: the process is killed, the power goes, the target is full.
//!
//! The failure that this is about: what was there before is not what it was, the source or an earlier backup; or half a backup is taken for a
//! whole one.
//!
//! Between two backups this and that happens at the source, with transactions, groups, deletion and compaction. Each backup has an earlier
//! one as its base. A backup that comes to its end has what the source has, and is verified. Of any other what is left is looked at: the
//! source opens with what it had, earlier backups are what they were, byte by byte, and the new one is whole or does not open.
//!
//! `OTTLA_BACKUPS` (12) says how many backups there are, `OTTLA_BACKUP_SEED` (1) what happens.

use std::collections::BTreeMap;

use ottla::testing::SimulatedDisk;
use ottla::{BackupOptions, CommittedOffset, Error};

use crate::choices::from_environment;
use crate::directories::{Content, DATA, builder, contents, open_read_only};
use crate::replica::crashes::{Source, left_of};

/// The backups that are whole, and what is in each.
type Backups = BTreeMap<String, Vec<Content>>;

/// What becomes of a backup.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Whole,
    /// The machine stops after so many calls, by a kill or a power cut.
    Stopped(u64),
    /// There is room for so many bytes more.
    Full(u64),
}

fn fate(source: &mut Source) -> Fate {
    match source.choices.below(4) {
        0 | 1 => Fate::Whole,
        2 => Fate::Stopped(1 + source.choices.below(400)),
        _ => Fate::Full(source.choices.below(60_000)),
    }
}

/// That a backup has this, opens clean, and is what its report says.
fn is_whole(disk: &SimulatedDisk, dir: &str, expected: &[Content], what: &str) {
    let copy = open_read_only(disk, dir);
    assert_eq!(contents(&copy), expected, "{what}: {dir}");
    let report = copy.admin().verify().unwrap();
    assert!(copy.recovery_report().is_clean() && report.is_clean(), "{what}: {dir}: {report}");
    for group in copy.admin().describe_groups().unwrap() {
        for at in group.partitions() {
            let end =
                expected.iter().find(|found| found.partition == *at.topic_partition()).map(|found| found.offsets.end);
            let committed = at.committed().map(CommittedOffset::offset);
            assert!(end.is_none_or(|end| committed.is_none_or(|committed| committed <= end)), "{what}: {group:?}");
        }
    }
}

/// That what is left of a machine has what it had before a backup, whatever has become of that.
fn nothing_is_lost(left: &SimulatedDisk, new: &str, before: &[Content], backups: &Backups, what: &str) {
    match builder(left, new).recovery_mode(ottla::RecoveryMode::ReadOnly).open().map(drop) {
        Ok(()) => is_whole(left, new, before, what),
        Err(Error::Unfinished { .. } | Error::NotADataDirectory { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    for (dir, expected) in backups {
        is_whole(left, dir, expected, what);
    }
    let source = builder(left, DATA).open().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(contents(&source), before, "{what}");
}

/// Makes backups of one workload, `count` at most; returns how many.
fn look_at(seed: u64, count: u64) -> u64 {
    let mut source = Source::new(seed);
    let mut backups = Backups::new();
    for number in 0..count.min(40) {
        for _ in 0..=source.choices.below(5) {
            source.act();
        }
        // What was not synced is not the matter of this.
        source.broker.flush().unwrap();
        let fate = fate(&mut source);
        let (dir, what) =
            (format!("/backups/{number:02}"), format!("OTTLA_BACKUP_SEED={seed}: backup {number}, {fate:?}"));
        let base = backups.last_key_value().map(|(dir, _)| dir.clone());
        let options = base.map_or_else(BackupOptions::new, |base| BackupOptions::new().base(base));
        let (disk, before) = (&source.disk, contents(&source.broker));
        match fate {
            Fate::Whole => {
                source.broker.admin().backup_with(&dir, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
                is_whole(disk, &dir, &before, &what);
                backups.insert(dir, before);
            }
            Fate::Stopped(calls) => {
                disk.record_stops();
                source.broker.admin().backup_with(&dir, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
                let stops = disk.take_stops();
                let at = usize::try_from(calls).unwrap() % stops.len();
                let (call, image) = stops.get(at).expect("below the number of them");
                nothing_is_lost(&left_of(image, *call), &dir, &before, &backups, &what);
                backups.insert(dir, before);
            }
            Fate::Full(room) => {
                disk.limit_capacity(Some(disk.used_bytes() + room));
                let made = source.broker.admin().backup_with(&dir, &options);
                let left = disk.kill(number);
                disk.limit_capacity(None);
                left.limit_capacity(None);
                if let Err(error) = &made {
                    assert!(matches!(error, Error::DiskFull { .. }), "{what}: {error}");
                }
                nothing_is_lost(&left, &dir, &before, &backups, &what);
                if made.is_ok() {
                    backups.insert(dir, before);
                }
            }
        }
        // Old ones go, and take nothing with them that others have.
        if 4 < backups.len()
            && let Some((oldest, _)) = backups.pop_first()
        {
            let files = source.disk.files().into_iter().filter(|(path, _)| path.starts_with(&oldest));
            files.for_each(|(path, _)| assert!(source.disk.delete(path), "{what}"));
        }
    }
    count.min(40)
}

#[test]
fn a_backup_that_does_not_come_to_its_end_harms_nothing() {
    let (count, first) = (from_environment("OTTLA_BACKUPS", 12), from_environment("OTTLA_BACKUP_SEED", 1));
    let (mut made, mut seed) = (0, first);
    while made < count {
        made += look_at(seed, count - made);
        seed += 1;
    }
    println!("OTTLA_BACKUP_SEED={first}: {made} backups of {} workloads", seed - first);
}
