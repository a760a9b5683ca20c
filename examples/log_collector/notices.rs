//! What is told by name: files that cannot be read, and what is not collected. Each is told once.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: Mutex<HashSet<String>>,
    failures: AtomicU64,
}

impl Notices {
    /// Tells of something that the user has to do something about.
    pub(crate) fn fail(&self, path: &Path, reason: impl Display) {
        let is_news = self.tell(path, reason);
        self.failures.fetch_add(u64::from(is_news), Ordering::Relaxed);
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

    /// How much the user was told of to do something about it.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What was told, in no order.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
