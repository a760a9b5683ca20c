//! What the corpus began with: Kafka's own bytes, and files of a data directory. Written anew with
//! `OTTLA_FUZZ_SEEDS=<dir> cargo test --all-features --test fuzz -- --ignored seeds`.

use std::path::Path;

use ottla::{Broker, RemoteReplica, ReplicaOptions, ReplicaStream, TopicConfig};
use serde_json::Value;

use crate::targets::directory::golden;

struct Seeds(std::path::PathBuf);

impl Seeds {
    fn put(&self, target: &str, name: &str, pieces: &[&[u8]]) {
        let dir = self.0.join(target);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), pieces.concat()).unwrap();
    }
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Where the records of a batch begin.
const HEADER_BYTES: usize = 61;

#[test]
#[ignore = "writes files"]
fn seeds() {
    let Ok(dir) = std::env::var("OTTLA_FUZZ_SEEDS") else { return };
    let seeds = Seeds(dir.into());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/kafka-vectors.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for kind in ["batches", "invalid_batches"] {
        for vector in vectors[kind].as_array().unwrap() {
            let (name, bytes) = (vector["name"].as_str().unwrap(), hex(&vector["hex"]));
            if bytes.len() < 2000 {
                of_batch(&seeds, name, &bytes);
            }
        }
    }
    for record in vectors["coordinator_records"]["records"].as_array().unwrap() {
        let name = record["name"].as_str().unwrap();
        let target = if name.starts_with("txn") { "transaction" } else { "group" };
        let bytes = hex(&record["hex"]);
        seeds.put(target, name, &[&bytes]);
        if name == "txn_log_value_v1_ongoing" {
            of_decision(&seeds, &bytes);
        }
    }
    for integer in vectors["zigzag_varints"].as_array().unwrap() {
        let bytes = hex(&integer["hex"]);
        seeds.put("record", &format!("varint-{}", integer["hex"].as_str().unwrap()), &[&bytes]);
    }
    of_partition(&seeds, &vectors["partition"]["files"]);
    of_directory(&seeds);
    of_stream(&seeds);
    #[cfg(feature = "zstd")]
    of_bomb(&seeds, &hex(&vectors["batches"][0]["hex"]));
    for settings in ["retention.ms=86400000\nsegment.bytes=1048576\ncompression.type=zstd", "ottla.durability=always"] {
        seeds.put("properties", &format!("settings-{}", settings.len()), &[settings.as_bytes()]);
    }
    let consumer =
        "group.id=g\nauto.offset.reset=latest\nenable.auto.commit=true\nmax.poll.records=5\nottla.tail.bytes=1";
    seeds.put("properties", "consumer", &[consumer.as_bytes()]);
    for n in 0..12_u8 {
        let operations: Vec<u8> = (0..64_u8).map(|at| at.wrapping_mul(n * 2 + 1).wrapping_add(n) ^ at >> 3).collect();
        seeds.put("operations", &format!("calls-{n}"), &[&operations]);
        let patches: Vec<u8> = (0..12_u8).map(|at| at.wrapping_mul(37).wrapping_add(n)).collect();
        seeds.put("directory", &format!("patches-{n}"), &[&[n], &patches]);
    }
}

/// A request and a reply of a new replica, and of one that has a part, of a source with a segment of each kind.
fn of_stream(seeds: &Seeds) {
    let disks = [1, 2].map(ottla::testing::SimulatedDisk::new);
    let broker = Broker::builder("/data").disk(&disks[0]).background(false).open().unwrap();
    broker.create_topic("t", TopicConfig::new().segment_bytes(1024)).unwrap();
    let options = ReplicaOptions::new().disk(&disks[1]);
    let mut replica = RemoteReplica::open_with("/second", options).unwrap();
    // Behind the opening, the header of the first frame, and the size.
    let description = |message: &[u8]| {
        let size = u32::from_be_bytes(message[33..37].try_into().unwrap());
        message[37..][..usize::try_from(size).unwrap()].to_vec()
    };
    for round in 0..3 {
        for number in 0..4 {
            broker.topic("t").unwrap().produce("k", vec![number; 300]).unwrap();
            broker.flush().unwrap();
        }
        broker.run_maintenance().unwrap();
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        replica.request(&mut request).unwrap();
        ReplicaStream::open(&broker).unwrap().answer(&request[..], &mut reply).unwrap();
        seeds.put("stream", &format!("request-{round}"), &[&[0], &description(&request)]);
        seeds.put("stream", &format!("reply-{round}"), &[&[1], &description(&reply)]);
        seeds.put("stream", &format!("message-{round}"), &[&[2], &reply]);
        seeds.put("stream", &format!("as-it-is-{round}"), &[&[3], &reply]);
        replica.apply(&reply[..]).unwrap();
    }
}

fn of_batch(seeds: &Seeds, name: &str, bytes: &[u8]) {
    seeds.put("batch", name, &[&[0xff], bytes]);
    seeds.put("log", name, &[&[2], bytes]);
    seeds.put("segment", name, &[&[1, 0, 0], bytes]);
    let Some(records) = bytes.get(HEADER_BYTES..) else { return };
    let codec = bytes[22] & 7;
    seeds.put(
        if codec == 0 { "record" } else { "compression" },
        name,
        &[&[codec, 0xff][..2 * usize::from(codec > 0).min(1)], records],
    );
    seeds.put("compression", &format!("plain-{name}"), &[&[0x80 | codec, 0xff], records]);
}

/// A decision as it is written here: in the place of Kafka's tags, a checkpoint, and what was written in two logs.
fn of_decision(seeds: &Seeds, kafkas: &[u8]) {
    const TAG_BYTES: usize = 15;
    let tags = b"\x02\x90\x4e\x06row 17\x91\x4e\x49\x03";
    // A topic's id, partition 0, offsets 1 to 8.
    let covered = [&[7; 16][..], &[0; 11], &[1, 0, 0, 0, 0, 0, 0, 0, 9]].concat();
    seeds.put("transaction", "decision", &[&kafkas[..kafkas.len() - TAG_BYTES], tags, &covered, &covered]);
}

fn of_partition(seeds: &Seeds, files: &Value) {
    let (mut log, index, times) = (
        hex(&files["00000000000000000000.log"]),
        hex(&files["00000000000000000000.index"]),
        hex(&files["00000000000000000000.timeindex"]),
    );
    let entries = |bytes: &[u8], size: usize| u8::try_from(bytes.len() / size).unwrap();
    let header = [30, entries(&index, 8), entries(&times, 12)];
    seeds.put("segment", "kafka", &[&header, &index, &times, &log]);
    seeds.put("log", "kafka", &[&[33 << 1], &log]);
    let middle = log.len() / 2;
    log[middle] ^= 1;
    // Damage is looked behind where the checksum is not put right: zero says so.
    seeds.put("log", "kafka-damaged", &[&[33 << 1 | 1], &log]);
    seeds.put("index", "offsets", &[&[12, 12], &index]);
    seeds.put("index", "times", &[&[12, 12], &times]);
    seeds.put("index", "transactions", &[&[0x8c, 12], &hex(&files["00000000000000000000.txnindex"])]);
    let snapshot = hex(&files["00000000000000000060.snapshot"]);
    seeds.put("index", "producers", &[&[0x4c, 0x80], &snapshot]);
    seeds.put("files", "leader-epochs", &[&[3], b"0\n3\n0 0\n1 17\n2 58\n"]);
    seeds.put("files", "partition-metadata", &[&[4], b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"]);
}

/// Bytes of a frame before its payload.
const FRAME_BYTES: usize = 24;

fn of_directory(seeds: &Seeds) {
    for is_clean in [false, true] {
        for (path, bytes) in &golden(is_clean).files {
            let name = path.to_str().unwrap().trim_start_matches("/data/").replace('/', "-");
            let name = format!("{name}-{is_clean}");
            let kind = |prefix: &str| name.contains(prefix);
            // Both generations, as the file, and the payload of the first on its own.
            let payload = || {
                let size = u32::from_be_bytes(*bytes[FRAME_BYTES - 4..].first_chunk().unwrap());
                &bytes[FRAME_BYTES..][..usize::try_from(size).unwrap()]
            };
            if kind("manifest") {
                seeds.put("files", &name, &[&[0], payload()]);
                seeds.put("files", &format!("{name}-whole"), &[&[0x82], bytes]);
            } else if kind("catalog") {
                seeds.put("files", &name, &[&[1], payload()]);
                seeds.put("files", &format!("{name}-whole"), &[&[0x83], bytes]);
            } else if kind("recovery-point") {
                seeds.put("files", &name, &[&[2], bytes]);
            } else if kind("tail") && bytes.len() > 8192 {
                of_slot(seeds, &name, &bytes[4096..8192]);
            } else if kind(".log") && !bytes.is_empty() && bytes.len() < 4096 {
                seeds.put("log", &name, &[&[7], bytes]);
                seeds.put("segment", &name, &[&[3, 0, 0], bytes]);
            }
        }
    }
}

fn of_slot(seeds: &Seeds, name: &str, slot: &[u8]) {
    let mut input = vec![0x3f];
    for (at, size) in [(0, 88), (512, 24), (1024, 24), (1597, 200)] {
        input.extend(u16::try_from(at).unwrap().to_be_bytes());
        input.push(u8::try_from(size).unwrap());
        input.extend(&slot[at..at + size]);
    }
    seeds.put("tail", name, &[&input]);
}

/// A batch of a few KiB whose records expand to 100 MiB. Looking for a record once took all of them.
#[cfg(feature = "zstd")]
fn of_bomb(seeds: &Seeds, batch: &[u8]) {
    const ZSTD: u8 = 4;
    let mut records = vec![0; 1 << 20];
    let size = zstd_safe::compress(&mut records[..], &vec![0; 100 << 20], 19).unwrap();
    records.truncate(size);
    let mut header = batch[..HEADER_BYTES].to_vec();
    let length = u32::try_from(HEADER_BYTES - 12 + records.len()).unwrap();
    header[8..12].copy_from_slice(&length.to_be_bytes());
    header[22] = ZSTD;
    seeds.put("segment", "zstd-bomb", &[&[1, 0, 0], &header, &records]);
}
