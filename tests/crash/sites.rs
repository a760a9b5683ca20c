//! Where calls fail: an operation on a kind of file, with a kind of fault; and how often each of them did.

use std::collections::BTreeMap;
use std::path::Path;

use ottla::testing::{Call, FaultKind, Operation};

/// The kinds of faults, with their names.
pub(crate) const KINDS: [(FaultKind, &str); 6] = [
    (FaultKind::InputOutput, "EIO"),
    (FaultKind::StorageFull, "ENOSPC"),
    (FaultKind::TooManyOpenFiles, "EMFILE"),
    (FaultKind::ShortWrite, "short"),
    (FaultKind::Interrupted, "EINTR"),
    (FaultKind::OutOfMemory, "ENOMEM"),
];

/// Operation, kind of file, kind of fault.
pub(crate) type Site = (String, String, &'static str);

pub(crate) fn site(call: &Call, fault: &'static str) -> Site {
    (format!("{:?}", call.operation), file_kind(call), fault)
}

/// What kind of file or directory a call is for.
fn file_kind(call: &Call) -> String {
    use Operation::{CreateDir, List, RemoveDir, SyncDir};
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if matches!(call.operation, CreateDir | List | RemoveDir | SyncDir) {
        let is_above = call.path.components().count() <= 2;
        return if is_above { "data directory" } else { "partition directory" }.to_owned();
    }
    let name = name(&call.path);
    match call.path.extension() {
        // Of a segment, and of its stages on the way in or out.
        Some(extension) if name.starts_with("00") => extension.to_string_lossy().into_owned(),
        _ => name,
    }
}

/// How often which site was reached, and failed.
#[derive(Debug, Default)]
pub(crate) struct Sites(BTreeMap<Site, (u64, u64)>);

impl Sites {
    pub(crate) fn reach(&mut self, site: Site) {
        self.0.entry(site).or_default().0 += 1;
    }

    pub(crate) fn fail(&mut self, site: Site) {
        self.0.entry(site).or_default().1 += 1;
    }

    /// Sites that a workload reaches and that were never made to fail.
    pub(crate) fn missed(&self) -> Vec<&Site> {
        self.0.iter().filter(|(_, (reached, failed))| *reached > 0 && *failed == 0).map(|(site, _)| site).collect()
    }

    /// A line for each operation on a kind of file: how often it failed, by kind of fault.
    pub(crate) fn print(&self) {
        let mut lines: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for (_, fault) in KINDS {
            for ((operation, file, of), (_, failed)) in &self.0 {
                if *of == fault {
                    lines.entry((operation, file)).or_default().push(format!("{fault} {failed}"));
                }
            }
        }
        for ((operation, file), counts) in lines {
            println!("{operation:>10} {file:<26} {}", counts.join(", "));
        }
    }
}
