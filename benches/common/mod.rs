//! What all benchmarks share: the rows themselves, which the `perf` example runs as well, and how criterion measures one.
//!
//! Each row is a criterion group, `log` in it is this crate, and `limit/…` what the machine allows or the best other way to do it.

#![allow(dead_code, reason = "no benchmark uses all of it")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "these are measurements, of which three digits count"
)]

#[path = "../../examples/perf/suite/mod.rs"]
pub(crate) mod suite;

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

use suite::latencies::Latencies;
use suite::row::{Figure, Prepare, Row, calls_that_take};

/// What criterion takes for one call lasts so long, where calls may be repeated.
const ROUND: Duration = Duration::from_millis(20);

type Group<'c> = BenchmarkGroup<'c, criterion::measurement::WallTime>;

/// Runs `rows`, and then prints `figures`, if everything was asked for.
pub(crate) fn run(rows: Vec<Row>, figures: Vec<Figure>) {
    suite::worker::serve_if_asked();
    let mut criterion = Criterion::default().configure_from_args();
    for row in rows {
        measure(&mut criterion, row);
    }
    criterion.final_summary();
    // Neither for who asked for something else by name, nor for `cargo test`, which only wants to see it run.
    if std::env::args().skip(1).eq(["--bench"]) {
        for figure in figures {
            println!("{}: {:.2} {}", figure.name, (figure.measure)(), figure.unit);
        }
    }
}

fn measure(criterion: &mut Criterion, row: Row) {
    let mut group = criterion.benchmark_group(&row.name);
    // Short: a second of sending fills more than a gigabyte.
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(row.records_per_call));
    bench(&mut group, "log", row.calls_max, row.subject);
    if let Some((what, limit)) = row.limit {
        bench(&mut group, &format!("limit/{}", what.replace(' ', "_")), row.calls_max, limit);
    }
    group.finish();
}

fn bench(group: &mut Group<'_>, name: &str, calls_max: u64, prepare: Prepare) {
    // What was not asked for on the command line is not made ready.
    let (mut prepare, mut ready) = (Some(prepare), None);
    group.bench_function(name, |bencher| {
        if let Some(prepare) = prepare.take() {
            let mut run = prepare();
            let calls = calls_that_take(ROUND, calls_max, &mut run);
            ready = Some((run, calls));
        }
        let (run, calls) = ready.as_mut().expect("it was made ready");
        // Each time begins with new files, which a few calls would hardly get to know.
        bencher.iter_custom(|times| run(times * *calls, &mut Latencies::new()).div_f64(*calls as f64));
    });
}
