//! One measurement, in a process of its own, and the turns that peers take.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peer::{PEERS, Peer};
use crate::row::{ROWS, Row, Work};

/// So many records are read at random places.
const READS: usize = 200_000;

/// What a turn took.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// What 99.9 % of the calls did not exceed, where calls are short, in microseconds.
    p999_us: Option<f64>,
}

impl Outcome {
    #[allow(clippy::cast_precision_loss, reason = "three digits count")]
    fn of(count: usize, time: Duration) -> Outcome {
        Outcome { per_second: count as f64 / time.as_secs_f64(), p999_us: None }
    }

    pub(crate) fn cell(&self) -> String {
        let rate = if self.per_second < 1e6 {
            format!("{:.1} k/s", self.per_second / 1e3)
        } else {
            format!("{:.2} M/s", self.per_second / 1e6)
        };
        self.p999_us.map_or(rate.clone(), |p999| format!("{rate}, p99.9 {p999:.1} us"))
    }

    /// Reads back what [`Display`](fmt::Display) wrote.
    fn parse(line: &str) -> Option<Outcome> {
        let mut words = line.split_whitespace();
        let per_second = words.next()?.parse().ok()?;
        Some(Outcome { per_second, p999_us: words.next().and_then(|word| word.parse().ok()) })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_second)?;
        self.p999_us.map_or(Ok(()), |p999| write!(f, " {p999}"))
    }
}

/// So many turns of each peer; the median of each, or none where a peer has no such thing.
pub(crate) fn turns(row: &Row, rounds: usize) -> Result<Vec<Option<Outcome>>, String> {
    let dir = tempfile::tempdir_in(".").map_err(|error| error.to_string())?;
    let takes_part = |peer: &Peer| (peer.can)(row.work);
    if row.work.needs_records() {
        for peer in PEERS.iter().filter(|peer| takes_part(peer)) {
            (peer.run)(&Row { work: Work::AppendBatches, ..*row }, &dir.path().join(peer.name), &mut Vec::new());
        }
    }
    let mut taken = vec![Vec::new(); PEERS.len()];
    for round in 0..rounds {
        for (peer, taken) in PEERS.iter().zip(&mut taken).filter(|(peer, _)| takes_part(peer)) {
            let own = if row.work.needs_records() { peer.name.to_owned() } else { format!("{}-{round}", peer.name) };
            taken.push(in_a_process(row, peer, &dir.path().join(&own))?);
            if !row.work.needs_records() {
                // Of what thousands of files leave behind, the next turn is not to suffer.
                _ = std::fs::remove_dir_all(dir.path().join(own));
            }
        }
    }
    Ok(taken.into_iter().map(median).collect())
}

fn in_a_process(row: &Row, peer: &Peer, dir: &Path) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).args(["--turn", row.name, peer.name]).arg(dir).output();
    let output = output.map_err(|error| error.to_string())?;
    let line = String::from_utf8_lossy(&output.stdout);
    Outcome::parse(&line).ok_or_else(|| {
        format!("{} {}: {}\n{}", row.name, peer.name, output.status, String::from_utf8_lossy(&output.stderr))
    })
}

fn median(mut outcomes: Vec<Outcome>) -> Option<Outcome> {
    outcomes.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    outcomes.get(outcomes.len() / 2).copied()
}

/// Takes one turn, in this process.
pub(crate) fn take(row: &str, peer: &str, dir: &Path) -> Result<Outcome, String> {
    let row = ROWS.iter().find(|known| known.name == row).ok_or_else(|| format!("{row} is no row"))?;
    let peer = PEERS.iter().find(|known| known.name == peer).ok_or_else(|| format!("{peer} is no peer"))?;
    let mut calls = Vec::new();
    let begun = Instant::now();
    let time = (peer.run)(row, dir, &mut calls).unwrap_or_else(|| begun.elapsed());
    let count = if row.work == Work::ReadAtRandom { READS } else { row.records };
    Ok(Outcome { p999_us: p999_us(&mut calls), ..Outcome::of(count, time) })
}

fn p999_us(calls: &mut [Duration]) -> Option<f64> {
    calls.sort_unstable();
    let at = calls.len() - calls.len() / 1000 - 1;
    calls.get(at).filter(|_| 1000 < calls.len()).map(|call| call.as_secs_f64() * 1e6)
}

/// Places to read at, the same for everybody.
pub(crate) fn places(records: usize) -> impl Iterator<Item = u64> {
    // Marsaglia's xorshift.
    let mut state = 88_172_645_463_325_252_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % records as u64
    };
    std::iter::repeat_with(next).take(READS)
}

/// Does something with each of `count` records: untimed, and then, as often again, with the time of each call, if that is wanted.
/// Returns how long the former took.
pub(crate) fn timed(count: usize, calls: Option<&mut Vec<Duration>>, mut call: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..count).for_each(|_| call());
    let time = begun.elapsed();
    if let Some(calls) = calls {
        calls.reserve(count);
        for _ in 0..count {
            let begun = Instant::now();
            call();
            calls.push(begun.elapsed());
        }
    }
    time
}
