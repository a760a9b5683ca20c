//! What a source has for a request: a point that the replica can follow it to, or why it cannot.

use std::sync::Arc;

use super::refusal::Divergence;
use super::request::{Request, RequestTopic};
use crate::broker::Broker;
use crate::disk::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::partition::log_id::LogId;
use crate::replica::history::{self, Difference};
use crate::replica::local_source::LocalSource;
use crate::replica::offer::{DirectoryOffer, OfferedLog};
use crate::replica::source_end::SourceEnd;

/// So often in a row a directory of another process may be found in the middle of a change.
const LOOKS_MAX: usize = 10;

/// A point of a source.
pub(super) struct Point<'s> {
    pub(super) offer: DirectoryOffer,
    pub(super) source: LocalSource<'s>,
}

/// Where two histories differ, or only seem to, since files come and go.
enum Finding {
    Diverged(Divergence),
    Seems((LogId, u64), Divergence),
    Failed(Error),
}

impl From<Error> for Finding {
    fn from(error: Error) -> Finding {
        Finding::Failed(error)
    }
}

/// The point at which `broker` is now, for the replica that asks; where their histories differ, if it cannot follow there.
///
/// # Errors
/// Why the source cannot be read.
pub(super) fn point_for<'s>(
    request: &Request,
    broker: &Broker,
    open_files: &'s Arc<OpenFiles>,
) -> Result<Result<Point<'s>, Divergence>> {
    let (mut seemed, mut looks) = (None, 0);
    loop {
        let (offer, files) = DirectoryOffer::of(broker.store.durable_contents()?);
        if !offer.has_all_logs() {
            // Another process has just made a topic, or removes one.
            looks += 1;
            if looks < LOOKS_MAX {
                continue;
            }
            let reason = "topics came or went while they were looked at".to_owned();
            return Err(Error::ReplicaNotServed { reason, is_passing: true });
        }
        let source = LocalSource::new(&offer.logs, files, open_files);
        match check_history(request, &offer, &source) {
            Ok(()) => return Ok(Ok(Point { offer, source })),
            Err(Finding::Diverged(divergence)) => return Ok(Err(divergence)),
            // Once may be a file that came or went meanwhile. What stays so is wrong.
            Err(Finding::Seems(at, divergence)) if seemed == Some(at) => return Ok(Err(divergence)),
            Err(Finding::Seems(at, _)) => seemed = Some(at),
            Err(Finding::Failed(error)) => return Err(error),
        }
    }
}

fn check_history(request: &Request, offer: &DirectoryOffer, source: &LocalSource<'_>) -> Result<(), Finding> {
    let is_same_directory = offer.identity.id == request.source_id;
    let checked = history::check_topics(request.topics.iter().map(RequestTopic::held), is_same_directory, offer);
    checked.map_err(|(topic, difference)| {
        Finding::Diverged(Divergence { topic: topic.to_owned(), at: None, difference })
    })?;
    let diverged = |offered: &OfferedLog, offset, difference| Divergence {
        topic: offered.partition.topic().to_owned(),
        at: Some((offered.id.partition, offset)),
        difference,
    };
    for offered in &offer.logs {
        let Some(held) = request.logs.get(&offered.id) else { continue };
        let checked = history::check_log(held, offered);
        checked.map_err(|(offset, difference)| Finding::Diverged(diverged(offered, offset, difference)))?;
        if let Some(unlike) = source.first_unlike(held, offered)? {
            let divergence = diverged(offered, unlike.base_offset, Difference::OtherRecords);
            return Err(Finding::Seems((offered.id, unlike.base_offset), divergence));
        }
    }
    Ok(())
}
