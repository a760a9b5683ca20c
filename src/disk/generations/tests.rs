use super::*;
use crate::disk::os::OsDisk;
use crate::disk::simulated::{CrashModel, FaultKind, FaultRule, SimulatedDisk};

const KIND: Kind = Kind { magic: *b"ottla\0te", oldest: 2, version: 3 };

struct Fixture {
    disk: OsDisk,
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        Fixture { disk: OsDisk::new(), path: dir.path().join("catalog"), _dir: dir }
    }

    fn store(&self, payload: &[u8]) -> u64 {
        store(&self.disk, &self.path, KIND, payload).unwrap()
    }

    fn load(&self) -> Result<Option<Loaded>> {
        load(&self.disk, &self.path, KIND)
    }

    fn bytes(&self) -> Vec<u8> {
        read_file(&self.disk, &self.path).unwrap().unwrap()
    }

    fn put(&self, bytes: &[u8]) {
        let file = self.disk.open(&self.path, Open::CreateOrWrite).unwrap();
        file.set_size(0).unwrap();
        file.write_at(bytes, 0).unwrap();
    }
}

fn loaded(payload: &[u8], generation: u64, fell_back: bool) -> Loaded {
    Loaded { payload: payload.to_vec(), version: 3, generation, fell_back }
}

#[test]
fn the_bytes_are_as_the_table_says() {
    let fixture = Fixture::new();
    fixture.store(b"");
    fixture.store(b"hi");
    let mut expected = b"ottla\0te\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\0".to_vec();
    expected.extend_from_slice(&0xf238_8c19_u32.to_be_bytes());
    expected.extend_from_slice(b"ottla\0te\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\x02hi");
    expected.extend_from_slice(&0x95f1_7074_u32.to_be_bytes());
    assert_eq!(fixture.bytes(), expected);
}

#[test]
fn the_last_store_is_what_is_loaded() {
    let fixture = Fixture::new();
    assert_eq!(fixture.load().unwrap(), None);
    for (generation, payload) in (1..).zip([&b"a"[..], b"", b"much longer than before", b"b"]) {
        assert_eq!(fixture.store(payload), generation);
        assert_eq!(fixture.load().unwrap(), Some(loaded(payload, generation, false)));
    }
    assert_eq!(fixture.disk.list(fixture.path.parent().unwrap()).unwrap().len(), 1);
}

#[test]
fn any_flipped_bit_leaves_one_of_two_generations() {
    let fixture = Fixture::new();
    fixture.store(b"older");
    fixture.store(b"newer");
    let good = fixture.bytes();
    let first_frame_bytes = good.len() / 2;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fixture.put(&bytes);
        let expected = if bit / 8 < first_frame_bytes { loaded(b"newer", 2, false) } else { loaded(b"older", 1, true) };
        assert_eq!(fixture.load().unwrap(), Some(expected), "bit {bit}");
    }
}

#[test]
fn a_file_that_was_cut_falls_back_or_is_corrupt_but_is_never_taken_as_whole() {
    let fixture = Fixture::new();
    fixture.store(b"older");
    fixture.store(b"newer");
    let good = fixture.bytes();
    for length in 0..good.len() {
        fixture.put(&good[..length]);
        if length < good.len() / 2 {
            assert!(matches!(fixture.load(), Err(Error::Corrupt(_))), "{length} bytes");
            assert!(store(&fixture.disk, &fixture.path, KIND, b"x").is_err());
            assert_eq!(fixture.bytes().len(), length);
        } else {
            assert_eq!(fixture.load().unwrap(), Some(loaded(b"older", 1, true)), "{length} bytes");
        }
    }
}

#[test]
fn a_store_after_a_fall_back_makes_the_file_whole_again() {
    let fixture = Fixture::new();
    fixture.store(b"older");
    fixture.store(b"newer");
    let mut bytes = fixture.bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fixture.put(&bytes);
    fixture.store(b"newest");
    assert_eq!(fixture.load().unwrap(), Some(loaded(b"newest", 2, false)));
}

#[test]
fn lengths_and_sizes_that_lie_are_corrupt() {
    let fixture = Fixture::new();
    for payload_bytes in [1, 7, 0x7fff_ffff, u32::MAX] {
        let mut frame = encode(KIND.magic, 3, 1, b"");
        frame[PAYLOAD_BYTES..PAYLOAD].copy_from_slice(&payload_bytes.to_be_bytes());
        fixture.put(&frame);
        assert!(matches!(fixture.load(), Err(Error::Corrupt(_))));
    }
    fixture.put(&KIND.magic.repeat(100_000));
    assert!(matches!(fixture.load(), Err(Error::UnsupportedVersion { .. } | Error::Corrupt(_))));
    fixture.disk.open(&fixture.path, Open::Write).unwrap().set_size(1 << 40).unwrap();
    assert!(matches!(fixture.load(), Err(Error::Corrupt(_))));
}

#[test]
fn a_newer_version_is_refused_untouched_and_an_older_one_read() {
    let fixture = Fixture::new();
    fixture.store(b"payload");
    let before = fixture.bytes();
    let older = Kind { version: 2, ..KIND };
    for result in
        [load(&fixture.disk, &fixture.path, older).map(|_| 0), store(&fixture.disk, &fixture.path, older, b"x")]
    {
        assert!(matches!(result, Err(Error::UnsupportedVersion { found: 3, supported: 2, .. })));
    }
    // A layout of the future, with its checksum elsewhere.
    fixture.put(&before[..before.len() / 2 - 1]);
    let result = load(&fixture.disk, &fixture.path, older);
    assert!(matches!(result, Err(Error::UnsupportedVersion { found: 3, .. })));

    fixture.put(&before);
    let newer = Kind { version: 4, ..KIND };
    assert_eq!(load(&fixture.disk, &fixture.path, newer).unwrap().unwrap().version, 3);
    store(&fixture.disk, &fixture.path, newer, b"x").unwrap();
    assert_eq!(load(&fixture.disk, &fixture.path, newer).unwrap().unwrap().version, 4);
}

#[test]
fn another_kind_of_file_is_corrupt() {
    let fixture = Fixture::new();
    fixture.store(b"payload");
    let other = Kind { magic: *b"ottla\0xx", ..KIND };
    assert!(matches!(load(&fixture.disk, &fixture.path, other), Err(Error::Corrupt(_))));
}

#[test]
fn a_payload_that_is_too_large_changes_nothing() {
    let fixture = Fixture::new();
    fixture.store(b"payload");
    let too_large = vec![0; PAYLOAD_BYTES_MAX + 1];
    assert!(store(&fixture.disk, &fixture.path, KIND, &too_large).is_err());
    fixture.store(&too_large[1..]);
    assert_eq!(fixture.load().unwrap().unwrap().payload.len(), PAYLOAD_BYTES_MAX);
}

/// A machine with the file in its second generation, "old".
fn machine_with_old() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    for payload in [&b"older"[..], b"old"] {
        store(&disk, Path::new("/catalog"), KIND, payload).unwrap();
    }
    disk
}

fn load_from(disk: &SimulatedDisk) -> Vec<u8> {
    let loaded = load(disk, Path::new("/catalog"), KIND).unwrap().unwrap();
    assert!(!loaded.fell_back);
    loaded.payload
}

#[test]
fn a_store_cut_short_at_any_call_leaves_the_old_file_or_the_new_one() {
    let calls_before = machine_with_old().calls();
    for calls in 0.. {
        let disk = machine_with_old();
        disk.stop_after(calls_before + calls);
        let is_stored = store(&disk, Path::new("/catalog"), KIND, &[7; 2000]).is_ok();
        let expect = |after: &SimulatedDisk| {
            let payload = load_from(after);
            assert!(payload == [7; 2000] || (!is_stored && payload == b"old"), "after {calls} calls");
        };
        for seed in 0..20 {
            expect(&disk.kill(seed));
            for model in CrashModel::ALL {
                let after = disk.crash(seed, model);
                expect(&after);
                store(&after, Path::new("/catalog"), KIND, b"next").unwrap();
                assert_eq!(load_from(&after.crash(seed, CrashModel::Subset)), b"next");
            }
        }
        if is_stored {
            return;
        }
    }
}

#[test]
fn a_store_that_fails_leaves_the_old_file_or_the_new_one_and_can_be_repeated() {
    for kind in [FaultKind::InputOutput, FaultKind::StorageFull, FaultKind::ShortWrite, FaultKind::TooManyOpenFiles] {
        for nth in 1.. {
            let disk = machine_with_old();
            disk.fail(FaultRule::new(kind).nth(nth));
            let result = store(&disk, Path::new("/catalog"), KIND, b"new");
            if disk.faults_injected() == 0 {
                assert!(result.is_ok());
                break;
            }
            let payload = load_from(&disk);
            assert!(payload == b"new" || (result.is_err() && payload == b"old"), "{kind:?} {nth}");
            assert_eq!(disk.files().len(), 1, "{kind:?} {nth}");
            store(&disk, Path::new("/catalog"), KIND, b"next").unwrap();
            assert_eq!(load_from(&disk.crash(nth, CrashModel::Subset)), b"next");
        }
    }
}
