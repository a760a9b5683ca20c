//! What the followers of a broker share: the writer's tails, and what is only known of the directory as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::tail::FollowedTails;

/// What the followers of a broker share. What is asked of the whole directory, its owner answers: a layer further up.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(super) tails: FollowedTails,
    data_dir: PathBuf,
    questions: Questions,
}

/// What is asked of the whole directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Questions {
    /// Whether there is a topic with this id.
    pub(crate) has_topic: fn(&Arc<dyn Disk>, &Path, u128) -> Result<bool>,
    /// Whether the machine was restarted since a writer had last begun to serve.
    pub(crate) was_restarted: fn(&dyn Disk, &Path) -> bool,
}

impl Surroundings {
    pub(crate) fn new(data_dir: &Path, questions: Questions) -> Surroundings {
        Surroundings { tails: FollowedTails::new(data_dir), data_dir: data_dir.to_owned(), questions }
    }

    /// Closes and unmaps what is open of the directory.
    pub(crate) fn close(&self) {
        self.tails.close();
    }

    pub(super) fn has_topic(&self, disk: &Arc<dyn Disk>, topic_id: u128) -> Result<bool> {
        (self.questions.has_topic)(disk, &self.data_dir, topic_id)
    }

    /// Whether the machine was restarted since anybody wrote: then all that can be read is on the medium. Until a writer has
    /// dealt with that, its boot is not noted.
    pub(super) fn was_restarted(&self, disk: &dyn Disk) -> bool {
        (self.questions.was_restarted)(disk, &self.data_dir)
    }
}
