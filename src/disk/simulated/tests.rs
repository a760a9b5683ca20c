use std::collections::BTreeSet;

use super::*;
use crate::disk::os::OsDisk;
use crate::error::os;

#[test]
fn a_file_with_a_second_name_is_read_and_never_written_and_stays_one_after_a_crash() {
    let disk = SimulatedDisk::new(1);
    disk.put("/d/file", b"bytes");
    disk.put_link("/d/file", "/backup/file");
    assert_eq!(disk.used_bytes(), 5);
    for image in [disk.clone(), disk.kill(1), disk.crash(1, CrashModel::Subset)] {
        assert_eq!(image.read("/backup/file").unwrap(), b"bytes");
        for path in ["/d/file", "/backup/file"] {
            let file = image.open(Path::new(path), Open::Write).unwrap();
            assert!(file.is_shared());
            assert_eq!(file.write_at(b"no", 0).unwrap_err().kind(), ErrorKind::PermissionDenied);
            file.sync().unwrap();
        }
        image.remove_file(Path::new("/backup/file")).unwrap();
        image.open(Path::new("/d/file"), Open::Write).unwrap().write_at(b"yes", 0).unwrap();
    }
}

#[test]
fn the_lock_of_a_file_with_a_second_name_is_another_file_s() {
    let disk = SimulatedDisk::new(1);
    disk.put("/d/lock", b"before");
    disk.put_link("/d/lock", "/backup/lock");
    let _held = disk.lock(Path::new("/d/lock"), b"after").unwrap();
    assert_eq!(disk.lock(Path::new("/d/lock"), b"").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(disk.read("/backup/lock").unwrap(), b"before");
    drop(disk.lock(Path::new("/backup/lock"), b"of the backup").unwrap());
}

fn open(disk: &SimulatedDisk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), Open::CreateOrWrite).unwrap()
}

fn sync_dir(disk: &SimulatedDisk, path: &str) {
    disk.sync_dir(Path::new(path)).unwrap();
}

/// What a file can be after power cuts.
fn outcomes(disk: &SimulatedDisk, path: &str, model: CrashModel) -> BTreeSet<Option<Vec<u8>>> {
    (0..200).map(|seed| disk.crash(seed, model).read(path)).collect()
}

/// Stores through a shared map, as the tail does.
#[allow(unsafe_code, reason = "stands in for the tail")]
fn store(mapping: &SharedMapping, position: usize, byte: u8) {
    assert!(position < mapping.len());
    mapping.touch(position, 1);
    // SAFETY: Inside the mapping, and no other thread looks at it.
    unsafe { mapping.as_ptr().add(position).write(byte) }
}

fn check_contract(disk: &dyn Disk, root: &Path) {
    let kind_of = |result: io::Result<()>| result.unwrap_err().kind();
    let (a, b, dir) = (root.join("a"), root.join("b"), root.join("dir"));

    assert_eq!(kind_of(disk.open(&a, Open::Read).map(drop)), ErrorKind::NotFound);
    let file = disk.open(&a, Open::CreateNew).unwrap();
    assert_eq!(kind_of(disk.open(&a, Open::CreateNew).map(drop)), ErrorKind::AlreadyExists);
    file.write_at(b"hello", 3).unwrap();
    let mut buffer = [9; 10];
    assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 7);
    assert_eq!(buffer, *b"\0\0hello\x09\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 100).unwrap(), 0);
    file.set_size(6).unwrap();
    file.set_size(8).unwrap();
    file.read_at(&mut buffer, 3).unwrap();
    assert_eq!(&buffer[..5], b"hel\0\0");
    assert_eq!(file.map(8).unwrap().bytes(3..6), b"hel");
    file.sync().unwrap();
    let reader = disk.open(&a, Open::Read).unwrap();
    assert!(reader.write_at(b"x", 0).is_err());
    assert!(reader.set_size(0).is_err());

    file.set_size(8192).unwrap();
    let mapping = file.map_shared(4096, 4096).unwrap();
    store(&mapping, 10, b'm');
    file.read_at(&mut buffer[..1], 4106).unwrap();
    assert_eq!(buffer[0], b'm');
    drop(mapping);
    assert_eq!(file.read_at(&mut buffer[..1], 4106).unwrap(), 1);
    assert_eq!(buffer[0], b'm');

    disk.create_dir(&dir).unwrap();
    disk.create_dir(&dir).unwrap();
    assert_eq!(kind_of(disk.create_dir(&a)), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(disk.create_dir(&root.join("no/dir"))), ErrorKind::NotFound);
    assert!(disk.open(&dir, Open::Write).is_err());
    assert!(disk.remove_file(&dir).is_err());
    disk.open(&b, Open::CreateNew).unwrap().write_at(b"b", 0).unwrap();
    disk.rename(&b, &a).unwrap();
    assert_eq!(file.size().unwrap(), 8192);
    assert_eq!(disk.open(&a, Open::Read).unwrap().size().unwrap(), 1);
    disk.rename(&a, &dir.join("a")).unwrap();
    assert_eq!(kind_of(disk.remove_dir(&dir)), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind_of(disk.rename(&a, &b)), ErrorKind::NotFound);
    assert_eq!(disk.list(root).unwrap(), [DirEntry { name: "dir".into(), is_dir: true }]);
    disk.rename(&dir, &root.join("moved")).unwrap();
    disk.sync_dir(root).unwrap();
    disk.remove_file(&root.join("moved/a")).unwrap();
    disk.remove_dir(&root.join("moved")).unwrap();
    assert_eq!(kind_of(disk.remove_file(&a)), ErrorKind::NotFound);
    check_second_names_and_copies(disk, root);

    let lock = disk.lock(&a, b"pid").unwrap();
    assert_eq!(kind_of(disk.lock(&a, b"other").map(drop)), ErrorKind::WouldBlock);
    drop(lock);
    drop(disk.lock(&a, b"me").unwrap());
    assert_eq!(disk.open(&a, Open::Read).unwrap().size().unwrap(), 2);
    assert_ne!(disk.random(), disk.random());
    assert_eq!(disk.boot_id(), disk.boot_id());
}

fn check_second_names_and_copies(disk: &dyn Disk, root: &Path) {
    let kind_of = |result: io::Result<()>| result.unwrap_err().kind();
    let [a, link, copy, absent] = ["a", "link", "copy", "absent/to"].map(|name| root.join(name));
    let bytes_of = |file: &dyn DiskFile| {
        let mut bytes = vec![0; 100_000];
        let count = file.read_at(&mut bytes, 0).unwrap();
        bytes.truncate(count);
        bytes
    };
    let content: Vec<u8> = (0..70_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    disk.open(&a, Open::CreateNew).unwrap().write_at(&content, 0).unwrap();

    let copied = disk.copy_file(&a, &copy).unwrap();
    assert_eq!(bytes_of(&*copied), content);
    copied.write_at(b"other", 5).unwrap();
    copied.sync().unwrap();
    assert_eq!(bytes_of(&*disk.open(&a, Open::Read).unwrap()), content, "only what is equal is shared");
    assert_eq!(bytes_of(&*disk.open(&copy, Open::Write).unwrap())[..12], *b"\0\x01\x02\x03\x04other\x0a\x0b");
    assert_eq!(kind_of(disk.copy_file(&a, &copy).map(drop)), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(disk.copy_file(&link, &root.join("new")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind_of(disk.copy_file(&a, &absent).map(drop)), ErrorKind::NotFound);

    disk.hard_link(&a, &link).unwrap();
    assert_eq!(bytes_of(&*disk.open(&link, Open::Read).unwrap()), content);
    assert!(disk.open(&a, Open::Write).unwrap().write_at(b"x", 0).is_err() || cfg!(not(unix)));
    assert_eq!(kind_of(disk.hard_link(&a, &copy)), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(disk.hard_link(&absent, &root.join("new"))), ErrorKind::NotFound);
    assert_eq!(kind_of(disk.hard_link(&a, &absent)), ErrorKind::NotFound);
    disk.remove_file(&a).unwrap();
    assert_eq!(bytes_of(&*disk.open(&link, Open::Write).unwrap()), content);
    disk.open(&link, Open::Write).unwrap().write_at(b"x", 0).unwrap();
    disk.remove_file(&link).unwrap();
    disk.remove_file(&copy).unwrap();
}

#[test]
fn a_second_name_is_durable_with_its_directory_and_stands_for_the_same_bytes() {
    let disk = SimulatedDisk::new(1);
    disk.put("/d/a", b"bytes");
    disk.create_dir(Path::new("/backup")).unwrap();
    sync_dir(&disk, "/");
    disk.hard_link(Path::new("/d/a"), Path::new("/backup/a")).unwrap();
    assert_eq!(disk.used_bytes(), 5);
    let bytes = Some(b"bytes".to_vec());
    for model in CrashModel::ALL {
        assert_eq!(outcomes(&disk, "/backup/a", model), BTreeSet::from([None, bytes.clone()]), "{model:?}");
        assert_eq!(outcomes(&disk, "/d/a", model), BTreeSet::from([bytes.clone()]), "{model:?}");
    }
    sync_dir(&disk, "/backup");
    for model in CrashModel::ALL {
        assert_eq!(outcomes(&disk, "/backup/a", model), BTreeSet::from([bytes.clone()]), "{model:?}");
        let after = disk.crash(1, model);
        assert!(after.open(Path::new("/d/a"), Open::Read).unwrap().is_shared());
    }
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::HardLink));
    assert!(disk.hard_link(Path::new("/d/a"), Path::new("/d/b")).is_err());
    assert_eq!(disk.read("/d/b"), None);
}

/// A file of two sectors, of which the second is not synced, and a copy whose name is.
fn half_synced_and_copied(copy_on_write: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    if copy_on_write {
        disk.copy_on_write();
    }
    disk.put("/a", &[0; 1024]);
    let file = open(&disk, "/a");
    file.write_at(&[1; 512], 0).unwrap();
    file.sync().unwrap();
    file.write_at(&[2; 512], 512).unwrap();
    disk.copy_file(Path::new("/a"), Path::new("/copy")).unwrap();
    sync_dir(&disk, "/");
    disk
}

#[test]
fn a_copy_is_durable_once_it_was_synced_itself_or_where_it_shares_what_was_durable() {
    let of = |first: u8, second: u8| Some([[first; 512], [second; 512]].concat());
    let original = BTreeSet::from([of(1, 0), of(1, 2)]);
    let disk = half_synced_and_copied(false);
    assert_eq!(outcomes(&disk, "/a", CrashModel::Subset), original);
    let copied = outcomes(&disk, "/copy", CrashModel::Subset);
    assert!(copied.contains(&Some(Vec::new())) && copied.contains(&of(0, 2)), "nothing of it is certain");
    open(&disk, "/copy").sync().unwrap();
    assert_eq!(outcomes(&disk, "/copy", CrashModel::Subset), BTreeSet::from([of(1, 2)]));
    assert_eq!(outcomes(&disk, "/a", CrashModel::Subset), original, "the original is not synced by that");

    let disk = half_synced_and_copied(true);
    assert_eq!(outcomes(&disk, "/copy", CrashModel::Subset), original, "the blocks are the same ones");
    open(&disk, "/copy").write_at(&[3; 512], 0).unwrap();
    assert!(outcomes(&disk, "/a", CrashModel::Subset).is_subset(&original), "what is overwritten is not shared");
    open(&disk, "/copy").sync().unwrap();
    assert_eq!(outcomes(&disk, "/copy", CrashModel::Subset), BTreeSet::from([of(3, 2)]));
}

#[test]
fn a_copy_that_fails_or_is_cut_off_leaves_a_beginning_and_no_handle() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[1; 5000]);
    let copy = || disk.copy_file(Path::new("/a"), Path::new("/copy")).map(drop);
    disk.limit_capacity(Some(8000));
    assert_eq!(copy().unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((disk.read("/copy").unwrap(), disk.open_handles()), (vec![1; 3000], 0));
    assert_eq!(copy().unwrap_err().kind(), ErrorKind::AlreadyExists);
    disk.delete("/copy");
    disk.copy_on_write();
    assert_eq!(copy().unwrap_err().kind(), ErrorKind::StorageFull, "its room is counted");
    assert_eq!((disk.read("/copy").unwrap(), disk.open_handles()), (Vec::new(), 0));

    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[1; 5000]);
    // It opens both, reads, and is stopped in its write.
    disk.stop_after(disk.calls() + 3);
    assert!(disk.copy_file(Path::new("/a"), Path::new("/copy")).is_err());
    let lengths: BTreeSet<usize> = (0..50).map(|seed| disk.kill(seed).read("/copy").unwrap().len()).collect();
    assert!(lengths.len() > 10 && lengths.iter().all(|&length| length <= 5000));
}

#[test]
fn both_disks_keep_the_same_contract() {
    let dir = tempfile::tempdir().unwrap();
    check_contract(&OsDisk::new(), dir.path());
    let disk = SimulatedDisk::new(1);
    disk.create_dir(Path::new("/data")).unwrap();
    check_contract(&disk, Path::new("/data"));
    assert_eq!(disk.open_handles(), 0);
    disk.copy_on_write();
    check_second_names_and_copies(&disk, Path::new("/"));
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let disk = SimulatedDisk::new(1);
    let file = open(&disk, "/a");
    file.write_at(&[7; 1300], 0).unwrap();
    file.sync().unwrap();
    sync_dir(&disk, "/");
    for model in CrashModel::ALL {
        assert_eq!(outcomes(&disk, "/a", model), BTreeSet::from([Some(vec![7; 1300])]), "{model:?}");
    }
}

#[test]
fn a_synced_file_without_a_synced_name_can_be_lost() {
    let disk = SimulatedDisk::new(1);
    let file = open(&disk, "/a");
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    let expected = BTreeSet::from([None, Some(b"x".to_vec())]);
    assert_eq!(outcomes(&disk, "/a", CrashModel::Subset), expected);
}

#[test]
fn a_synced_name_without_synced_bytes_can_be_anything() {
    let disk = SimulatedDisk::new(1);
    let file = open(&disk, "/a");
    sync_dir(&disk, "/");
    file.write_at(&[1; 512], 0).unwrap();
    file.write_at(&[2; 512], 512).unwrap();
    let of = |first: &[u8], second: &[u8]| Some([first, second].concat());
    let (one, two, zero) = (&[1; 512][..], &[2; 512][..], &[0; 512][..]);
    let ordered = BTreeSet::from([of(b"", b""), of(one, b""), of(one, two)]);
    assert_eq!(outcomes(&disk, "/a", CrashModel::Ordered), ordered);
    let zeroed = BTreeSet::from([
        of(b"", b""),
        of(zero, b""),
        of(one, b""),
        of(zero, zero),
        of(one, zero),
        of(zero, two),
        of(one, two),
    ]);
    assert_eq!(outcomes(&disk, "/a", CrashModel::ZeroedTail), zeroed);
    assert_eq!(outcomes(&disk, "/a", CrashModel::Subset), zeroed);
}

#[test]
fn a_sector_shows_one_of_its_states_and_no_mixture() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[0; 1024]);
    let file = open(&disk, "/a");
    file.write_at(&[1; 1024], 0).unwrap();
    file.write_at(&[2; 100], 300).unwrap();
    let mut states = BTreeSet::new();
    for state in outcomes(&disk, "/a", CrashModel::Subset) {
        let state = state.unwrap();
        let first = (state[0], state[350]);
        assert!([(0, 0), (1, 1), (1, 2)].contains(&first), "{first:?}");
        states.insert((first, state[600]));
    }
    assert_eq!(states.len(), 6);
}

#[test]
fn stale_blocks_show_garbage_or_what_was_removed() {
    let disk = SimulatedDisk::new(1);
    disk.put("/old", &[9; 4096]);
    disk.remove_file(Path::new("/old")).unwrap();
    sync_dir(&disk, "/");
    let file = open(&disk, "/a");
    sync_dir(&disk, "/");
    file.write_at(&[1; 1024], 0).unwrap();
    let outcomes = outcomes(&disk, "/a", CrashModel::StaleBlocks);
    let starts = |byte: u8| outcomes.iter().flatten().filter(|state| state.starts_with(&[byte; 512])).count();
    assert!(starts(1) > 0, "kept");
    assert!(starts(9) > 0, "old");
    assert_eq!(starts(0), 0);
    let is_garbage = |state: &&Vec<u8>| !state.is_empty() && ![1, 9].contains(&state[300]);
    assert!(outcomes.iter().flatten().any(|state| is_garbage(&state)));
}

#[test]
fn a_truncation_can_be_lost() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", b"long");
    open(&disk, "/a").set_size(1).unwrap();
    let [cut, lost, half] = [&b"l"[..], b"long", b"l\0\0\0"].map(|state| Some(state.to_vec()));
    assert_eq!(outcomes(&disk, "/a", CrashModel::Ordered), BTreeSet::from([cut.clone(), lost.clone()]));
    // The end of the last block is cleared before the size changes.
    for model in [CrashModel::ZeroedTail, CrashModel::StaleBlocks, CrashModel::Subset] {
        let expected = BTreeSet::from([cut.clone(), lost.clone(), half.clone()]);
        assert_eq!(outcomes(&disk, "/a", model), expected, "{model:?}");
    }
}

#[test]
fn a_rename_is_whole_within_a_directory() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", b"old");
    disk.put("/a.tmp", b"new");
    disk.rename(Path::new("/a.tmp"), Path::new("/a")).unwrap();
    for model in CrashModel::ALL {
        for seed in 0..100 {
            let after = disk.crash(seed, model);
            let is_renamed = after.read("/a").unwrap() == b"new";
            assert_eq!(after.read("/a.tmp").is_none(), is_renamed, "{model:?}");
        }
    }
}

#[test]
fn a_rename_between_directories_is_never_lost_but_can_leave_both_names() {
    let disk = SimulatedDisk::new(1);
    disk.put("/from/a", b"x");
    disk.put("/to/b", b"y");
    disk.rename(Path::new("/from/a"), Path::new("/to/a")).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let after = disk.crash(seed, CrashModel::Subset);
        seen.insert((after.read("/from/a").is_some(), after.read("/to/a").is_some()));
        let after = disk.crash(seed, CrashModel::Ordered);
        assert_ne!(after.read("/from/a").is_some(), after.read("/to/a").is_some());
    }
    assert_eq!(seen, BTreeSet::from([(true, false), (true, true), (false, true)]));
    // The removal of the old name cannot be durable without the new one.
    sync_dir(&disk, "/from");
    assert_eq!(outcomes(&disk, "/to/a", CrashModel::Subset), BTreeSet::from([Some(b"x".to_vec())]));
    assert_eq!(outcomes(&disk, "/from/a", CrashModel::Subset), BTreeSet::from([None]));
}

#[test]
fn a_directory_whose_name_is_lost_takes_its_files_along() {
    let disk = SimulatedDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let file = open(&disk, "/d/a");
    file.sync().unwrap();
    sync_dir(&disk, "/d");
    assert_eq!(outcomes(&disk, "/d/a", CrashModel::Subset), BTreeSet::from([None, Some(Vec::new())]));
    sync_dir(&disk, "/");
    assert_eq!(outcomes(&disk, "/d/a", CrashModel::Subset), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn a_removal_can_be_lost_and_its_bytes_come_back() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", b"x");
    disk.remove_file(Path::new("/a")).unwrap();
    assert_eq!(disk.read("/a"), None);
    assert_eq!(outcomes(&disk, "/a", CrashModel::Subset), BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn stores_through_a_map_are_unsynced_writes() {
    let disk = SimulatedDisk::new(1);
    disk.put("/tail", &[0; 8192]);
    let file = open(&disk, "/tail");
    let mapping = file.map_shared(4096, 4096).unwrap();
    store(&mapping, 0, 1);
    store(&mapping, 1000, 2);
    let at = |bytes: &[u8]| (bytes[4096], bytes[5096]);
    let seen = |disk: &SimulatedDisk| -> BTreeSet<(u8, u8)> {
        outcomes(disk, "/tail", CrashModel::Subset).iter().flatten().map(|bytes| at(bytes)).collect()
    };
    assert_eq!(seen(&disk), BTreeSet::from([(0, 0), (0, 2), (1, 0), (1, 2)]));
    assert_eq!(at(&disk.kill(1).read("/tail").unwrap()), (1, 2));
    file.sync().unwrap();
    store(&mapping, 0, 3);
    assert_eq!(seen(&disk), BTreeSet::from([(1, 2), (3, 2)]));
    // Written by a call, seen in the map, and the other way round after the map is gone.
    file.write_at(&[4], 5096).unwrap();
    drop(mapping);
    assert_eq!(at(&disk.read("/tail").unwrap()), (3, 4));
    assert!(file.map_shared(4096, 8192).is_err());
}

#[test]
fn a_killed_process_leaves_all_it_wrote_unsynced_and_unlocked() {
    let disk = SimulatedDisk::new(1);
    let _lock = disk.lock(Path::new("/lock"), b"1").unwrap();
    sync_dir(&disk, "/");
    let file = open(&disk, "/a");
    file.write_at(b"x", 0).unwrap();
    disk.fail(FaultRule::new(FaultKind::InputOutput).forever());
    let after = disk.kill(1);
    assert_eq!(after.boot_id(), disk.boot_id());
    assert_eq!(after.read("/a").unwrap(), b"x");
    assert_eq!(after.open_handles(), 0);
    after.lock(Path::new("/lock"), b"2").unwrap();
    let unsynced = [&b""[..], b"\0", b"x"].map(|state| Some(state.to_vec()));
    let expected = unsynced.into_iter().chain([None]).collect();
    assert_eq!(outcomes(&after, "/a", CrashModel::Subset), expected);
    assert_eq!(disk.crash(1, CrashModel::Ordered).open_handles(), 0);
}

#[test]
fn a_restart_changes_the_boot_id_each_time() {
    let disk = SimulatedDisk::new(5);
    let once = disk.crash(5, CrashModel::Ordered);
    let twice = once.crash(5, CrashModel::Ordered);
    let ids: BTreeSet<_> = [&disk, &once, &twice].into_iter().map(Disk::boot_id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(disk.crash(5, CrashModel::Ordered).boot_id(), once.boot_id());
}

#[test]
fn the_same_seed_leaves_the_same_image() {
    let build = || {
        let disk = SimulatedDisk::new(3);
        let file = open(&disk, "/a");
        sync_dir(&disk, "/");
        file.write_at(&[5; 10_000], 0).unwrap();
        file.set_size(9000).unwrap();
        disk
    };
    for model in CrashModel::ALL {
        let images: BTreeSet<_> = (0..50).map(|seed| build().crash(seed, model).read("/a")).collect();
        let again: BTreeSet<_> = (0..50).map(|seed| build().crash(seed, model).read("/a")).collect();
        assert_eq!(images, again);
        assert!(images.len() > 2, "{model:?}");
    }
}

#[test]
fn a_failed_sync_loses_bytes_that_a_later_sync_does_not_bring_back() {
    let mut kept = BTreeSet::new();
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        disk.put("/a", &[0; 512]);
        let file = open(&disk, "/a");
        file.write_at(&[1; 512], 0).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(os::INPUT_OUTPUT));
        file.sync().unwrap();
        // The cache shows what the medium may lack.
        assert_eq!(disk.read("/a").unwrap(), [1; 512]);
        kept.insert(disk.crash(seed, CrashModel::Ordered).read("/a").unwrap()[0]);
        // Only writing it again helps.
        file.write_at(&[1; 512], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.crash(seed, CrashModel::Subset).read("/a").unwrap(), [1; 512]);
    }
    assert_eq!(kept, BTreeSet::from([0, 1]));
}

#[test]
fn rules_choose_calls_by_number_operation_and_path() {
    let disk = SimulatedDisk::new(1);
    let (a, b) = (open(&disk, "/a"), open(&disk, "/b"));
    disk.fail(FaultRule::new(FaultKind::StorageFull).path_containing("b").nth(2));
    a.write_at(b"1", 0).unwrap();
    b.write_at(b"1", 0).unwrap();
    a.write_at(b"2", 1).unwrap();
    // Reading cannot fail so, and is not counted.
    b.read_at(&mut [0], 0).unwrap();
    assert_eq!(b.write_at(b"2", 1).unwrap_err().kind(), ErrorKind::StorageFull);
    b.write_at(b"2", 1).unwrap();
    assert_eq!(disk.faults_injected(), 1);

    disk.fail(FaultRule::new(FaultKind::TooManyOpenFiles).forever());
    for _ in 0..2 {
        let refused = disk.open(Path::new("/a"), Open::Read).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(os::TOO_MANY_OPEN_FILES));
    }
    disk.clear_faults();
    disk.open(Path::new("/a"), Open::Read).unwrap();

    disk.fail(FaultRule::new(FaultKind::ShortWrite).on(Operation::Write));
    assert!(a.write_at(b"3456789012", 2).is_err());
    assert_eq!(disk.read("/a").unwrap(), b"1234567");
    let log = disk.log();
    assert_eq!(log.len() as u64, disk.calls());
    assert_eq!(log.last().unwrap().to_string(), format!("call {}: Write /a failed on purpose", disk.calls()));
}

#[test]
fn where_blocks_are_written_elsewhere_overwriting_needs_room_and_nothing_is_mapped_for_writing() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[1; 10_000]);
    let file = disk.open(Path::new("/a"), Open::Write).unwrap();
    assert!(file.overwrites_in_place());
    disk.limit_capacity(Some(10_000));
    file.write_at(b"in place", 0).unwrap();
    disk.copy_on_write();
    assert!(!file.overwrites_in_place());
    assert_eq!(file.write_at(b"elsewhere", 5000).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read("/a").unwrap()[5000..5009], [1; 9]);
    assert!(file.map_shared(0, 4096).is_err());
    disk.limit_capacity(Some(20_000));
    file.write_at(b"elsewhere", 5000).unwrap();
    assert_eq!(disk.used_bytes(), 10_000, "the block that it took the place of is free again");
    let after = [disk.kill(1), disk.crash(1, CrashModel::Ordered)];
    assert!(after.iter().all(|disk| !disk.open(Path::new("/a"), Open::Read).unwrap().overwrites_in_place()));
}

#[test]
fn a_word_is_written_as_a_whole_or_not_at_all() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[1; 16]);
    let file = disk.open(Path::new("/a"), Open::Write).unwrap();
    disk.fail(FaultRule::new(FaultKind::ShortWrite).on(Operation::Write).forever());
    assert!(file.write_at(&[2; 8], 8).is_err());
    assert_eq!(disk.read("/a").unwrap(), [1; 16]);
    assert!(file.write_at(&[2; 10], 0).is_err());
    assert_eq!(disk.read("/a").unwrap()[..10], [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
}

#[test]
fn a_stopped_machine_changes_no_more_and_is_seen_as_it_was() {
    let disk = SimulatedDisk::new(1);
    let file = open(&disk, "/a");
    sync_dir(&disk, "/");
    disk.stop_after(disk.calls() + 2);
    file.write_at(b"one", 0).unwrap();
    file.sync().unwrap();
    assert!(file.write_at(b" and twenty", 3).is_err());
    assert!(file.sync().is_err());
    assert!(file.set_size(0).is_err());
    assert!(disk.remove_file(Path::new("/a")).is_err());
    assert_eq!(file.size().unwrap(), 3);
    let killed: BTreeSet<_> = (0..100).map(|seed| disk.kill(seed).read("/a").unwrap()).collect();
    let beginnings: BTreeSet<_> = (3..=14).map(|bytes| b"one and twenty"[..bytes].to_vec()).collect();
    assert_eq!(killed, beginnings);
    for state in outcomes(&disk, "/a", CrashModel::Ordered) {
        assert!(state.unwrap().starts_with(b"one"));
    }
}

#[test]
fn a_full_disk_ends_writes_where_the_room_ends_and_removal_makes_room() {
    let disk = SimulatedDisk::new(1);
    disk.put("/other", &[0; 50]);
    disk.limit_capacity(Some(100));
    let file = open(&disk, "/a");
    file.write_at(&[1; 40], 0).unwrap();
    assert_eq!(file.write_at(&[2; 20], 40).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 50);
    file.write_at(&[3; 50], 0).unwrap();
    assert_eq!(file.set_size(51).unwrap_err().kind(), ErrorKind::StorageFull);
    let other = open(&disk, "/other");
    disk.remove_file(Path::new("/other")).unwrap();
    assert!(file.write_at(&[2; 20], 50).is_err());
    drop(other);
    file.write_at(&[2; 20], 50).unwrap();
    assert_eq!(disk.used_bytes(), 70);
}

#[test]
fn handles_are_limited_on_demand() {
    let disk = SimulatedDisk::new(1);
    disk.limit_handles(Some(2));
    let (first, _second) = (open(&disk, "/a"), open(&disk, "/b"));
    let refused = disk.open(Path::new("/c"), Open::CreateNew).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(os::TOO_MANY_OPEN_FILES));
    assert_eq!(disk.read("/c"), None);
    drop(first);
    open(&disk, "/c");
}

#[test]
fn damage_and_repairs_are_durable_and_count_as_no_call() {
    let disk = SimulatedDisk::new(1);
    disk.put("/d/a", b"aaa");
    disk.put("/d/b", b"b");
    assert!(disk.flip_bit("/d/a", 1, 0));
    assert!(!disk.flip_bit("/d/a", 3, 0));
    assert!(disk.delete("/d/b"));
    assert!(!disk.delete("/d/b"));
    let after = disk.crash(1, CrashModel::Subset);
    assert_eq!(after.read("/d/a").unwrap(), b"a`a");
    assert_eq!(after.files(), [(PathBuf::from("/d/a"), 3)]);
    assert_eq!(disk.calls(), 0);
    assert!(disk.delete("/d"));
    assert!(disk.files().is_empty());
}

#[test]
fn the_clock_moves_by_hand() {
    let disk = SimulatedDisk::new(1);
    let (wall, monotonic) = (disk.now_ms(), disk.monotonic());
    disk.advance(Duration::from_millis(1500));
    assert_eq!(disk.now_ms(), wall + 1500);
    disk.set_now_ms(5);
    assert_eq!(disk.now_ms(), 5);
    assert_eq!(disk.monotonic(), monotonic + Duration::from_millis(1500));
}

#[test]
fn printing_shows_sizes_and_no_contents() {
    let disk = SimulatedDisk::new(1);
    disk.put("/a", &[7; 100]);
    assert_eq!(format!("{disk:?}"), r#"SimulatedDisk after 0 calls {"/a": 100 bytes, 0 changes not synced}"#);
}
