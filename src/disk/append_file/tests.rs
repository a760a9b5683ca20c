use super::*;
use crate::disk::Disk;
use crate::disk::open_files::OpenFilesConfig;
use crate::disk::os::OsDisk;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, Operation, SimulatedDisk};
use crate::error::os;

fn os_files(read_mode: ReadMode) -> Arc<OpenFiles> {
    OpenFiles::new(Arc::new(OsDisk::new()), OpenFilesConfig { read_mode, ..OpenFilesConfig::default() })
}

fn simulated_files(disk: &SimulatedDisk) -> Arc<OpenFiles> {
    OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default())
}

fn open(files: &Arc<OpenFiles>, path: &Path, access: Open, extent: Extent) -> io::Result<AppendFile> {
    AppendFile::opened(files, path, access, extent, files.open(path, access)?)
}

fn extent(published_bytes: u64, capacity_bytes: u64) -> Extent {
    Extent { published_bytes, capacity_bytes }
}

#[test]
fn what_is_appended_is_seen_by_view_and_by_call() {
    let dir = tempfile::tempdir().unwrap();
    for read_mode in [ReadMode::Map, ReadMode::Copy] {
        let file = AppendFile::create(&os_files(read_mode), &dir.path().join(format!("{read_mode:?}")), 10).unwrap();
        assert_eq!(file.append(b"hello").unwrap(), 0);
        let hello = file.view(0..5).unwrap();
        assert_eq!(file.append(b" world").unwrap(), 5);
        assert_eq!(file.len(), 11);
        assert_eq!(*file.view(0..11).unwrap(), *b"hello world");
        assert_eq!(*hello, *b"hello");
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 5);
        assert_eq!(buffer, *b"world\0\0\0");
        assert_eq!(file.read_at(&mut buffer, 12).unwrap(), 0);
        file.sync().unwrap();
    }
}

#[test]
fn only_published_ranges_can_be_viewed() {
    let dir = tempfile::tempdir().unwrap();
    let file = AppendFile::create(&os_files(ReadMode::Map), &dir.path().join("log"), 100).unwrap();
    file.append(b"hello").unwrap();
    let (start, end) = (3, 2);
    for range in [0..6, 7..8, start..end, 0..u64::MAX] {
        assert_eq!(file.view(range).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(file.view(5..5).unwrap().is_empty());
}

#[test]
fn a_file_that_outgrows_its_map_is_mapped_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = AppendFile::create(&os_files(ReadMode::Map), &dir.path().join("log"), 100).unwrap();
    let mut views = Vec::new();
    for round in 0..40_u8 {
        let position = file.append(&[round; 1000]).unwrap();
        views.push(file.view(position..position + 1000).unwrap());
    }
    for (round, view) in views.iter().enumerate() {
        assert!(view.iter().all(|byte| usize::from(*byte) == round));
    }
}

#[test]
fn opening_needs_the_bytes_that_were_published() {
    let dir = tempfile::tempdir().unwrap();
    let (files, path) = (os_files(ReadMode::Map), dir.path().join("log"));
    AppendFile::create(&files, &path, 100).unwrap().append(b"hello").unwrap();
    let refused = open(&files, &path, Open::Write, extent(6, 6)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnexpectedEof);

    let reader = open(&files, &path, Open::Read, extent(4, 4)).unwrap();
    assert_eq!(*reader.view(0..4).unwrap(), *b"hell");
    let Err(AppendError::NotBegun(refused)) = reader.append(b"x") else {
        panic!("appended to a file opened for reading")
    };
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn cutting_is_for_files_that_were_never_mapped_and_rewriting_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (files, path) = (os_files(ReadMode::Map), dir.path().join("log"));
    AppendFile::create(&files, &path, 100).unwrap().append(&vec![7; 100_000]).unwrap();
    let file = open(&files, &path, Open::Write, extent(90_000, 0)).unwrap();
    file.rewrite(10..90_000).unwrap();
    assert_eq!(file.rewrite(0..90_001).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(file.truncate_to(100_001).unwrap_err().kind(), ErrorKind::InvalidInput);
    file.truncate_to(95_000).unwrap();
    assert_eq!(file.len(), 95_000);
    file.truncate_to(80_000).unwrap();
    assert_eq!(file.append(b"x").unwrap(), 80_000);
    assert_eq!(*file.view(79_999..80_001).unwrap(), [7, b'x']);
    assert_eq!(file.truncate_to(5).unwrap_err().kind(), ErrorKind::InvalidInput);
    file.rewrite(0..80_001).unwrap();
    assert_eq!(*file.view(79_999..80_001).unwrap(), [7, b'x']);
}

#[test]
fn a_removed_file_stays_readable_by_its_views_and_never_becomes_another() {
    let dir = tempfile::tempdir().unwrap();
    let config = OpenFilesConfig { handles_max: 1, maps_max: 1, read_mode: ReadMode::Map };
    let files = OpenFiles::new(Arc::new(OsDisk::new()), config);
    let file = AppendFile::create(&files, &dir.path().join("a"), 100).unwrap();
    file.append(b"old").unwrap();
    let view = file.view(0..3).unwrap();
    file.rename_to(&dir.path().join("b")).unwrap();
    file.remove().unwrap();
    assert_eq!(file.path(), None);
    // Takes the name, and with it the only handle and the only map.
    let other = AppendFile::create(&files, &dir.path().join("b"), 100).unwrap();
    other.append(b"new").unwrap();
    other.view(0..3).unwrap();
    assert_eq!(*view, *b"old");
    assert_eq!(file.view(0..3).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(file.remove().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_that_was_forgotten_is_not_opened_again() {
    let disk = SimulatedDisk::new(1);
    let config = OpenFilesConfig { handles_max: 1, ..OpenFilesConfig::default() };
    let files = OpenFiles::new(Arc::new(disk.clone()), config);
    let file = AppendFile::create(&files, Path::new("/a"), 4096).unwrap();
    file.append(b"old").unwrap();
    file.forget_name();
    disk.put("/a", b"new");
    assert_eq!(*file.view(0..3).unwrap(), *b"old");
    let _other = AppendFile::create(&files, Path::new("/b"), 4096).unwrap();
    assert_eq!(file.read_at(&mut [0; 3], 0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(*file.view(0..3).unwrap(), *b"old");
}

#[test]
fn a_file_that_was_closed_for_good_is_not_open_and_its_views_stay() {
    let disk = SimulatedDisk::new(1);
    let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
    let file = AppendFile::create(&files, Path::new("/a"), 4096).unwrap();
    file.append(b"old").unwrap();
    let view = file.view(0..3).unwrap();
    file.close_for_good();
    assert_eq!(disk.open_handles(), 0);
    disk.put("/a", b"new");
    assert_eq!(*view, *b"old");
    assert_eq!(file.view(0..3).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(file.append(b"x"), Err(AppendError::NotBegun(error)) if error.kind() == ErrorKind::NotFound));
}

#[test]
fn a_file_that_was_cut_behind_our_back_is_an_error_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    let (files, path) = (os_files(ReadMode::Map), dir.path().join("log"));
    let file = AppendFile::create(&files, &path, 100).unwrap();
    file.append(b"hello").unwrap();
    files.disk().open(&path, Open::Write).unwrap().set_size(2).unwrap();
    assert_eq!(file.view(0..5).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn readers_never_see_anything_but_what_was_appended() {
    let dir = tempfile::tempdir().unwrap();
    let file = AppendFile::create(&os_files(ReadMode::Map), &dir.path().join("log"), 100).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < 200_000 {
                    let end = file.len();
                    let view = file.view(seen..end).unwrap();
                    assert!((seen..).zip(view.iter()).all(|(position, byte)| u64::from(*byte) == position / 100 % 251));
                    seen = end;
                }
            });
        }
        for round in (0..251_u8).cycle().take(2000) {
            file.append(&[round; 100]).unwrap();
        }
    });
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was_and_appending_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(1);
    disk.put("/other", &[0; 60]);
    disk.limit_capacity(Some(100));
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    file.append(&[1; 30]).unwrap();
    let refused = file.append(&[2; 30]).unwrap_err();
    assert!(matches!(&refused, AppendError::Clean(error) if error.kind() == ErrorKind::StorageFull), "{refused:?}");
    assert_eq!((file.len(), disk.read("/log").unwrap().len()), (30, 30));
    disk.delete("/other");
    assert_eq!(file.append(&[3; 30]).unwrap(), 30);
    assert_eq!(*file.view(29..31).unwrap(), [1, 3]);
}

#[test]
fn a_write_that_cannot_be_cut_back_is_the_last_one() {
    let disk = SimulatedDisk::new(1);
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    file.append(b"kept").unwrap();
    disk.fail(FaultRule::new(FaultKind::ShortWrite));
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::SetSize));
    assert!(matches!(file.append(b"torn apart"), Err(AppendError::Torn(_))));
    assert!(matches!(file.append(b"more"), Err(AppendError::Torn(_))));
    assert_eq!(*file.view(0..4).unwrap(), *b"kept");
    assert_eq!(disk.read("/log").unwrap(), b"kepttorn ");
}

#[test]
fn what_there_was_no_room_to_cut_is_cut_before_the_next_append() {
    let disk = SimulatedDisk::new(1);
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    file.append(b"kept").unwrap();
    let set_size_finds_no_room = || disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::SetSize));
    disk.fail(FaultRule::new(FaultKind::ShortWrite));
    set_size_finds_no_room();
    assert!(matches!(file.append(b"refused it"), Err(AppendError::Clean(error)) if is_disk_full(&error)));
    assert_eq!((disk.read("/log").unwrap(), file.len()), (b"keptrefus".to_vec(), 4));
    set_size_finds_no_room();
    assert!(matches!(file.append(b"x"), Err(AppendError::NotBegun(error)) if is_disk_full(&error)));
    set_size_finds_no_room();
    assert!(matches!(file.settle(), Err(AppendError::NotBegun(error)) if is_disk_full(&error)));
    assert_eq!(disk.read("/log").unwrap(), b"keptrefus");
    file.sync().unwrap();
    assert_eq!(file.append(b"x").unwrap(), 4);
    assert_eq!(disk.read("/log").unwrap(), b"keptx", "nothing of what was refused lies behind");
    assert_eq!(disk.log().iter().filter(|call| call.operation == Operation::SetSize).count(), 4);
    file.append(b"y").unwrap();
    assert_eq!(disk.log().iter().filter(|call| call.operation == Operation::SetSize).count(), 4, "once is enough");
}

#[test]
fn what_cannot_be_cut_later_for_another_reason_is_torn() {
    let disk = SimulatedDisk::new(1);
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    disk.fail(FaultRule::new(FaultKind::ShortWrite));
    disk.fail(FaultRule::new(FaultKind::StorageFull).on(Operation::SetSize));
    assert!(matches!(file.append(b"refused"), Err(AppendError::Clean(_))));
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Size));
    assert!(matches!(file.settle(), Err(AppendError::Torn(_))), "it may have been cut, and nobody knows");
    assert!(matches!(file.append(b"more"), Err(AppendError::Torn(_))));
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = SimulatedDisk::new(1);
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    file.append(b"kept").unwrap();
    disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
    for _ in 0..2 {
        assert_eq!(file.sync().unwrap_err().into_inner().raw_os_error(), Some(os::INPUT_OUTPUT));
    }
    assert!(matches!(file.append(b"more"), Err(AppendError::Torn(_))));
    assert_eq!(disk.log().iter().filter(|call| call.operation == Operation::Sync).count(), 1);
    assert_eq!(*file.view(0..4).unwrap(), *b"kept");
}

#[test]
fn rewriting_brings_back_what_a_failed_sync_lost() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.append(&[1; 2000]).unwrap();
        disk.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Sync));
        file.sync().unwrap_err();
        let file = open(&simulated_files(&disk), Path::new("/log"), Open::Write, extent(2000, 0)).unwrap();
        file.rewrite(0..2000).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.crash(seed, CrashModel::Subset).read("/log").unwrap(), [1; 2000]);
    }
}

#[test]
fn where_mapping_fails_bytes_are_copied() {
    let disk = SimulatedDisk::new(1);
    let file = AppendFile::create(&simulated_files(&disk), Path::new("/log"), 4096).unwrap();
    file.append(b"hello").unwrap();
    disk.fail(FaultRule::new(FaultKind::OutOfMemory).forever());
    assert_eq!(*file.view(1..5).unwrap(), *b"ello");
    disk.clear_faults();
    assert_eq!(*file.view(0..5).unwrap(), *b"hello");
    disk.fail(FaultRule::new(FaultKind::InputOutput).forever());
    assert_eq!(*file.view(0..5).unwrap(), *b"hello");
}

#[test]
fn a_copied_map_does_not_stand_for_bytes_that_were_published_after_it() {
    let disk = SimulatedDisk::new(1);
    disk.put("/log", b"keptleft");
    let file = open(&simulated_files(&disk), Path::new("/log"), Open::Write, extent(4, 4096)).unwrap();
    assert_eq!(*file.view(0..4).unwrap(), *b"kept");
    file.append(b"more").unwrap();
    assert_eq!(*file.view(0..8).unwrap(), *b"keptmore");
}

/// The one handle that there may be goes to another file meanwhile, as it does where many files are open.
#[test]
#[cfg(unix)]
fn a_file_that_got_a_second_name_goes_on_in_a_copy_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    for read_mode in [ReadMode::Map, ReadMode::Copy] {
        let config = OpenFilesConfig { handles_max: 1, read_mode, ..OpenFilesConfig::default() };
        let files = OpenFiles::new(Arc::new(OsDisk::new()), config);
        let at = |name: &str| dir.path().join(format!("{read_mode:?}-{name}"));
        let file = AppendFile::create(&files, &at("log"), 8192).unwrap();
        file.append(b"hello").unwrap();
        let hello = file.view(0..5).unwrap();
        let other = AppendFile::create(&files, &at("other"), 10).unwrap();
        other.append(b"x").unwrap();
        std::fs::hard_link(at("log"), at("backup")).unwrap();
        assert_eq!(*file.view(0..5).unwrap(), *b"hello", "reading copies nothing");
        file.append(b" world").unwrap();
        assert_eq!(*file.view(0..11).unwrap(), *b"hello world");
        assert_eq!(*hello, *b"hello", "of the file as it was");
        file.rewrite(0..11).unwrap();
        file.sync().unwrap();
        let read = ["backup", "log"].map(|name| std::fs::read(at(name)).unwrap());
        assert_eq!(read, [b"hello".to_vec(), b"hello world".to_vec()]);
    }
}

/// By its other name another broker appends to the file.
#[test]
fn a_copy_ends_where_what_is_published_ends() {
    let disk = SimulatedDisk::new(1);
    disk.put("/log", b"hello, and what another one appended");
    disk.put_link("/log", "/backup");
    let file = open(&simulated_files(&disk), Path::new("/log"), Open::Write, extent(5, 100)).unwrap();
    file.truncate_to(5).unwrap();
    assert_eq!(disk.read("/log").unwrap(), b"hello");
    assert_eq!(disk.read("/backup").unwrap(), b"hello, and what another one appended");
}

#[test]
fn an_append_that_could_not_copy_the_file_is_made_by_the_next_one_and_survives() {
    for kind in [FaultKind::StorageFull, FaultKind::TooManyOpenFiles, FaultKind::InputOutput] {
        for nth in 1.. {
            let disk = SimulatedDisk::new(nth);
            disk.put("/log", b"hello");
            disk.put_link("/log", "/backup");
            let file = open(&simulated_files(&disk), Path::new("/log"), Open::Write, extent(5, 100)).unwrap();
            disk.fail(FaultRule::new(kind).nth(nth));
            let first = file.append(b" world");
            assert!(!matches!(first, Err(AppendError::Torn(_))), "{kind:?} {nth}: {first:?}");
            if disk.faults_injected() == 0 {
                break;
            }
            let appended = if first.is_ok() { file.append(b"!") } else { file.append(b" world") };
            appended.unwrap();
            file.sync().unwrap();
            let image = disk.crash(nth, CrashModel::Subset);
            let found = image.read("/log").unwrap();
            assert!(found.starts_with(b"hello world") && found.len() as u64 == file.len(), "{kind:?} {nth}: {found:?}");
            assert_eq!(image.read("/backup").unwrap(), b"hello");
        }
    }
}

/// What a file has on the disk, in bytes.
#[cfg(target_os = "linux")]
fn allocated(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// Room is taken ahead, and the size is what was written; what is left over goes when the file is settled, or when it is found.
#[cfg(target_os = "linux")]
#[test]
fn room_that_was_taken_ahead_is_given_back() {
    let (dir, files) = (tempfile::tempdir().unwrap(), os_files(ReadMode::Map));
    for is_settled in [true, false] {
        let path = dir.path().join(format!("{is_settled}.log"));
        let file = AppendFile::create(&files, &path, 64 << 20).unwrap();
        file.reserve_ahead();
        for _ in 0..10 {
            file.append(&vec![7; 100_000]).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1_000_000);
        let has_room = file.reserved_bytes.load(Ordering::Relaxed);
        // Where there is no such thing, it was refused.
        assert!((1_000_000..20_000_000).contains(&has_room) == (1_200_000 < allocated(&path)), "{has_room}");
        if is_settled {
            file.settle().unwrap();
        } else {
            drop(file);
            let extent = Extent { published_bytes: 1_000_000, capacity_bytes: 64 << 20 };
            let handle = files.open(&path, Open::Write).unwrap();
            AppendFile::opened(&files, &path, Open::Write, extent, handle).unwrap().give_back_found_room();
        }
        assert!(allocated(&path) <= 1_100_000, "{}", allocated(&path));
        assert!(std::fs::read(&path).unwrap() == vec![7; 1_000_000]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn small_files_and_those_that_do_not_want_it_take_no_room_ahead() {
    let (dir, files) = (tempfile::tempdir().unwrap(), os_files(ReadMode::Map));
    for (name, wants, bytes) in [("small", true, 100_000), ("unwanted", false, 1_000_000)] {
        let file = AppendFile::create(&files, &dir.path().join(name), 64 << 20).unwrap();
        if wants {
            file.reserve_ahead();
        }
        file.append(&vec![7; bytes]).unwrap();
        assert!(allocated(&dir.path().join(name)) <= bytes as u64 + 8192);
    }
}

/// A file that got a second name since it was written to, and was closed meanwhile.
#[test]
fn no_file_is_copied_to_give_back_its_room() {
    let (dir, files) = (tempfile::tempdir().unwrap(), os_files(ReadMode::Map));
    let [path, second] = ["log", "second"].map(|name| dir.path().join(name));
    let file = AppendFile::create(&files, &path, 64 << 20).unwrap();
    file.reserve_ahead();
    file.append(&vec![7; 1_000_000]).unwrap();
    file.handle.clear();
    std::fs::hard_link(&path, &second).unwrap();
    file.settle().unwrap();
    std::fs::OpenOptions::new().append(true).open(&second).unwrap().set_len(1).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1, "it is the same file still");
}
