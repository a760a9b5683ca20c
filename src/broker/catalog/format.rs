//! The catalog's topics as bytes.
//!
//! ```text
//! byte  size  field             topics follow one another in ascending order of their names, to the end of the bytes
//!    0    16  topic_id          neither 0 nor 1
//!   16     1  state             0 live, 1 being deleted
//!   17     1  name_bytes
//!   18     4  config_bytes
//!   22     -  name              by the rules for topic names
//!    -     -  config            as in partition/config.rs
//! ```
//! Integers are big-endian. Version and checksum are those of the file around it. A later version that adds a field or a
//! setting raises the file's version.

use super::{CatalogEntry, FIRST_TOPIC_ID, TopicState, Topics};
use crate::broker::topic_name;
use crate::format::{Invalid, Reader};
use crate::partition::config::TopicConfig;

const LIVE: u8 = 0;
const BEING_DELETED: u8 = 1;

/// Writes all topics.
pub(super) fn encode(topics: &Topics) -> Vec<u8> {
    let mut out = Vec::new();
    let mut config = Vec::new();
    for (name, entry) in topics {
        config.clear();
        entry.config.encode(&mut config);
        out.extend_from_slice(&entry.topic_id.to_be_bytes());
        out.push(match entry.state {
            TopicState::Live => LIVE,
            TopicState::BeingDeleted => BEING_DELETED,
        });
        out.push(u8::try_from(name.len()).expect("a checked name has at most 249 bytes"));
        out.extend_from_slice(&u32::try_from(config.len()).expect("a few hundred bytes").to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&config);
    }
    out
}

/// Reads what [`encode`] wrote. The bytes may be anything, and names are checked, since directories are found by them.
pub(super) fn decode(bytes: &[u8]) -> Result<Topics, Invalid> {
    let mut reader = Reader::new(bytes);
    let mut topics = Topics::new();
    while !reader.is_empty() {
        let (name, entry) = decode_topic(&mut reader)?;
        // The order makes every name unique, too.
        if topics.last_key_value().is_some_and(|(last, _)| **last >= *name) {
            return Err(Invalid::Malformed("the catalog's topics are not in order"));
        }
        topics.insert(name.into(), entry);
    }
    let mut ids: Vec<_> = topics.values().map(|entry| entry.topic_id).collect();
    ids.sort_unstable();
    if ids.is_sorted_by(|a, b| a < b) { Ok(topics) } else { Err(Invalid::Malformed("two topics have one id")) }
}

fn decode_topic<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, CatalogEntry), Invalid> {
    let topic_id = u128::from_be_bytes(reader.array()?);
    if topic_id < FIRST_TOPIC_ID {
        return Err(Invalid::Malformed("a topic has a reserved id"));
    }
    let state = match reader.u8()? {
        LIVE => TopicState::Live,
        BEING_DELETED => TopicState::BeingDeleted,
        _ => return Err(Invalid::Malformed("a topic has an unknown state")),
    };
    let name_bytes = reader.u8()?.into();
    let config_bytes = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let name = std::str::from_utf8(reader.take(name_bytes)?).ok();
    let name = name.filter(|name| topic_name::validate(name).is_ok());
    let name = name.ok_or(Invalid::Malformed("a topic has a name that none may have"))?;
    let config = TopicConfig::decode(reader.take(config_bytes)?)?;
    Ok((name, CatalogEntry { topic_id, state, config }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let entry = |topic_id, state, partitions| CatalogEntry {
            topic_id,
            state,
            config: TopicConfig::new().partitions(partitions),
        };
        Topics::from([
            ("__consumer_offsets".into(), entry(2, TopicState::Live, 50)),
            ("a".into(), entry(u128::MAX, TopicState::BeingDeleted, 1)),
            ("b".into(), entry(3, TopicState::Live, 7)),
        ])
    }

    #[test]
    fn topics_go_there_and_back() {
        assert_eq!(decode(&encode(&topics())), Ok(topics()));
        assert_eq!(decode(&[]), Ok(Topics::new()));
    }

    #[test]
    fn the_first_bytes_are_as_documented() {
        let bytes = encode(&topics());
        assert_eq!(bytes[..16], 2_u128.to_be_bytes());
        assert_eq!(bytes[16..18], [LIVE, 18]);
        let config_bytes = u32::from_be_bytes(bytes[18..22].try_into().unwrap()) as usize;
        assert_eq!(&bytes[22..40], b"__consumer_offsets");
        assert_eq!(&bytes[40..58], b"\x00\x0enum.partitions\x00\x02");
        assert_eq!(bytes[40 + config_bytes..][..16], u128::MAX.to_be_bytes());
    }

    #[test]
    fn a_cut_is_refused_but_between_topics() {
        let bytes = encode(&topics());
        let whole = (0..bytes.len()).filter(|cut| decode(&bytes[..*cut]).is_ok()).count();
        assert_eq!(whole, topics().len());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = encode(&topics());
        let flipped = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes)
        };
        assert!(flipped(15, 1).is_err(), "a reserved id");
        assert!(flipped(15, 3).is_err(), "an id twice");
        assert!(flipped(16, 2).is_err(), "an unknown state");
        assert!(flipped(18, 0xff).is_err(), "a configuration of 4 GiB");
        assert!(flipped(22, b'/').is_err(), "a name that leads elsewhere");
        assert!(flipped(22, b'z').is_err(), "names out of order");
        assert!(flipped(22, 0xff).is_err(), "a name that is not UTF-8");
        assert!(flipped(58, b'0').is_err(), "no partitions");
    }

    #[test]
    fn any_flipped_bit_is_read_or_refused() {
        let good = encode(&topics());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&bytes);
        }
    }
}
