//! Kafka's file `partition.metadata`: the id of the topic that a partition's directory belongs to.
//!
//! Two lines without a final newline: `version: 0` and `topic_id: ` with 16 bytes in URL-safe Base64 without padding. It tells
//! a directory of an earlier topic of the same name from this one's. A crash leaves the old file or the new one.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, Open, generations};
use crate::error::{Error, Result};

pub(crate) const FILE_NAME: &str = "partition.metadata";
const BEFORE_ID: &str = "version: 0\ntopic_id: ";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 128 bits, 6 in each character.
const ID_CHARACTERS: usize = 22;

/// Reads the topic id of a partition's directory; `None` if there is no file.
///
/// # Errors
/// [`Error::Corrupt`] if the file makes no sense, or the disk's.
pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<u128>> {
    let path = path(dir);
    let Some(bytes) = generations::read_file(disk, &path)? else { return Ok(None) };
    decode(&bytes).map(Some).ok_or_else(|| Error::corrupt_file(&path, 0, "not the text that names a topic's id"))
}

/// Reads the text of the file; `None` if it makes no sense.
pub(crate) fn decode(bytes: &[u8]) -> Option<u128> {
    bytes.strip_prefix(BEFORE_ID.as_bytes()).and_then(decode_id)
}

/// Writes the topic id into a partition's directory. When this returns it survives a power cut.
///
/// # Errors
/// The disk's.
pub(crate) fn store(disk: &dyn Disk, dir: &Path, topic_id: u128) -> Result<()> {
    generations::replace_file(disk, &path(dir), text_of(topic_id).as_bytes())
}

/// The same for a directory that was just made, at a third of the price: there is no old file that must stay whole, nobody looks
/// into the directory before the catalog names it, and it is no loss if a power cut takes the file's name. What has the name then
/// is this text: it is synced, as a file system may show the bytes of any other file where nothing was.
///
/// # Errors
/// The disk's.
pub(crate) fn create(disk: &dyn Disk, dir: &Path, topic_id: u128) -> Result<()> {
    let path = path(dir);
    let write = || {
        let file = disk.open(&path, Open::CreateNew)?;
        file.write_at(text_of(topic_id).as_bytes(), 0)?;
        file.sync()
    };
    write().map_err(|source| Error::io("write", &path, source))
}

fn text_of(topic_id: u128) -> String {
    format!("{BEFORE_ID}{}", encode_id(topic_id))
}

/// The file in a partition's directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// A topic id as Kafka prints it.
pub(crate) fn encode_id(id: u128) -> String {
    // The last character has only 2 bits of the id left, followed by zeros.
    let sextet = |index: usize| if index + 1 < ID_CHARACTERS { id >> (122 - 6 * index) } else { id << 4 };
    let character = |index| BASE64.get((sextet(index) & 63) as usize).copied().map_or('A', char::from);
    (0..ID_CHARACTERS).map(character).collect()
}

fn decode_id(text: &[u8]) -> Option<u128> {
    let (last, text) = text.split_last().filter(|(_, text)| text.len() + 1 == ID_CHARACTERS)?;
    let sextet = |character: &u8| BASE64.iter().position(|other| other == character);
    let id = text.iter().try_fold(0, |id: u128, character| Some(id << 6 | sextet(character)? as u128))?;
    let last = sextet(last)?;
    (last % 16 == 0).then_some(id << 2 | (last / 16) as u128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::os::OsDisk;

    #[test]
    fn the_text_is_kafkas() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), OsDisk::new());
        assert_eq!(load(&disk, dir.path()).unwrap(), None);
        create(&disk, dir.path(), 7).unwrap();
        assert_eq!(load(&disk, dir.path()).unwrap(), Some(7));
        store(&disk, dir.path(), 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f).unwrap();
        let bytes = generations::read_file(&disk, &path(dir.path())).unwrap().unwrap();
        assert_eq!(bytes, b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(load(&disk, dir.path()).unwrap(), Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f));
        for text in [&b""[..], b"version: 1\ntopic_id: AAECAwQFBgcICQoLDA0ODw", b"version: 0\ntopic_id: AAEC"] {
            generations::replace_file(&disk, &path(dir.path()), text).unwrap();
            assert!(matches!(load(&disk, dir.path()), Err(Error::Corrupt(_))));
        }
    }

    proptest! {
        #[test]
        fn an_id_there_and_back_is_the_same(id in any::<u128>()) {
            prop_assert_eq!(decode_id(encode_id(id).as_bytes()), Some(id));
        }

        #[test]
        fn only_what_prints_the_same_is_taken(text in "[A-Za-z0-9_-]{22}|\\PC{0,30}") {
            if let Some(id) = decode_id(text.as_bytes()) {
                prop_assert_eq!(encode_id(id), text);
            }
        }
    }
}
