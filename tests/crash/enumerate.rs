//! Every state of every workload, or as many as were asked for: process deaths and power cuts at every call, and at every call
//! of the recoveries from some of them, and of the recoveries from those.

use std::sync::Arc;

use ottla::testing::SimulatedDisk;

use crate::history::{Checked, History};
use crate::images::Images;
use crate::oracle::Loss;
use crate::parallel::in_parallel;
use crate::states::{Inspector, State, Totals, budget, record_recovery};
use crate::workload::{Run, Settings};

/// Small enough for every change; `OTTLA_CRASH_STATES` asks for more, `OTTLA_CRASH_WORKLOAD` for others.
const STATES: u64 = 1000;
const WORKLOADS_AT_LEAST: u64 = 12;
/// At each call so many images by chance, besides those that are listed.
const BY_CHANCE: u64 = 16;
/// With these two, a fifth of the states are those of recoveries: the recovery from one of at most so many states is stopped...
const RECOVERY_OF_MAX: u64 = 130;
/// ... at one of so many calls.
const RECOVERY_STRIDE: usize = 12;

/// How much of one workload is looked at.
#[derive(Debug, Clone, Copy)]
struct Part {
    workload: u64,
    /// Every so many states, one is looked at.
    stride: u64,
    /// The recovery from one of so many states is stopped, too.
    recovery_of: u64,
}

#[test]
fn what_a_crash_leaves_at_any_call_holds_all_that_was_promised() {
    let parts = plan(budget(STATES));
    let results = in_parallel(&parts, |part| look_at(*part)).unwrap_or_else(|problem| panic!("{problem}"));
    let mut totals = Totals::default();
    for result in &results {
        totals.add(result);
    }
    assert!(totals.depth_1 > 0 && totals.depth_2 > 0, "{totals}");
    println!("OTTLA_CRASH_WORKLOAD={}: {totals}", first_workload());
}

/// Which workloads make up so many states; the same on every machine.
fn plan(states: u64) -> Vec<Part> {
    // A quarter of the states, at least, are those of recoveries.
    let wanted = states * 3 / 4;
    let each = (wanted / WORKLOADS_AT_LEAST).max(1);
    let mut parts = Vec::new();
    let mut planned = 0;
    for workload in first_workload().. {
        if planned >= wanted {
            break;
        }
        let stops = Run::record(Settings::of(workload)).unwrap_or_else(|p| panic!("workload {workload}: {p}"));
        let count: u64 = stops.iter().map(|stop| Images::of(&stop.disk).count() + BY_CHANCE).sum();
        let stride = count.div_ceil(each);
        planned += count / stride;
        let recovery_of = (each / 2).clamp(1, RECOVERY_OF_MAX);
        parts.push(Part { workload, stride, recovery_of });
    }
    parts
}

/// Where to begin, to look at others than last time.
fn first_workload() -> u64 {
    std::env::var("OTTLA_CRASH_WORKLOAD").ok().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// Looks at states of one workload.
fn look_at(part: Part) -> Checked<Totals> {
    let settings = Settings::of(part.workload);
    let stops = Run::record(settings).map_err(|problem| format!("workload {}: {problem}", part.workload))?;
    let mut inspector = Inspector::new(settings);
    let (mut number, mut distinct) = (part.workload, 0);
    for stop in &stops {
        let images = Images::of(&stop.disk);
        for image_number in 0..images.count() + BY_CHANCE {
            number += 1;
            if !number.is_multiple_of(part.stride) {
                continue;
            }
            let (image, loss) = images.image(image_number);
            let state = State { workload: part.workload, ends: vec![(stop.calls, image_number)] };
            if inspector.look_at(&state, &image, &stop.history, loss)? {
                distinct += 1;
                if distinct % part.recovery_of == 1 {
                    crash_recovery(&mut inspector, part, &state, (&image, loss), &stop.history)?;
                }
            }
        }
    }
    Ok(inspector.totals)
}

/// Stops the recovery from `image` at every call in turn; of some, the recovery from that, too.
fn crash_recovery(
    inspector: &mut Inspector,
    part: Part,
    state: &State,
    (image, loss): (&SimulatedDisk, Loss),
    history: &Arc<History>,
) -> Checked {
    let settings = Settings::of(part.workload);
    let stops = record_recovery(image, settings);
    let again = stops.len() / 2;
    for (index, (calls, disk)) in stops.iter().enumerate().skip(stops.len() % RECOVERY_STRIDE) {
        if !index.is_multiple_of(RECOVERY_STRIDE) && index != again {
            continue;
        }
        let images = Images::of(disk);
        let by_chance = images.count() + calls % 8;
        for number in [0, 3, images.count() / 2, images.count() - 2, by_chance] {
            let (next, next_loss) = images.image(number);
            let (next_state, next_loss) = (state.then(*calls, number), loss.or(next_loss));
            let is_new = inspector.look_at(&next_state, &next, history, next_loss)?;
            if is_new && state.ends.len() == 1 && (index == again || index % 16 == 1 && number == by_chance) {
                crash_recovery(inspector, part, &next_state, (&next, next_loss), history)?;
            }
        }
    }
    Ok(())
}
