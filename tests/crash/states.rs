//! The states that crashes leave: which there are, how to name one, and what is done with it.

use std::fmt;
use std::str::FromStr;

use ottla::testing::{CrashModel, SimulatedDisk};

use crate::history::{Checked, History};
use crate::oracle::{Loss, check};
use crate::random::Random;
use crate::workload::{Run, Settings};

/// How a machine came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Kill,
    Cut(CrashModel),
}

impl End {
    pub(crate) const ALL: [End; 5] = [
        End::Kill,
        End::Cut(CrashModel::Ordered),
        End::Cut(CrashModel::ZeroedTail),
        End::Cut(CrashModel::StaleBlocks),
        End::Cut(CrashModel::Subset),
    ];

    /// What is left of the machine.
    pub(crate) fn image(self, disk: &SimulatedDisk, seed: u64) -> SimulatedDisk {
        match self {
            End::Kill => disk.kill(seed),
            End::Cut(model) => disk.crash(seed, model),
        }
    }

    pub(crate) fn loss(self) -> Loss {
        if self == End::Kill { Loss::Process } else { Loss::Power }
    }

    pub(crate) fn any(random: &mut Random) -> End {
        random.choose(&End::ALL).copied().unwrap_or(End::Kill)
    }
}

/// One state: a workload, the call after which everything stopped, and how; then perhaps the same for its recovery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) workload: u64,
    pub(crate) stop: u64,
    pub(crate) end: End,
    pub(crate) seed: u64,
    pub(crate) recovery: Option<(u64, End)>,
}

/// `workload/stop/end/seed`, then perhaps `/stop/end` of the recovery.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |end| End::ALL.iter().position(|other| *other == end).unwrap_or_default();
        write!(f, "{}/{}/{}/{}", self.workload, self.stop, number(self.end), self.seed)?;
        match self.recovery {
            Some((stop, end)) => write!(f, "/{stop}/{}", number(end)),
            None => Ok(()),
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        let numbers: Result<Vec<u64>, _> = text.split('/').map(str::parse).collect();
        let numbers = numbers.map_err(|e| format!("{text}: {e}"))?;
        let end = |number: u64| {
            let end = usize::try_from(number).ok().and_then(|number| End::ALL.get(number));
            end.copied().ok_or_else(|| format!("{text}: there is no end {number}"))
        };
        let recovery = match numbers.get(4..) {
            Some(&[stop, number]) => Some((stop, end(number)?)),
            _ => None,
        };
        match *numbers.as_slice() {
            [workload, stop, number, seed, ..] => Ok(State { workload, stop, end: end(number)?, seed, recovery }),
            _ => Err(format!("{text}: not workload/stop/end/seed")),
        }
    }
}

/// How many states to look at in one test.
pub(crate) fn budget(default: u64) -> u64 {
    std::env::var("OTTLA_CRASH_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(default)
}

/// Stops workloads at every changing call in turn (or, within a small budget, at some) and looks at what `ends` leave.
///
/// # Panics
/// At the first state that does not hold, naming it.
pub(crate) fn stop_at_every_call(ends: &[End], states: u64) {
    const WORKLOADS_AT_LEAST: u64 = 10;
    let mut looked_at = 0;
    let mut workload = 0;
    while looked_at < states {
        let settings = Settings::of(workload);
        let stops = stops(settings);
        let wanted = (states / WORKLOADS_AT_LEAST / ends.len() as u64).max(1);
        let stride = (stops.len() as u64 / wanted).max(1);
        for (index, &stop) in (0..).zip(&stops) {
            if index % stride == workload % stride {
                looked_at += look_at_stop(settings, stop, ends);
            }
        }
        workload += 1;
    }
    println!("{looked_at} states of {workload} workloads hold");
}

/// The numbers of calls after which a workload can be stopped so that it makes a difference.
fn stops(settings: Settings) -> Vec<u64> {
    let run = Run::work(settings, None).unwrap_or_else(|problem| panic!("workload {}: {problem}", settings.seed));
    let changing = run.disk.log().into_iter().filter(|call| call.operation.is_mutating());
    changing.map(|call| call.number - 1).chain([run.disk.calls()]).collect()
}

/// Looks at what each of `ends` leaves at one moment; returns at how many states.
fn look_at_stop(settings: Settings, stop: u64, ends: &[End]) -> u64 {
    let run = Run::work(settings, Some(stop));
    let run = run.unwrap_or_else(|problem| panic!("workload {} until {stop}: {problem}", settings.seed));
    let mut random = Random::new(settings.seed << 32 | stop);
    let mut looked_at = 0;
    for &end in ends {
        let mut state = State { workload: settings.seed, stop, end, seed: random.below(1 << 16), recovery: None };
        let recovery_calls = expect(&state, look_at(&run, state));
        looked_at += 1;
        if random.chance(40) {
            state.recovery = Some((random.below(recovery_calls), End::any(&mut random)));
            expect(&state, look_at(&run, state));
            looked_at += 1;
        }
    }
    looked_at
}

fn expect<T>(state: &State, checked: Checked<T>) -> T {
    checked.unwrap_or_else(|problem| {
        panic!(
            "{problem}\nstate {state} ({state:?}); to look at it alone: \
             OTTLA_CRASH_STATE={state} cargo test --features testing --test crash one_state"
        )
    })
}

/// Looks at the one state that is named.
pub(crate) fn look_at_one(state: State) {
    let run = expect(&state, Run::work(Settings::of(state.workload), Some(state.stop)));
    println!("the last call was {:?}", run.disk.log().iter().rfind(|call| call.number <= state.stop));
    expect(&state, look_at(&run, state));
}

/// Opens what is left, checks it, goes on with it, and has it crash or close again. Returns how many calls opening took.
fn look_at(run: &Run, state: State) -> Checked<u64> {
    let settings = Settings::of(state.workload);
    let mut random = Random::new(state.seed);
    let (mut image, mut loss) = (state.end.image(&run.disk, state.seed), state.end.loss());
    if let Some((stop, end)) = state.recovery {
        image.stop_after(stop);
        // Nobody is there to be told how it went.
        _ = Run::on(image.clone(), History::default(), settings, state.seed).open();
        image = end.image(&image, state.seed + 1);
        loss = if end == End::Kill { loss } else { Loss::Power };
    }
    let mut after = Run::on(image, run.history.clone(), settings, state.seed);
    after.open()?;
    let calls = after.disk.calls();
    check_opened(&mut after, loss)?;
    if random.chance(30) {
        after.poll_all()?;
    }
    after.go_on().map_err(|problem| format!("going on: {problem}"))?;
    if random.chance(25) {
        close_and_open(after).map_err(|problem| format!("closing and opening: {problem}"))?;
    } else {
        let end = End::any(&mut random);
        let mut again = Run::on(end.image(&after.disk, state.seed + 2), after.history.clone(), settings, state.seed);
        again.open().map_err(|problem| format!("after {end:?} later on: {problem}"))?;
        let checked = check_opened(&mut again, end.loss()).and_then(|()| again.poll_all());
        checked.map_err(|problem| format!("after {end:?} later on: {problem}"))?;
    }
    Ok(calls)
}

pub(crate) fn check_opened(run: &mut Run, loss: Loss) -> Checked {
    let Some(broker) = &run.broker else { return Err("the broker is not open".to_owned()) };
    check(broker, &mut run.history, loss)
}

/// After a clean close, opening finds nothing to do, and closing leaves the same bytes again.
fn close_and_open(mut run: Run) -> Checked {
    run.close()?;
    let before = bytes_of_all_files(&run.disk);
    run.open()?;
    let is_clean = run.broker.as_ref().is_some_and(|broker| broker.recovery_report().was_clean_shutdown());
    if !is_clean {
        return Err("closing was not clean".to_owned());
    }
    check_opened(&mut run, Loss::Process)?;
    run.close()?;
    for (before, after) in before.iter().zip(&bytes_of_all_files(&run.disk)) {
        if before != after {
            return Err(format!("{} was changed to {} ({} bytes)", before.0, after.0, after.1.len()));
        }
    }
    Ok(())
}

fn bytes_of_all_files(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.files().into_iter();
    files.map(|(path, _)| (path.display().to_string(), disk.read(&path).unwrap_or_default())).collect()
}
