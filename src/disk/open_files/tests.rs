use super::*;
use crate::disk::append_file::{AppendError, AppendFile};
use crate::disk::os::OsDisk;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use crate::error::os;

fn os_files(handles_max: usize, maps_max: usize) -> Arc<OpenFiles> {
    OpenFiles::new(Arc::new(OsDisk::new()), OpenFilesConfig { handles_max, maps_max, read_mode: ReadMode::Map })
}

#[test]
fn many_files_work_with_few_handles_and_maps() {
    let dir = tempfile::tempdir().unwrap();
    let files = os_files(3, 2);
    let logs: Vec<_> =
        (0..20_u8).map(|n| AppendFile::create(&files, &dir.path().join(n.to_string()), 4096).unwrap()).collect();
    let mut views = Vec::new();
    for round in 0..5_u8 {
        for (n, log) in (0..).zip(&logs) {
            log.append(&[round, n]).unwrap();
            views.push((log.view(0..u64::from(round) * 2 + 2).unwrap(), n));
            let (handles, maps) = files.open_counts();
            assert!(handles <= 3 && maps <= 2, "{handles} handles, {maps} maps");
        }
    }
    for (view, n) in views {
        assert!((0..).zip(view.chunks(2)).all(|(round, record)| *record == [round, n]));
    }
}

#[test]
fn what_is_used_between_looks_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let files = os_files(3, 3);
    let hot = AppendFile::create(&files, &dir.path().join("hot"), 4096).unwrap();
    // Opening it again would fail.
    hot.remove().unwrap();
    let mut cold = Vec::new();
    for n in 0..10 {
        cold.push(AppendFile::create(&files, &dir.path().join(n.to_string()), 4096).unwrap());
        hot.sync().unwrap();
    }
    assert_eq!(files.open_counts().0, 3);
}

#[test]
fn dropped_files_make_room_without_closing_others() {
    let dir = tempfile::tempdir().unwrap();
    let files = os_files(2, 2);
    let kept = AppendFile::create(&files, &dir.path().join("kept"), 4096).unwrap();
    // Opening it again would fail.
    kept.remove().unwrap();
    for n in 0..10 {
        drop(AppendFile::create(&files, &dir.path().join(n.to_string()), 4096).unwrap());
    }
    kept.sync().unwrap();
}

#[test]
fn where_the_machine_has_no_handle_left_ours_are_closed() {
    let disk = SimulatedDisk::new(1);
    let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
    disk.limit_handles(Some(4));
    let logs: Vec<_> =
        (0..20_u8).map(|n| AppendFile::create(&files, Path::new(&format!("/{n}")), 4096).unwrap()).collect();
    for round in 0..3 {
        for (n, log) in (0..).zip(&logs) {
            assert_eq!(log.append(&[n]).unwrap(), round);
            files.open(Path::new("/other"), Open::CreateOrWrite).unwrap();
        }
    }
    for (n, log) in (0..).zip(&logs) {
        assert_eq!(*log.view(0..3).unwrap(), [n; 3]);
    }
}

/// A file with an un-synced write, whose handle is about to be closed.
fn crowded_out(disk: &SimulatedDisk) -> AppendFile {
    let config = OpenFilesConfig { handles_max: 1, ..OpenFilesConfig::default() };
    let files = OpenFiles::new(Arc::new(disk.clone()), config);
    let log = AppendFile::create(&files, Path::new("/log"), 4096).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    log.append(b"kept").unwrap();
    drop(AppendFile::create(&files, Path::new("/other"), 4096).unwrap());
    log
}

#[test]
fn a_handle_with_unsynced_writes_is_closed_without_a_sync_and_a_later_one_syncs() {
    let disk = SimulatedDisk::new(1);
    let log = crowded_out(&disk);
    assert_eq!(disk.open_handles(), 0);
    log.sync().unwrap();
    assert_eq!(disk.crash(1, CrashModel::Subset).read("/log").unwrap(), b"kept");
}

#[test]
fn a_sync_that_failed_is_told_to_every_later_caller() {
    let disk = SimulatedDisk::new(1);
    let log = crowded_out(&disk);
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
    assert_eq!(log.sync().unwrap_err().into_inner().raw_os_error(), Some(os::INPUT_OUTPUT));
    assert!(matches!(log.append(b"more"), Err(AppendError::Torn(_))));
    assert_eq!(log.sync().unwrap_err().into_inner().raw_os_error(), Some(os::INPUT_OUTPUT));
    assert_eq!(*log.view(0..4).unwrap(), *b"kept");
}

#[test]
fn threads_that_compete_for_handles_neither_wait_for_ever_nor_mix_files_up() {
    let dir = tempfile::tempdir().unwrap();
    let files = os_files(2, 2);
    let logs: Vec<_> =
        (0..8_u8).map(|n| AppendFile::create(&files, &dir.path().join(n.to_string()), 4096).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    for (n, log) in (0..).zip(&logs) {
                        let position = log.append(&[n; 10]).unwrap();
                        assert_eq!(*log.view(position..position + 10).unwrap(), [n; 10]);
                    }
                }
            });
        }
    });
    assert!(logs.iter().all(|log| log.len() == 1000));
    assert!(files.open_counts() <= (2, 2));
}

#[test]
fn a_handle_in_use_is_not_closed() {
    let disk = SimulatedDisk::new(1);
    let slot = HandleSlot::default();
    slot.put(disk.open(Path::new("/a"), Open::CreateNew).unwrap());
    let in_use = slot.get().unwrap();
    assert_eq!(slot.close(), Closing::InUse);
    in_use.write_at(b"x", 0).unwrap();
    drop(in_use);
    assert_eq!(slot.close(), Closing::Closed);
    assert_eq!(slot.close(), Closing::WasClosed);
    assert!(slot.get().is_none());
}

/// Admits slots with handles to as many new files.
fn admit(queue: &Queue, disk: &SimulatedDisk, names: impl IntoIterator<Item = u32>) -> Vec<Arc<HandleSlot>> {
    let admit = |name: u32| {
        let slot = Arc::new(HandleSlot::default());
        slot.put(disk.open(Path::new(&format!("/{name}")), Open::CreateNew).unwrap());
        queue.admit(Arc::downgrade(&slot) as Weak<dyn Slot>);
        slot
    };
    names.into_iter().map(admit).collect()
}

fn mark_dirty(slots: &[Arc<HandleSlot>]) {
    for slot in slots {
        slot.mark_dirty();
    }
}

fn closed(slots: &[Arc<HandleSlot>]) -> Vec<usize> {
    (0..).zip(slots).filter(|(_, slot)| slot.handle.lock().is_none()).map(|(n, _)| n).collect()
}

#[test]
fn a_handle_with_unsynced_writes_is_closed_last() {
    let (disk, queue) = (SimulatedDisk::new(1), Queue::new(40));
    let slots = admit(&queue, &disk, 0..40);
    mark_dirty(&slots[..30]);
    let more = admit(&queue, &disk, 40..50);
    let clean: Vec<_> = (30..40).collect();
    assert_eq!(closed(&slots), clean);
    // Where no others are left, the first of them that was not used.
    mark_dirty(&more);
    for slot in &slots[..3] {
        drop(slot.get());
    }
    let _newcomer = admit(&queue, &disk, [50]);
    assert_eq!(closed(&slots), [&[3], &clean[..]].concat());
}

#[test]
fn a_handle_that_was_synced_is_closed_before_dirty_ones() {
    let (disk, queue) = (SimulatedDisk::new(1), Queue::new(4));
    let slots = admit(&queue, &disk, 0..4);
    mark_dirty(&slots);
    let newcomer = admit(&queue, &disk, [4]);
    assert_eq!(closed(&slots), [0]);
    slots[2].sync(&*slots[2].get().unwrap()).unwrap();
    queue.note_sync();
    mark_dirty(&newcomer);
    let _more = admit(&queue, &disk, [5]);
    assert_eq!((closed(&slots), closed(&newcomer)), (vec![0, 2], vec![]));
}

#[test]
fn dropped_files_do_not_stand_for_closed_ones_where_the_machine_has_no_handle_left() {
    let disk = SimulatedDisk::new(1);
    let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
    let create = |name: String| AppendFile::create(&files, Path::new(&name), 4096).unwrap();
    let dropped: Vec<_> = (0..4).map(|n| create(format!("/dropped-{n}"))).collect();
    let closed = create("/closed".to_owned());
    closed.close_for_good();
    let _kept: Vec<_> = (0..3).map(|n| create(format!("/kept-{n}"))).collect();
    drop(dropped);
    disk.limit_handles(Some(3));
    files.open(Path::new("/other"), Open::CreateOrWrite).unwrap();
}

#[test]
fn a_handle_in_use_does_not_stand_for_a_closed_one_where_the_machine_has_no_handle_left() {
    let (disk, queue) = (SimulatedDisk::new(1), Queue::new(40));
    let slots = admit(&queue, &disk, 0..8);
    let in_use = slots[0].get().unwrap();
    assert!(slots[0].take_used(), "else it would not be the first to be looked at");
    queue.close_some();
    assert_eq!(closed(&slots), [1]);
    drop(in_use);
    // Nor is it forgotten.
    for _ in 1..8 {
        queue.close_some();
    }
    assert_eq!(closed(&slots).len(), 8);
}

#[test]
fn idle_handles_with_unsynced_writes_leave_room_for_readers() {
    let disk = SimulatedDisk::new(1);
    let config = OpenFilesConfig { handles_max: 128, read_mode: ReadMode::Copy, ..OpenFilesConfig::default() };
    let files = OpenFiles::new(Arc::new(disk.clone()), config);
    let create = |name: String| {
        let file = AppendFile::create(&files, Path::new(&name), 4096).unwrap();
        file.append(b"x").unwrap();
        file
    };
    let read: Vec<_> = (0..2).map(|n| create(format!("/read-{n}"))).collect();
    read.iter().try_for_each(AppendFile::sync).unwrap();
    let _idle: Vec<_> = (0..200).map(|n| create(format!("/idle-{n}"))).collect();
    let calls_before = disk.log().iter().filter(|call| call.operation == Operation::Open).count();
    for file in std::iter::repeat_n(&read, 100).flatten() {
        drop(file.view(0..1).unwrap());
    }
    let calls = disk.log().iter().filter(|call| call.operation == Operation::Open).count();
    assert!(calls - calls_before <= 4, "{} of 200 reads opened their file", calls - calls_before);
}

#[test]
fn a_file_that_was_closed_for_good_takes_no_place_of_open_ones() {
    let disk = SimulatedDisk::new(1);
    let config = OpenFilesConfig { handles_max: 8, ..OpenFilesConfig::default() };
    let files = OpenFiles::new(Arc::new(disk.clone()), config);
    let create = |name: String| AppendFile::create(&files, Path::new(&name), 4096).unwrap();
    let deleted: Vec<_> = (0..6).map(|n| create(format!("/deleted-{n}"))).collect();
    for file in &deleted {
        file.append(b"x").unwrap();
    }
    let _others: Vec<_> = (0..2).map(|n| create(format!("/other-{n}"))).collect();
    deleted.iter().for_each(AppendFile::close_for_good);
    let _new: Vec<_> = (0..6).map(|n| create(format!("/new-{n}"))).collect();
    assert_eq!(disk.open_handles(), 8, "2 others and 6 new");
}

#[test]
fn once_all_is_closed_nothing_is_open_or_opened_again_and_views_stay() {
    let dir = tempfile::tempdir().unwrap();
    let files = os_files(8, 8);
    let log = AppendFile::create(&files, &dir.path().join("log"), 4096).unwrap();
    log.append(b"kept").unwrap();
    let view = log.view(0..4).unwrap();
    files.close();
    assert_eq!((files.open_counts(), files.are_closed()), ((0, 0), true));
    assert_eq!(*view, b"kept"[..]);
    assert!(log.view(0..4).is_err() && log.append(b"x").is_err() && log.sync().is_err());
    // Whoever was about to keep a handle when that happened finds it closed.
    let late: Arc<HandleSlot> = Arc::default();
    late.put(files.disk().open(&dir.path().join("log"), Open::Read).unwrap());
    files.admit_handle(&late);
    assert!(late.get().is_none());
}
