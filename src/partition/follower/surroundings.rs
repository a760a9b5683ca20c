//! What the followers of a broker share: the writer's tails, and what is only known of the directory as a whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Result;
use crate::partition::durability::Durability;
use crate::sync::Mutex;
use crate::tail::FollowedTails;

/// What the followers of a broker share. What is asked of the whole directory, its owner answers: a layer further up.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(super) tails: FollowedTails,
    data_dir: PathBuf,
    questions: Questions,
    known: Mutex<Option<Known>>,
}

/// What topics have as their durability, by their ids; `None` for those that go by the broker's.
pub(crate) type Durabilities = HashMap<u128, Option<Durability>>;

/// What the catalog said when the tails had these words.
#[derive(Debug)]
struct Known {
    words: [u64; 2],
    durabilities: Arc<Durabilities>,
}

/// What is asked of the whole directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Questions {
    /// What the durability of each topic is.
    pub(crate) durabilities: fn(&Arc<dyn Disk>, &Path) -> Result<Durabilities>,
    /// Whether there is a topic with this id.
    pub(crate) has_topic: fn(&Arc<dyn Disk>, &Path, u128) -> Result<bool>,
    /// Whether the machine was restarted since a writer had last begun to serve.
    pub(crate) was_restarted: fn(&dyn Disk, &Path) -> bool,
}

impl Surroundings {
    pub(crate) fn new(data_dir: &Path, questions: Questions) -> Surroundings {
        let (tails, known) = (FollowedTails::new(data_dir), Mutex::default());
        Surroundings { tails, data_dir: data_dir.to_owned(), questions, known }
    }

    /// Closes and unmaps what is open of the directory.
    pub(crate) fn close(&self) {
        self.tails.close();
    }

    /// What the durability of each topic was once the tails had these `words`, or later; `None` if the catalog cannot be read. It is
    /// read anew only where the words are others, which they are after each change.
    pub(super) fn durabilities(&self, disk: &Arc<dyn Disk>, words: Option<[u64; 2]>) -> Option<Arc<Durabilities>> {
        let is_of = |known: &&Known| Some(known.words) == words;
        let known = self.known.lock().as_ref().filter(is_of).map(|known| Arc::clone(&known.durabilities));
        if known.is_some() {
            return known;
        }
        let read = Arc::new((self.questions.durabilities)(disk, &self.data_dir).ok()?);
        *self.known.lock() = words.map(|words| Known { words, durabilities: Arc::clone(&read) });
        Some(read)
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
