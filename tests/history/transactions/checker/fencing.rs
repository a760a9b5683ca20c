//! One holder of a name at a time.

use crate::checker::Checked;
use crate::events::Moment;
use crate::transactions::events::{Attempt, Holder, Life, Outcome};

/// Nothing that was asked for by who has lost its name is done.
pub(super) fn check(life: &Life) -> Checked {
    let lost: Vec<Moment> = life.holders.iter().map(|holder| lost_at(life, holder)).collect();
    for attempt in &life.attempts {
        let Some(lost) = attempt.holder.map(|holder| lost[holder]) else { continue };
        if let Some(write) = attempt.writes.iter().find(|write| lost < write.began) {
            return Err(format!("{write:?} was sent by one who had lost its name at {lost}"));
        }
        check_commit(attempt, lost)?;
    }
    Ok(())
}

fn check_commit(attempt: &Attempt, lost: Moment) -> Checked {
    if attempt.outcome == Outcome::Committed && lost < attempt.deciding {
        return Err(format!("one who had lost its name at {lost} has committed: {attempt:?}"));
    }
    Ok(())
}

/// When the first one who opened the name after this one had it.
fn lost_at(life: &Life, holder: &Holder) -> Moment {
    let later = life.holders.iter().filter(|other| other.name == holder.name && holder.ended < other.began);
    later.map(|other| other.ended).min().unwrap_or(Moment::MAX)
}
