//! The content of the catalog as bytes.
//!
//! ```text
//! byte  size  field
//!    0    16  directory_id      made with the directory, at random; not 0
//!   16     1  origin            0 made here, 1 restored, 2 promoted
//!   17    16  source_id         of the directory that it came from; 0 where it was made here
//!   33     4  epoch_step        how often it went back in time; leader epochs are at least 65,536 times that
//!   37     -  topics            one after the other in ascending order of their names, to the end of the bytes
//!
//! byte  size  field             one topic
//!    0    16  topic_id          neither 0 nor 1
//!   16     1  state             0 live, 1 being deleted, 2 being filled
//!   17     1  name_bytes
//!   18     4  config_bytes
//!   22     -  name              by the rules for topic names
//!    -     -  config            as in partition/config.rs
//! ```
//! Integers are big-endian. Version and checksum are those of the file around it. A later version that adds a field raises the
//! file's version; one that adds a setting says with it whether who does not know it may ignore it.

use super::{CatalogEntry, DirectoryIdentity, EPOCHS_A_STEP, FIRST_TOPIC_ID, Origin, TopicState, Topics};
use crate::broker::topic_name;
use crate::format::{Invalid, Reader};
use crate::partition::config::{Refusal, TopicConfig};

const MADE_HERE: u8 = 0;
const RESTORED: u8 = 1;
const PROMOTED: u8 = 2;

const LIVE: u8 = 0;
const BEING_DELETED: u8 = 1;
const BEING_FILLED: u8 = 2;

/// Writes all of it.
pub(super) fn encode(identity: &DirectoryIdentity, topics: &Topics) -> Vec<u8> {
    let (origin, source_id) = match identity.origin {
        Origin::MadeHere => (MADE_HERE, 0),
        Origin::Restored(source_id) => (RESTORED, source_id),
        Origin::Promoted(source_id) => (PROMOTED, source_id),
    };
    let mut out = Vec::new();
    out.extend_from_slice(&identity.id.to_be_bytes());
    out.push(origin);
    out.extend_from_slice(&source_id.to_be_bytes());
    out.extend_from_slice(&identity.epoch_step.to_be_bytes());
    let mut config = Vec::new();
    for (name, entry) in topics {
        config.clear();
        entry.config.encode(&mut config);
        config.extend_from_slice(&entry.ignored);
        out.extend_from_slice(&entry.topic_id.to_be_bytes());
        out.push(match entry.state {
            TopicState::Live => LIVE,
            TopicState::BeingDeleted => BEING_DELETED,
            TopicState::BeingFilled => BEING_FILLED,
        });
        out.push(u8::try_from(name.len()).expect("a checked name has at most 249 bytes"));
        out.extend_from_slice(&u32::try_from(config.len()).expect("a few hundred bytes").to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&config);
    }
    out
}

/// Reads what [`encode`] wrote. The bytes may be anything, and names are checked, since directories are found by them.
pub(super) fn decode(bytes: &[u8]) -> Result<(DirectoryIdentity, Topics), Refusal> {
    let mut reader = Reader::new(bytes);
    let identity = decode_identity(&mut reader)?;
    let mut topics = Topics::new();
    while !reader.is_empty() {
        let (name, entry) = decode_topic(&mut reader)?;
        // The order makes every name unique, too.
        if topics.last_key_value().is_some_and(|(last, _)| **last >= *name) {
            return Err(Invalid::Malformed("the catalog's topics are not in order").into());
        }
        topics.insert(name.into(), entry);
    }
    let mut ids: Vec<_> = topics.values().map(|entry| entry.topic_id).collect();
    ids.sort_unstable();
    if ids.is_sorted_by(|a, b| a < b) {
        Ok((identity, topics))
    } else {
        Err(Invalid::Malformed("two topics have one id").into())
    }
}

fn decode_identity(reader: &mut Reader<'_>) -> Result<DirectoryIdentity, Invalid> {
    let id = u128::from_be_bytes(reader.array()?);
    let origin = reader.u8()?;
    let source_id = u128::from_be_bytes(reader.array()?);
    let epoch_step = reader.u32()?;
    let origin = match (origin, source_id) {
        (MADE_HERE, 0) => Origin::MadeHere,
        (RESTORED, 1..) => Origin::Restored(source_id),
        (PROMOTED, 1..) => Origin::Promoted(source_id),
        _ => return Err(Invalid::Malformed("a directory has an unknown origin")),
    };
    let fits = epoch_step.checked_mul(EPOCHS_A_STEP).is_some_and(|epoch| i32::try_from(epoch).is_ok());
    if id == 0 || !fits {
        return Err(Invalid::Malformed("a directory has no id, or went back in time too often"));
    }
    Ok(DirectoryIdentity { id, origin, epoch_step })
}

fn decode_topic<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, CatalogEntry), Refusal> {
    let topic_id = u128::from_be_bytes(reader.array()?);
    if topic_id < FIRST_TOPIC_ID {
        return Err(Invalid::Malformed("a topic has a reserved id").into());
    }
    let state = match reader.u8()? {
        LIVE => TopicState::Live,
        BEING_DELETED => TopicState::BeingDeleted,
        BEING_FILLED => TopicState::BeingFilled,
        _ => return Err(Invalid::Malformed("a topic has an unknown state").into()),
    };
    let name_bytes = reader.u8()?.into();
    let config_bytes = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let name = std::str::from_utf8(reader.take(name_bytes)?).ok();
    let name = name.filter(|name| topic_name::validate(name).is_ok());
    let name = name.ok_or(Invalid::Malformed("a topic has a name that none may have"))?;
    let (config, ignored) = TopicConfig::decode(reader.take(config_bytes)?)?;
    Ok((name, CatalogEntry { topic_id, state, config, ignored }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: DirectoryIdentity = DirectoryIdentity { id: 9, origin: Origin::Restored(8), epoch_step: 7 };
    const TOPICS: usize = 37;

    /// A setting of a later version with these flags.
    fn later_setting(flags: u8) -> Vec<u8> {
        [&[flags, 0, 4][..], b"late", &[0, 1], b"r"].concat()
    }

    fn encoded() -> Vec<u8> {
        encode(&IDENTITY, &topics())
    }

    fn topics() -> Topics {
        let entry = |topic_id, state, partitions| CatalogEntry {
            topic_id,
            state,
            config: TopicConfig::new().partitions(partitions),
            ignored: if partitions == 7 { later_setting(1) } else { Vec::new() },
        };
        Topics::from([
            ("__consumer_offsets".into(), entry(2, TopicState::Live, 50)),
            ("a".into(), entry(u128::MAX, TopicState::BeingDeleted, 1)),
            ("b".into(), entry(3, TopicState::Live, 7)),
            ("c".into(), entry(4, TopicState::BeingFilled, 2)),
        ])
    }

    #[test]
    fn topics_go_there_and_back() {
        assert_eq!(decode(&encoded()), Ok((IDENTITY, topics())));
        for origin in [Origin::MadeHere, Origin::Promoted(u128::MAX)] {
            let identity = DirectoryIdentity { origin, ..IDENTITY };
            assert_eq!(decode(&encode(&identity, &Topics::new())), Ok((identity, Topics::new())));
        }
    }

    #[test]
    fn a_setting_of_a_later_version_is_refused_unless_it_may_be_ignored() {
        for flags in [0, 2, 3] {
            let mut topics = topics();
            topics.get_mut("a").unwrap().ignored = later_setting(flags);
            assert_eq!(decode(&encode(&IDENTITY, &topics)), Err(Refusal::Newer), "{flags}");
        }
    }

    #[test]
    fn leader_epochs_begin_at_the_step() {
        let identity = |epoch_step| DirectoryIdentity { epoch_step, ..IDENTITY };
        assert_eq!([0, 1, 7].map(|step| identity(step).least_leader_epoch()), [0, 65_536, 7 * 65_536]);
        let largest = identity(32_767);
        assert_eq!(decode(&encode(&largest, &Topics::new())), Ok((largest, Topics::new())));
        for too_large in [32_768, 1 << 16, u32::MAX] {
            assert!(decode(&encode(&identity(too_large), &Topics::new())).is_err());
        }
    }

    #[test]
    fn the_first_bytes_are_as_documented() {
        let bytes = encoded();
        assert_eq!(bytes[..TOPICS], [&9_u128.to_be_bytes()[..], &[1], &8_u128.to_be_bytes(), &[0, 0, 0, 7]].concat());
        let bytes = &bytes[TOPICS..];
        assert_eq!(bytes[..16], 2_u128.to_be_bytes());
        assert_eq!(bytes[16..18], [LIVE, 18]);
        let config_bytes = u32::from_be_bytes(bytes[18..22].try_into().unwrap()) as usize;
        assert_eq!(&bytes[22..40], b"__consumer_offsets");
        assert_eq!(&bytes[40..59], b"\x00\x00\x0enum.partitions\x00\x02");
        assert_eq!(bytes[40 + config_bytes..][..16], u128::MAX.to_be_bytes());
    }

    #[test]
    fn a_cut_is_refused_but_between_topics() {
        let bytes = encoded();
        let whole = (0..bytes.len()).filter(|cut| decode(&bytes[..*cut]).is_ok()).count();
        assert_eq!(whole, topics().len());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = encoded();
        let flipped = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[TOPICS + at] = byte;
            decode(&bytes)
        };
        assert!(flipped(15, 1).is_err(), "a reserved id");
        assert!(flipped(15, 3).is_err(), "an id twice");
        assert!(flipped(16, 3).is_err(), "an unknown state");
        assert!(flipped(18, 0xff).is_err(), "a configuration of 4 GiB");
        assert!(flipped(22, b'/').is_err(), "a name that leads elsewhere");
        assert!(flipped(22, b'z').is_err(), "names out of order");
        assert!(flipped(22, 0xff).is_err(), "a name that is not UTF-8");
        assert!(flipped(59, b'0').is_err(), "no partitions");
    }

    #[test]
    fn any_flipped_bit_is_read_or_refused() {
        let good = encoded();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&bytes);
        }
    }
}
