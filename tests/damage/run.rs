//! Which mutations are tried, on how many threads, and the table of what came of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ottla::testing::SimulatedDisk;

use crate::image;
use crate::mutation::{self, Kind, Mutation};
use crate::oracle::{self, Checked, Outcome};
use crate::truth::{State, Truth, machine};

/// Of each way of ending, half of them of kinds that are rare; small enough for a CI run without optimisation.
const CASES: usize = 250;
const FAILURES_SHOWN: usize = 25;
const THREADS: usize = 2;

type Tally = BTreeMap<(Kind, &'static str), [usize; 6]>;

/// Tries the mutations of a directory, all or as many as were asked for, and prints what came of them.
pub(crate) fn all_of(state: State) {
    let truth = Truth::of(state);
    let mutations = mutation::all(&truth);
    let seed = std::env::var("OTTLA_DAMAGE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let chosen = choose(&mutations, seed);
    let began = Instant::now();
    let (tally, failures) = run(&truth, &mutations, &chosen);
    print(state, &tally, mutations.len(), seed, began.elapsed());
    for (number, mutation, problem) in failures.iter().take(FAILURES_SHOWN) {
        println!("OTTLA_DAMAGE_CASE={}:{number}: {mutation}: {problem}", state.name());
    }
    assert!(failures.is_empty(), "{} of {} cases failed", failures.len(), chosen.len());
}

/// Tries the mutation of this name again.
pub(crate) fn one(case: &str) {
    let (name, number) = case.split_once(':').expect("OTTLA_DAMAGE_CASE is like closed:123");
    let state = State::ALL.into_iter().find(|state| state.name() == name).expect("no such state");
    let truth = Truth::of(state);
    let mutation = &mutation::all(&truth)[number.parse::<usize>().unwrap()];
    println!("{mutation}: {:?}", oracle::check(&truth, &template(&truth), mutation).unwrap());
}

/// The numbers of the mutations to try: half of them of the kinds that are rare, and of those of the others.
fn choose(mutations: &[Mutation], seed: u64) -> Vec<usize> {
    let wanted: usize = match std::env::var("OTTLA_DAMAGE").as_deref() {
        Ok("full") => return (0..mutations.len()).collect(),
        Ok(number) => number.parse().expect("OTTLA_DAMAGE is a number or full"),
        Err(_) => CASES,
    };
    let (rare, common): (Vec<_>, Vec<_>) = (0..mutations.len()).partition(|number| mutations[*number].change.is_rare());
    let mut chosen = Vec::new();
    for numbers in [rare, common] {
        let stride = (numbers.len() / (wanted / 2).max(1)).max(1) as u64;
        let is_chosen = |number: &usize| mix(*number as u64 ^ seed << 32).is_multiple_of(stride);
        chosen.extend(numbers.into_iter().filter(is_chosen));
    }
    chosen
}

/// Scatters a number over all numbers (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The undamaged directory, of which each case gets a copy.
fn template(truth: &Truth) -> SimulatedDisk {
    let disk = machine(truth.state);
    image::put(&disk, &truth.image);
    disk
}

type Failure<'m> = (usize, &'m Mutation, String);

fn run<'m>(truth: &Truth, mutations: &'m [Mutation], chosen: &[usize]) -> (Tally, Vec<Failure<'m>>) {
    let (next, results) = (AtomicUsize::new(0), Mutex::new((Tally::new(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let machine = template(truth);
                while let Some(number) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mutation = &mutations[*number];
                    let result = guarded(|| oracle::check(truth, &machine, mutation));
                    let mut results = results.lock().unwrap();
                    match result {
                        Ok(outcome) => count(&mut results.0, mutation, outcome),
                        Err(problem) => results.1.push((*number, mutation, problem)),
                    }
                }
            });
        }
    });
    let (tally, mut failures) = results.into_inner().unwrap();
    failures.sort_by_key(|(number, ..)| *number);
    (tally, failures)
}

fn count(tally: &mut Tally, mutation: &Mutation, outcome: Outcome) {
    tally.entry((Kind::of(&mutation.path), mutation.change.class())).or_default()[outcome as usize] += 1;
}

/// A panic is a problem like any other, only worse.
fn guarded<T>(check: impl FnOnce() -> Checked<T>) -> Checked<T> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("with something else than a text")))
    })
}

fn print(state: State, tally: &Tally, possible: usize, seed: u64, took: Duration) {
    let total: usize = tally.values().flatten().sum();
    let rate = total as u128 * 1000 / took.as_millis().max(1);
    println!("{}: {total} of {possible} cases, seed {seed}, {rate} a second", state.name());
    print!("{:<14} {:<14} {:>8}", "file", "damage", "cases");
    println!(" {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "harmless", "reported", "lost", "refused", "foreign", "unnoticed");
    for ((kind, class), counts) in tally {
        print!("{:<14} {class:<14} {:>8}", format!("{kind:?}"), counts.iter().sum::<usize>());
        println!("{}", counts.map(|count| format!(" {count:>9}")).concat());
    }
}
