use super::*;
use crate::disk::append_file::AppendFile;
use crate::disk::os::OsDisk;

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
