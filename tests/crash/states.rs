//! How a state is named, and what is done with it: open what a crash left, compare it with what the application was told,
//! open it again, use it, and crash or close again.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use ottla::testing::{CrashModel, SimulatedDisk};

use crate::history::{Checked, History};
use crate::images::Images;
use crate::oracle::{Loss, check};
use crate::random::Random;
use crate::workload::{Run, Settings, Stop};

/// How a machine comes to its end, where one way of each kind is enough.
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

/// One state: a workload; the call before which everything stopped and which of its images is left; then the same for the
/// recovery from that, and for the recovery from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) workload: u64,
    /// Calls made before the end, and the number of the image.
    pub(crate) ends: Vec<(u64, u64)>,
}

/// `workload/calls/image`, then perhaps `/calls/image` of the recovery, and again.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.workload)?;
        self.ends.iter().try_for_each(|(calls, image)| write!(f, "/{calls}/{image}"))
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        let numbers: Result<Vec<u64>, _> = text.split('/').map(str::parse).collect();
        match numbers.map_err(|e| format!("{text}: {e}"))?.as_slice() {
            [workload, ends @ ..] if !ends.is_empty() && ends.len().is_multiple_of(2) => {
                let ends = ends.chunks(2).map(|end| (end[0], end[1])).collect();
                Ok(State { workload: *workload, ends })
            }
            _ => Err(format!("{text}: not workload/calls/image")),
        }
    }
}

impl State {
    /// The state in which a recovery from this one ends so.
    pub(crate) fn then(&self, calls: u64, image: u64) -> State {
        let mut ends = self.ends.clone();
        ends.push((calls, image));
        State { workload: self.workload, ends }
    }

    /// Says what does not hold, and how to look at it again.
    pub(crate) fn describe(&self, problem: &str) -> String {
        format!(
            "{problem}\nstate {self}; to look at it alone: \
             OTTLA_CRASH_STATE={self} cargo test --all-features --test crash one_state"
        )
    }
}

/// The size of a test: so many states, or what `OTTLA_CRASH_STATES` says.
pub(crate) fn budget(default: u64) -> u64 {
    std::env::var("OTTLA_CRASH_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(default)
}

/// From so many on, the time goes into states more than into what comes after them.
const MANY_STATES: u64 = 20_000;

/// What was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) workloads: u64,
    pub(crate) states: u64,
    /// Differ in the image or in what the application had been told.
    pub(crate) distinct: u64,
    /// Of the states, those after a crash in the recovery, and in the recovery from that.
    pub(crate) depth_1: u64,
    pub(crate) depth_2: u64,
    /// Differ in what the recovery made of them.
    pub(crate) recovered: u64,
    /// Of these, those that were used and crashed again.
    pub(crate) used: u64,
    pub(crate) records: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Totals) {
        self.workloads += other.workloads;
        self.states += other.states;
        self.distinct += other.distinct;
        self.depth_1 += other.depth_1;
        self.depth_2 += other.depth_2;
        self.recovered += other.recovered;
        self.used += other.used;
        self.records += other.records;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states of {} workloads hold: {} of them distinct, {} after a crash in recovery, {} after another one in the \
             recovery from that; {} outcomes, {} of them used and crashed again; {} records compared",
            self.states,
            self.workloads,
            self.distinct,
            self.depth_1,
            self.depth_2,
            self.recovered,
            self.used,
            self.records
        )
    }
}

/// Looks at states of one workload. What was looked at once is not looked at again: all that follows is the same.
pub(crate) struct Inspector {
    settings: Settings,
    /// Of so many outcomes, one is used and crashed again.
    use_of: u64,
    pub(crate) totals: Totals,
    images: HashSet<(u128, usize, bool)>,
    outcomes: HashSet<(u128, u64)>,
}

impl Inspector {
    pub(crate) fn new(settings: Settings) -> Inspector {
        let totals = Totals { workloads: 1, ..Totals::default() };
        let use_of = if budget(0) < MANY_STATES { 1 } else { 4 };
        Inspector { settings, use_of, totals, images: HashSet::new(), outcomes: HashSet::new() }
    }

    /// Looks at one state, unless it was looked at already; whether it was not.
    pub(crate) fn look_at(
        &mut self,
        state: &State,
        image: &SimulatedDisk,
        history: &Arc<History>,
        loss: Loss,
    ) -> Checked<bool> {
        self.totals.states += 1;
        match state.ends.len() {
            2 => self.totals.depth_1 += 1,
            3.. => self.totals.depth_2 += 1,
            _ => {}
        }
        // The histories live as long as the recording does, and so are told apart by where they are.
        let history_at = Arc::as_ptr(history).addr();
        if !self.images.insert((image.fingerprint(), history_at, loss == Loss::Power)) {
            return Ok(false);
        }
        self.totals.distinct += 1;
        self.open_and_use(image, history, loss).map_err(|problem| state.describe(&problem))?;
        Ok(true)
    }

    fn open_and_use(&mut self, image: &SimulatedDisk, history: &Arc<History>, loss: Loss) -> Checked {
        let mut after = Run::on(image.kill(0), History::clone(history), self.settings, self.settings.seed);
        after.open()?;
        check_opened(&mut after, loss)?;
        let records = after.history.topics.values().flat_map(|topic| &topic.logs).map(|log| log.records.len() as u64);
        self.totals.records += records.sum::<u64>();
        let mut hasher = DefaultHasher::new();
        after.history.hash(&mut hasher);
        let fingerprint = after.disk.fingerprint();
        if !self.outcomes.insert((fingerprint, hasher.finish())) {
            return Ok(());
        }
        self.totals.recovered += 1;
        open_again(&after)?;
        // What is done from here on depends on what was found and on nothing else.
        let seed = hasher.finish() ^ u64::try_from(fingerprint & u128::from(u64::MAX)).unwrap_or_default();
        if !seed.is_multiple_of(self.use_of) {
            return Ok(());
        }
        self.totals.used += 1;
        use_and_crash(after, Random::new(seed), self.settings)
    }
}

/// A second opening, after the process died right after the first, finds the same, and changes nothing if that recovered.
fn open_again(after: &Run) -> Checked {
    let again = reopened(after)?;
    // After a clean shutdown the second one is the first that has anything to recover.
    if was_clean(after) || check_unchanged_but_for_epochs(&after.disk, &again.disk).is_ok() {
        return Ok(());
    }
    // The first one may have ended the deletion of a topic, and with it what was committed for it.
    let third = reopened(&again)?;
    let unchanged = check_unchanged_but_for_epochs(&again.disk, &third.disk);
    unchanged.map_err(|problem| format!("opened for the third time: {problem}"))
}

/// Leader epochs rise after every unclean end, and the recovery point has the newest one.
fn check_unchanged_but_for_epochs(before: &SimulatedDisk, after: &SimulatedDisk) -> Checked {
    let mut changed = before.differing_files(after);
    changed.retain(|path| !path.ends_with("leader-epoch-checkpoint") && !path.ends_with("recovery-point"));
    if changed.is_empty() { Ok(()) } else { Err(format!("these files were changed: {changed:?}")) }
}

/// Another run on what is left when the process dies.
fn reopened(run: &Run) -> Checked<Run> {
    let mut again = Run::on(run.disk.kill(0), run.history.clone(), run.settings, 0);
    let context = |problem| format!("opened again: {problem}");
    again.open().map_err(context)?;
    check_opened(&mut again, Loss::Process).map_err(context)?;
    Ok(again)
}

fn was_clean(run: &Run) -> bool {
    run.broker.as_ref().is_some_and(|broker| broker.recovery_report().was_clean_shutdown())
}

/// Sends ten more pieces, then crashes or closes.
fn use_and_crash(mut after: Run, mut random: Random, settings: Settings) -> Checked {
    if random.chance(30) {
        after.poll_all()?;
    }
    after.go_on().map_err(|problem| format!("going on: {problem}"))?;
    if random.chance(25) {
        return close_and_open(after).map_err(|problem| format!("closing and opening: {problem}"));
    }
    let end = End::any(&mut random);
    let mut again = Run::on(end.image(&after.disk, random.next()), after.history.clone(), settings, settings.seed);
    let context = |problem| format!("after {end:?} later on: {problem}");
    again.open().map_err(context)?;
    check_opened(&mut again, end.loss()).and_then(|()| again.poll_all()).map_err(context)
}

pub(crate) fn check_opened(run: &mut Run, loss: Loss) -> Checked {
    let Some(broker) = &run.broker else { return Err("the broker is not open".to_owned()) };
    check(broker, &mut run.history, loss)
}

/// After a clean close, opening finds nothing to do, and closing leaves the same bytes again.
fn close_and_open(mut run: Run) -> Checked {
    run.close()?;
    let before = run.disk.kill(0);
    run.open()?;
    if !was_clean(&run) {
        return Err("closing was not clean".to_owned());
    }
    check_opened(&mut run, Loss::Process)?;
    run.close()?;
    check_unchanged(&before, &run.disk)
}

fn check_unchanged(before: &SimulatedDisk, after: &SimulatedDisk) -> Checked {
    match before.differing_files(after).as_slice() {
        [] => Ok(()),
        changed => Err(format!("these files were changed: {changed:?}")),
    }
}

/// Every moment at which a recovery from `image` might stop.
pub(crate) fn record_recovery(image: &SimulatedDisk, settings: Settings) -> Vec<(u64, SimulatedDisk)> {
    let mut recovery = Run::on(image.kill(0), History::default(), settings, settings.seed);
    recovery.disk.record_stops();
    // Nobody is there to be told how it went.
    _ = recovery.open();
    recovery.disk.take_stops()
}

/// Looks at the one state that is named.
///
/// # Panics
/// If it does not hold.
pub(crate) fn look_at_one(state: &State) {
    let settings = Settings::of(state.workload);
    let stops = Run::record(settings).unwrap_or_else(|problem| panic!("{}", state.describe(&problem)));
    let Stop { calls, disk, history } = stops.into_iter().rfind(|stop| stop.calls <= state.ends[0].0).unwrap();
    println!("stopped after {calls} calls: {disk:?}");
    let (mut image, mut loss) = Images::of(&disk).image(state.ends[0].1);
    for &(calls, number) in &state.ends[1..] {
        let stops = record_recovery(&image, settings);
        let (_, disk) = stops.into_iter().rfind(|(made, _)| *made <= calls).unwrap();
        let (next, next_loss) = Images::of(&disk).image(number);
        (image, loss) = (next, loss.or(next_loss));
    }
    let mut inspector = Inspector::new(settings);
    inspector.use_of = 1;
    let looked = inspector.look_at(state, &image, &history, loss);
    looked.unwrap_or_else(|problem| panic!("{problem}"));
}
