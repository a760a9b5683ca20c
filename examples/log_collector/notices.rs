//! What is told by name: files that cannot be read, and what is not collected. Each is told once.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: Mutex<HashSet<String>>,
    has_failed: AtomicBool,
}

impl Notices {
    /// Tells of something that the user has to do something about. Whether it is news.
    pub(crate) fn fail(&self, path: &Path, reason: impl Display) -> bool {
        self.has_failed.store(true, Ordering::Relaxed);
        self.tell(path, reason)
    }

    /// Tells of something that the user may want to know. Whether it is news.
    pub(crate) fn tell(&self, path: &Path, reason: impl Display) -> bool {
        let text = format!("log_collector: {}: {reason}", path.display());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.insert(text.clone());
        if is_news && !cfg!(test) {
            // Erases what there is of a progress bar.
            eprintln!("{text:<60}");
        }
        is_news
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// What was told, in no order.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
