//! For examples that survive a kill: starts the program again as a child process, and kills that at random moments, over and over.

#![allow(dead_code, reason = "each example uses some of it")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the child is told: the directory to work in, and the number of its life.
const DIR: &str = "OTTLA_EXAMPLE_DIR";
const LIFE: &str = "OTTLA_EXAMPLE_LIFE";
/// The number of the life in which the child is left alone.
const LAST: u64 = u64::MAX;

/// One life of the child process.
pub(crate) struct Life {
    pub(crate) dir: PathBuf,
    number: u64,
    seed: u64,
}

impl Life {
    /// The life that this process has, if it is the child.
    pub(crate) fn of_child() -> Option<Life> {
        Some(Life { dir: env::var_os(DIR)?.into(), number: number(LIFE, 0), seed: seed() })
    }

    /// Whether nobody kills it, so that it is to finish its work and end.
    pub(crate) fn is_last(&self) -> bool {
        self.number == LAST
    }

    /// Random numbers, in each life others.
    pub(crate) fn random(&self) -> Random {
        Random(self.seed.wrapping_mul(1000).wrapping_add(self.number))
    }
}

/// Tells the parent that the child's work begins now.
pub(crate) fn begin(state: &str) {
    println!("{state}");
}

/// Starts the child and kills it, so many times as `OTTLA_EXAMPLE_KILLS` says or `kills`; then once more, until it ends by itself.
/// `before` is called before each start. `OTTLA_EXAMPLE_SEED` chooses the moments.
pub(crate) fn kill_over_and_over(dir: &Path, kills: u64, mut before: impl FnMut() -> Result<()>) -> Result<()> {
    let (kills, seed) = (number("OTTLA_EXAMPLE_KILLS", kills), seed());
    println!("OTTLA_EXAMPLE_KILLS={kills} OTTLA_EXAMPLE_SEED={seed}");
    let mut random = Random(seed);
    for life in 0..kills {
        before()?;
        let mut child = start(dir, life, seed)?;
        let (state, micros) = match random.below(4) {
            // Some die before they have opened anything, or while they recover.
            0 => ("nothing is heard of it".to_owned(), random.below(1 << 15)),
            _ => (first_line(&mut child)?, random.below(1 << 17)),
        };
        thread::sleep(Duration::from_micros(micros));
        child.kill()?;
        println!("life {life}: {state}, and is killed after {} ms", micros / 1000);
        let status = child.wait()?;
        // Who was killed has no exit code; on Windows it has one like any other.
        if cfg!(unix) && status.code().is_some_and(|code| code != 0) {
            return Err(format!("the child failed: {status}").into());
        }
    }
    before()?;
    let mut child = start(dir, LAST, seed)?;
    println!("life {kills}: {}, and is left alone", first_line(&mut child)?);
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the child failed: {status}").into()) }
}

fn start(dir: &Path, life: u64, seed: u64) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.env(DIR, dir).env(LIFE, life.to_string()).env("OTTLA_EXAMPLE_SEED", seed.to_string());
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

/// What the child says when it begins its work.
fn first_line(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn seed() -> u64 {
    number("OTTLA_EXAMPLE_SEED", 1)
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers that are the same for the same start, and good enough to shuffle with (`SplitMix64`).
pub(crate) struct Random(u64);

impl Random {
    /// The next number, below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}
