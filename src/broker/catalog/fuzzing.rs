//! Catalogs made of any bytes.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how the fuzzer hears of a broken rule")]

use std::path::Path;
use std::sync::Arc;

use super::{Catalog, FILE_NAME, FIRST_TOPIC_ID, KIND, Topics, format, topic_name};
use crate::disk::generations::fuzzing::framed;
use crate::disk::simulated::SimulatedDisk;

/// Reads a catalog, which is framed first if `is_payload`, and writes it again.
pub fn catalog(bytes: &[u8], is_payload: bool) {
    let decoded = format::decode(bytes);
    if let Ok((identity, topics)) = &decoded {
        check(topics);
        let encoded = format::encode(identity, topics);
        assert_eq!(format::decode(&encoded), decoded, "topics come back from their bytes");
    }
    let file = if is_payload { framed(KIND, bytes) } else { bytes.to_vec() };
    let disk = SimulatedDisk::new(0);
    let dir = Path::new("/data");
    disk.put(dir.join(FILE_NAME), &file);
    let opened = Catalog::open(Arc::new(disk.clone()), dir);
    match &opened {
        Ok(catalog) => check(&catalog.topics),
        Err(_) => assert_eq!(disk.read(dir.join(FILE_NAME)), Some(file), "what cannot be read is left alone"),
    }
    if is_payload {
        assert_eq!(opened.ok().map(|catalog| (catalog.identity, catalog.topics)), decoded.ok());
    }
}

fn check(topics: &Topics) {
    for (name, entry) in topics {
        topic_name::validate(name).unwrap();
        assert!(FIRST_TOPIC_ID <= entry.topic_id);
    }
}
