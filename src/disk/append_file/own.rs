//! What an [`AppendFile`] does before it writes to a file that has a second name: it goes on in a copy.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::AppendFile;
use crate::disk::{DiskFile, own_copy};
use crate::sync::atomic::Ordering;

impl AppendFile {
    /// The handle, of a file that has no second name: to write to. The caller holds `above`.
    ///
    /// # Errors
    /// The disk's; nothing that was published is harmed, and it can be tried again.
    pub(super) fn own_handle(&self) -> io::Result<Arc<dyn DiskFile>> {
        let handle = self.handle()?;
        if handle.is_shared() || self.owes_name_sync.load(Ordering::Relaxed) {
            self.make_own(handle)
        } else {
            Ok(handle)
        }
    }

    /// Copies what is published, and nothing above it: what another broker appends to the file by its other name is not ours.
    #[cold]
    fn make_own(&self, handle: Arc<dyn DiskFile>) -> io::Result<Arc<dyn DiskFile>> {
        // Whoever maps the old file has put the map there by now, or will map the new one.
        let _nobody_maps = self.was_mapped.lock();
        let path = self.path.lock();
        let path = path.as_ref().ok_or(ErrorKind::NotFound)?;
        let disk = &**self.files.disk();
        let own = if handle.is_shared() {
            // An error of writing the old file back would be forgotten with it.
            self.handle.sync_if_dirty(&*handle)?;
            let own = own_copy::replace(disk, path, &*handle, self.len())?;
            self.owes_name_sync.store(true, Ordering::Relaxed);
            self.handle.put(Arc::clone(&own));
            // It shows the old file. Views of it stay good: what was published is the same in both, for ever.
            self.map.empty();
            own
        } else {
            handle
        };
        // Nothing is written before: a power cut could bring the old file back, without what was synced in the new one.
        own_copy::sync_name(disk, path)?;
        self.owes_name_sync.store(false, Ordering::Relaxed);
        Ok(own)
    }
}
