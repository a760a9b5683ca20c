use super::*;
use crate::disk::open_files::OpenFilesConfig;
use crate::disk::os::OsDisk;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, SimulatedDisk};

/// A disk with `/d/file` and its second name, and its open files.
fn linked(content: &[u8]) -> (SimulatedDisk, Arc<OpenFiles>) {
    let disk = SimulatedDisk::new(1);
    disk.put("/d/file", content);
    disk.put_link("/d/file", "/backup/file");
    let files = OpenFiles::new(Arc::new(disk.clone()), OpenFilesConfig::default());
    (disk, files)
}

fn open_to_write(files: &OpenFiles, wanted_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    open(files, Path::new("/d/file"), Open::Write, wanted_bytes)
}

#[test]
fn the_copy_has_what_is_wanted_and_the_other_name_keeps_its_bytes() {
    let content = vec![7; 2 * CHUNK_BYTES + 3];
    for (wanted_bytes, copied) in [(u64::MAX, content.len()), (5, 5), (0, 0)] {
        let (disk, files) = linked(&content);
        let own = open_to_write(&files, wanted_bytes).unwrap();
        own.write_at(b"new", copied as u64).unwrap();
        assert_eq!(disk.read("/d/file").unwrap(), [&content[..copied], b"new"].concat());
        assert_eq!(disk.read("/backup/file").unwrap(), content);
        assert!(
            !open_to_write(&files, 0).unwrap().is_shared(),
            "it has one name from then on, and is not copied again"
        );
        assert_eq!(disk.files().len(), 2, "{:?}", disk.files());
    }
}

#[test]
fn a_crash_at_any_call_leaves_the_name_with_its_bytes_or_with_what_was_written_then() {
    let (disk, files) = linked(b"before");
    disk.record_stops();
    open_to_write(&files, u64::MAX).unwrap().write_at(b"after ", 0).unwrap();
    for (calls, stopped) in disk.take_stops() {
        for seed in 0..50 {
            for image in [stopped.kill(seed), stopped.crash(seed, CrashModel::Subset)] {
                assert_eq!(image.read("/backup/file").unwrap(), b"before", "call {calls}");
                let found = image.read("/d/file").unwrap();
                // A write of a few bytes may be torn by a kill.
                let is_beginning = (0..=6).any(|n| found[..n] == b"after "[..n] && found[n..] == b"before"[n..]);
                assert!(is_beginning, "call {calls}: {found:?}");
            }
        }
    }
}

#[test]
fn a_call_that_fails_harms_nothing_and_it_can_be_tried_again() {
    for kind in [FaultKind::InputOutput, FaultKind::StorageFull, FaultKind::ShortWrite, FaultKind::TooManyOpenFiles] {
        for nth in 1.. {
            let (disk, files) = linked(b"before");
            disk.fail(FaultRule::new(kind).nth(nth));
            let failed = open_to_write(&files, u64::MAX).is_err();
            if disk.faults_injected() == 0 {
                break;
            }
            disk.clear_faults();
            assert_eq!(disk.read("/d/file").unwrap(), b"before", "{kind:?} {nth}");
            open_to_write(&files, u64::MAX).unwrap().write_at(b"after ", 0).unwrap();
            assert_eq!(disk.read("/d/file").unwrap(), b"after ", "{kind:?} {nth} {failed}");
            assert_eq!(disk.read("/backup/file").unwrap(), b"before", "{kind:?} {nth}");
        }
    }
}

#[test]
#[cfg(unix)]
fn a_link_that_has_the_copy_s_name_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["file", "victim"] {
        std::fs::write(at(name), name).unwrap();
    }
    std::fs::hard_link(at("file"), at("backup")).unwrap();
    std::os::unix::fs::symlink(at("victim"), at("file.own")).unwrap();
    let files = OpenFiles::new(Arc::new(OsDisk::new()), OpenFilesConfig::default());
    open(&files, &at("file"), Open::CreateOrWrite, u64::MAX).unwrap().write_at(b"new!", 0).unwrap();
    let read = ["file", "victim", "backup"].map(|name| std::fs::read_to_string(at(name)).unwrap());
    assert_eq!(read, ["new!", "victim", "file"]);
    assert!(!at("file.own").exists());
}
