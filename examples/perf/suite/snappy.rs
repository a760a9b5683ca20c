//! A topic compressed with Snappy, of log lines in JSON; beside it what the compression alone takes.

use std::hint::black_box;
use std::time::Duration;

use ottla::{Compression, Durability, ProducerRecord, TopicConfig};

use super::latencies::Latencies;
use super::place::{BATCH, Place, SPACE, TOPIC, next_random};
use super::reading::Scan;
use super::row::{Row, Target, timed_each};

/// What Kafka's own client compresses at a time.
const BLOCK_BYTES: usize = 32 << 10;
/// Batches in the log that is scanned.
const BATCHES: u64 = 50;

pub(crate) fn rows() -> Vec<Row> {
    vec![produce().target(Target::Times(0.8)), scan().target(Target::Times(0.8))]
}

fn produce() -> Row {
    let lines = lines();
    let blocks = blocks_of(&lines);
    Row::new("snappy/produce/json_lines", BATCH as u64, line_bytes(&lines), || {
        let place = Place::new(Durability::Os);
        move |calls, latencies| {
            place.fresh_topic(topic());
            send(&place, &lines, calls, latencies)
        }
    })
    .limit("snap alone", || {
        let mut encoder = snap::raw::Encoder::new();
        let mut out = vec![0; snap::raw::max_compress_len(BLOCK_BYTES)];
        move |calls, latencies| {
            timed_each(calls, latencies, || {
                for block in &blocks {
                    black_box(encoder.compress(block, &mut out).expect("the place is large enough"));
                }
            })
        }
    })
}

fn scan() -> Row {
    let lines = lines();
    let blocks = blocks_of(&lines);
    let records = BATCHES * BATCH as u64;
    Row::new("snappy/scan/json_lines", records, line_bytes(&lines), move || {
        let place = Place::with_topic(Durability::Os, topic());
        send(&place, &lines, BATCHES, &mut Latencies::new());
        let mut scan = Scan::new(place, records);
        // As the limit: it does not look at what it expands, either.
        move |calls, _| scan.run(calls, |value| black_box(value.len()))
    })
    .limit("snap alone", move || {
        let mut encoder = snap::raw::Encoder::new();
        let compressed = blocks.iter().map(|block| encoder.compress_vec(block).expect("it is not large"));
        let compressed: Vec<_> = compressed.collect();
        let mut decoder = snap::raw::Decoder::new();
        let mut out = vec![0; BLOCK_BYTES];
        move |calls, latencies| {
            timed_each(calls * BATCHES, latencies, || {
                for block in &compressed {
                    black_box(decoder.decompress(block, &mut out).expect("it was compressed"));
                }
            })
        }
    })
}

fn topic() -> TopicConfig {
    TopicConfig::new().compression(Compression::Snappy)
}

fn send(place: &Place, lines: &[String], calls: u64, latencies: &mut Latencies) -> Duration {
    let records: Vec<_> = lines.iter().map(|line| ProducerRecord::to(TOPIC).value(line)).collect();
    let producer = place.producer();
    timed_each(calls, latencies, || {
        black_box(producer.send_batch(TOPIC, &records).expect(SPACE));
    })
}

fn line_bytes(lines: &[String]) -> usize {
    lines.iter().map(String::len).sum::<usize>() / lines.len()
}

fn blocks_of(lines: &[String]) -> Vec<Vec<u8>> {
    lines.concat().into_bytes().chunks(BLOCK_BYTES).map(<[u8]>::to_vec).collect()
}

/// Lines as a web server writes them: much is the same in all of them, and some things in none.
fn lines() -> Vec<String> {
    let mut random = 1;
    (0..BATCH).map(|number| line(number, |below| next_random(&mut random) % below)).collect()
}

fn line(number: usize, mut next: impl FnMut(u64) -> u64) -> String {
    let (minute, second, milli) = (number / 60 % 60, number % 60, next(1000));
    let (host, request, user, path) = (next(8), next(u64::MAX), next(10_000), next(100_000));
    let (method, status) = if next(4) == 0 { ("POST", 404) } else { ("GET", 200) };
    let took = next(90_000);
    format!(r#"{{"ts":"2026-11-22T12:{minute:02}:{second:02}.{milli:03}Z","level":"info","host":"web-{host}","#)
        + &format!(r#""request_id":"{request:016x}","method":"{method}","path":"/orders/{path}","#)
        + &format!(r#""status":{status},"duration_us":{took},"user":"customer-{user}"}}"#)
}
