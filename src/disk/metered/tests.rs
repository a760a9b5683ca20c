use super::*;
use crate::disk::os::OsDisk;
use crate::disk::own_copy;
use crate::disk::simulated::{FaultKind, FaultRule, Operation, SimulatedDisk};
use crate::disk::usage::allocated_below;

fn metered(disk: Arc<dyn Disk>, root: &Path) -> (Arc<dyn Disk>, Arc<Meter>) {
    let disk = MeteredDisk::begin(disk, root, |path| path.to_string_lossy().contains("__")).unwrap();
    let meter = Arc::clone(disk.meter());
    (Arc::new(disk), meter)
}

fn simulated() -> (SimulatedDisk, Arc<dyn Disk>, Arc<Meter>) {
    let disk = SimulatedDisk::new(1);
    disk.put("/data/orders-0/0.log", &[7; 5000]);
    disk.put("/data/__offsets-0/0.log", &[7; 1]);
    disk.put("/elsewhere/file", &[7; 9000]);
    let (metered, meter) = metered(Arc::new(disk.clone()), Path::new("/data"));
    (disk, metered, meter)
}

#[test]
fn what_is_there_is_counted_and_what_is_elsewhere_is_not() {
    let (_, disk, meter) = simulated();
    assert_eq!((meter.used_bytes(), meter.apart_bytes()), (3 * 4096, 4096));
    disk.open(Path::new("/elsewhere/file"), Open::Write).unwrap().write_at(&[1; 9000], 9000).unwrap();
    assert_eq!(meter.used_bytes(), 3 * 4096);
}

/// Every way in which a file grows, shrinks, moves or goes, on a machine in memory and on this one.
#[test]
fn the_sum_is_that_of_the_files_after_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let simulated = SimulatedDisk::new(1);
    let simulated_root = Path::new("/data");
    simulated.put("/data/first", b"1");
    let on_os = metered(Arc::new(OsDisk::new()), dir.path());
    let in_memory = metered(Arc::new(simulated.clone()), simulated_root);
    for ((disk, meter), root) in [(on_os, dir.path()), (in_memory, simulated_root)] {
        let path = |name: &str| root.join(name);
        let check = |what: &str| {
            let found = allocated_below(&*disk, root).unwrap();
            assert_eq!(meter.used_bytes(), found, "{what} in {}", root.display());
        };
        disk.create_dir(&path("orders-0")).unwrap();
        let file = disk.open(&path("orders-0/a"), Open::CreateNew).unwrap();
        check("an empty file");
        file.write_at(&[1; 10_000], 0).unwrap();
        check("a write");
        file.write_at(&[2; 10_000], 0).unwrap();
        file.write_at(&[2; 1], 20_000).unwrap();
        check("a hole");
        file.write_at(&[2; 4096], 12_288).unwrap();
        check("a write into the hole");
        file.write_zeros(70_000, 30_000).unwrap();
        file.sync().unwrap();
        check("a sync");
        file.set_size(100).unwrap();
        check("a cut");
        file.write_at(&[3; 9000], 100).unwrap();
        check("growing again");
        let other = disk.open(&path("b"), Open::CreateOrWrite).unwrap();
        other.write_at(&vec![4; 50_000], 0).unwrap();
        disk.rename(&path("b"), &path("orders-0/a")).unwrap();
        check("a rename over another file");
        file.write_at(&vec![5; 50_000], 0).unwrap();
        check("a write to a file without a name");
        disk.rename(&path("orders-0"), &path("orders-0.stray")).unwrap();
        check("a directory that was renamed");
        other.write_at(&vec![6; 50_000], 50_000).unwrap();
        check("a write to a file in it");
        let moved = path("orders-0.stray/a");
        disk.hard_link(&moved, &path("linked")).unwrap();
        check("a second name");
        disk.remove_file(&moved).unwrap();
        check("the first name is gone");
        drop(disk.copy_file(&path("linked"), &path("copy")).unwrap());
        check("a copy");
        let shared = disk.open(&path("linked"), Open::Read).unwrap();
        own_copy::replace(&*disk, &path("linked"), &*shared, 60_000).unwrap();
        check("a copy of one's own");
        drop((disk.lock(&path("lock"), b"1").unwrap(), shared, other));
        for name in ["linked", "copy", "lock"] {
            disk.remove_file(&path(name)).unwrap();
            check(name);
        }
        let again = MeteredDisk::begin(Arc::clone(&disk), root, |_| false).unwrap();
        assert_eq!(again.meter().used_bytes(), meter.used_bytes());
    }
}

#[test]
fn names_of_one_file_count_once_and_until_the_last_one_goes() {
    let disk = SimulatedDisk::new(1);
    disk.put("/data/a", &[1; 5000]);
    disk.put_link("/data/a", "/data/b");
    disk.put_link("/data/a", "/elsewhere/c");
    let (disk, meter) = metered(Arc::new(disk), Path::new("/data"));
    assert_eq!(meter.used_bytes(), 8192);
    disk.rename(Path::new("/data/a"), Path::new("/data/b")).unwrap();
    assert_eq!(meter.used_bytes(), 8192, "the system leaves both names");
    disk.remove_file(Path::new("/data/a")).unwrap();
    assert_eq!(meter.used_bytes(), 8192);
    disk.remove_file(Path::new("/data/b")).unwrap();
    assert_eq!(meter.used_bytes(), 0);
}

#[test]
fn a_call_that_fails_leaves_the_sum_right() {
    let (simulated, disk, meter) = simulated();
    let path = Path::new("/data/file");
    let file = disk.open(path, Open::CreateNew).unwrap();
    simulated.fail(FaultRule::new(FaultKind::ShortWrite).on(Operation::Write));
    assert!(file.write_at(&vec![1; 20_000], 0).is_err());
    assert_eq!(meter.used_bytes(), simulated.allocated_bytes("/data"));
    // A file that cannot be asked is taken to have what was written.
    simulated.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::Size));
    file.write_at(&vec![1; 20_000], 0).unwrap();
    assert_eq!(meter.used_bytes(), simulated.allocated_bytes("/data"));
    simulated.fail(FaultRule::new(FaultKind::InputOutput).on(Operation::RemoveFile));
    assert!(disk.remove_file(path).is_err());
    assert_eq!(meter.used_bytes(), simulated.allocated_bytes("/data"));
    simulated.limit_capacity(Some(simulated.used_bytes()));
    assert!(file.write_at(&vec![1; 20_000], 10_000).is_err());
    assert_eq!(meter.used_bytes(), simulated.allocated_bytes("/data"));
}

#[test]
fn a_tail_grows_up_to_the_ceiling_and_what_it_was_refused_is_told() {
    let (simulated, disk, meter) = simulated();
    let tail = disk.open(Path::new("/data/tail"), Open::CreateNew).unwrap();
    meter.set_ceiling(meter.used_bytes() + 8192);
    tail.write_zeros(8192, 0).unwrap();
    let before = simulated.calls();
    assert_eq!(tail.write_zeros(4096, 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((simulated.calls(), meter.take_refused_bytes(), meter.refused_bytes()), (before, 4096, 0));
    // What it has may be written again.
    tail.write_zeros(8192, 0).unwrap();
    meter.set_ceiling(u64::MAX);
    tail.write_zeros(4096, 8192).unwrap();
}
