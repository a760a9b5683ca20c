use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::disk::os::OsDisk;
use crate::disk::simulated::SimulatedDisk;

/// A disk with a directory and a file of 10,000 bytes, and what lies over it.
fn disks() -> (SimulatedDisk, OverlayDisk) {
    let below = SimulatedDisk::new(1);
    below.put("/d/a", &bytes());
    (below.clone(), OverlayDisk::new(Arc::new(below)))
}

fn bytes() -> Vec<u8> {
    (0..=250).cycle().take(10_000).collect()
}

fn read(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(Path::new(path), Open::Read)?;
    let mut bytes = vec![0; usize::try_from(file.size()?).unwrap()];
    let read = file.read_at(&mut bytes, 0)?;
    assert_eq!(read, bytes.len());
    Ok(bytes)
}

fn names(disk: &dyn Disk, dir: &str) -> Vec<String> {
    let mut names: Vec<_> =
        disk.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn is_absent<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::NotFound)
}

#[test]
fn what_is_written_shows_here_and_nowhere_else() {
    let (below, disk) = disks();
    let reader = disk.open(Path::new("/d/a"), Open::Read).unwrap();
    let file = disk.open(Path::new("/d/a"), Open::Write).unwrap();
    file.write_at(b"new", 5000).unwrap();
    let mut expected = bytes();
    expected[5000..5003].copy_from_slice(b"new");
    assert_eq!(read(&disk, "/d/a").unwrap(), expected);
    let mut seen = [0; 3];
    reader.read_at(&mut seen, 5000).unwrap();
    assert_eq!((&seen, reader.size_when_opened()), (b"new", 10_000));
    assert_eq!(below.read("/d/a").unwrap(), bytes());
    assert_eq!(reader.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn names_come_and_go_here_and_nowhere_else() {
    let (below, disk) = disks();
    let path = Path::new;
    disk.create_dir(path("/d/sub")).unwrap();
    disk.open(path("/d/sub/b"), Open::CreateNew).unwrap().write_at(b"b", 0).unwrap();
    disk.rename(path("/d/a"), path("/d/sub/a")).unwrap();
    assert_eq!((names(&disk, "/d"), names(&disk, "/d/sub")), (vec!["sub".into()], vec!["a".into(), "b".into()]));
    assert_eq!(read(&disk, "/d/sub/a").unwrap(), bytes());
    assert!(is_absent(read(&disk, "/d/a")));
    assert!(disk.remove_dir(path("/d/sub")).is_err(), "it is not empty");
    disk.rename(path("/d"), path("/e")).unwrap();
    assert_eq!(read(&disk, "/e/sub/b").unwrap(), b"b");
    assert!(is_absent(disk.list(path("/d"))) && is_absent(disk.open(path("/d/a"), Open::Write)));
    disk.remove_file(path("/e/sub/a")).unwrap();
    assert!(is_absent(disk.remove_file(path("/e/sub/a"))));
    disk.open(path("/e/sub/b"), Open::CreateOrWrite).unwrap();
    assert!(disk.open(path("/e/sub/b"), Open::CreateNew).is_err());
    assert!(is_absent(disk.open(path("/none/b"), Open::CreateNew)));
    disk.create_dir(path("/d")).unwrap();
    assert!(names(&disk, "/d").is_empty(), "a new one");
    assert_eq!(names(&below, "/d"), ["a"]);
}

#[test]
fn a_file_with_a_second_name_is_not_written_here_either() {
    let (below, disk) = disks();
    below.hard_link(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    let file = disk.open(Path::new("/d/a"), Open::Write).unwrap();
    assert!(file.is_shared() && file.write_at(b"x", 0).is_err());
}

#[test]
fn the_lock_is_that_of_the_disk_below_which_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, below) = (dir.path().join("lock"), Arc::new(OsDisk::new()));
    let disk = OverlayDisk::new(Arc::<OsDisk>::clone(&below));
    drop(disk.lock(&path, b"here").unwrap());
    assert!(!path.exists());
    drop(below.lock(&path, b"before").unwrap());
    let disk = OverlayDisk::new(Arc::<OsDisk>::clone(&below));
    let held = disk.lock(&path, b"here").unwrap();
    assert_eq!(below.lock(&path, b"there").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(
        (read(&disk, path.to_str().unwrap()).unwrap(), std::fs::read(&path).unwrap()),
        (b"here".into(), b"before".into())
    );
    drop(held);
    let _held = below.lock(&path, b"there").unwrap();
    assert_eq!(disk.lock(&path, b"here").unwrap_err().kind(), ErrorKind::WouldBlock);
}

proptest! {
    /// Against a plain vector.
    #[test]
    fn writes_and_cuts_are_those_of_a_file(
        calls in prop::collection::vec((0..20_000_u64, 0..9000_usize, any::<bool>(), any::<u8>()), 1..20),
    ) {
        let (_, disk) = disks();
        let file = disk.open(Path::new("/d/a"), Open::Write).unwrap();
        let mut model = bytes();
        for (position, count, is_cut, byte) in calls {
            let at = usize::try_from(position).unwrap();
            if is_cut {
                file.set_size(position).unwrap();
                model.resize(at, 0);
            } else {
                file.write_at(&vec![byte; count], position).unwrap();
                if 0 < count {
                    model.resize(model.len().max(at + count), 0);
                    model[at..at + count].fill(byte);
                }
            }
            prop_assert_eq!(file.size().unwrap(), model.len() as u64);
            let mut read = vec![1; model.len() + 5];
            prop_assert_eq!(file.read_at(&mut read, 0).unwrap(), model.len());
            prop_assert!(read[..model.len()] == model[..]);
            let from = model.len().min(at / 2);
            let mut part = vec![1; 5000];
            let count = file.read_at(&mut part, from as u64).unwrap();
            prop_assert!(part[..count] == model[from..model.len().min(from + 5000)]);
        }
    }
}
