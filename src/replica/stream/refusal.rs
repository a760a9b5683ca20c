//! Why a source does not answer, or stops to: what it says instead of the rest of a reply.
//!
//! ```text
//! byte  size  field             the payload of a refusal, big-endian
//!    0     1  what              1 the histories differ, 2 the source has failed, 3 the same, and it may be over by now
//!
//!    1     1  difference        where they differ: 1 a topic is missing, 2 it has fewer partitions, 3 the source goes on otherwise,
//!                               4 it has other records, 5 it lacks what was acknowledged
//!    2     4  partition         ┐ −1 if it is about the topic
//!    6     8  offset            ┘
//!   14     -  topic             by the rules for topic names, to the end
//!
//!    1     -  reason            where it has failed: UTF-8, at most 4 KiB, to the end
//! ```

use std::path::Path;

use crate::broker::topic_name;
use crate::error::Error;
use crate::format::{Invalid, Reader};
use crate::replica::history::Difference;
use crate::topic_partition::TopicPartition;

const DIVERGED: u8 = 1;
const FAILED: u8 = 2;
const FAILED_FOR_NOW: u8 = 3;

const REASON_BYTES_MAX: usize = 4 << 10;

/// Why a source does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Diverged(Divergence),
    NotServed { reason: String, is_passing: bool },
}

/// Where the histories of a replica and its source differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Divergence {
    pub(super) topic: String,
    /// The partition, and the first offset at which they differ.
    pub(super) at: Option<(u32, u64)>,
    pub(super) difference: Difference,
}

impl Divergence {
    /// What to say of the replica in this directory.
    pub(super) fn to_error(&self, path: &Path) -> Error {
        Error::ReplicaDiverged {
            path: path.to_owned(),
            topic: self.topic.clone(),
            partition: self.at.map(|(partition, _)| TopicPartition::new(&*self.topic, partition)),
            offset: self.at.map(|(_, offset)| offset),
            reason: self.difference.reason(),
        }
    }
}

impl Refusal {
    /// What to say of the replica in this directory.
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Refusal::Diverged(divergence) => divergence.to_error(path),
            Refusal::NotServed { reason, is_passing } => Error::ReplicaNotServed { reason, is_passing },
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Refusal::Diverged(Divergence { topic, at, difference }) => {
                let (partition, offset) = at.map_or((u32::MAX, u64::MAX), |at| at);
                let mut bytes = vec![DIVERGED, code(*difference)];
                bytes.extend(partition.to_be_bytes());
                bytes.extend(offset.to_be_bytes());
                bytes.extend_from_slice(topic.as_bytes());
                bytes
            }
            Refusal::NotServed { reason, is_passing } => {
                let mut end = reason.len().min(REASON_BYTES_MAX);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                let what = if *is_passing { FAILED_FOR_NOW } else { FAILED };
                [&[what], reason.as_bytes().get(..end).unwrap_or_default()].concat()
            }
        }
    }

    /// Reads what [`encode`](Refusal::encode) wrote. The bytes may be anything.
    pub(super) fn decode(bytes: &[u8]) -> Result<Refusal, Invalid> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            DIVERGED => decode_divergence(&mut reader).map(Refusal::Diverged),
            what @ (FAILED | FAILED_FOR_NOW) if reader.rest().len() <= REASON_BYTES_MAX => {
                let text = String::from_utf8_lossy(reader.rest());
                // It goes into logs and to terminals.
                let reason = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
                Ok(Refusal::NotServed { reason, is_passing: what == FAILED_FOR_NOW })
            }
            _ => Err(Invalid::Malformed("a refusal is of an unknown kind")),
        }
    }
}

fn decode_divergence(reader: &mut Reader<'_>) -> Result<Divergence, Invalid> {
    let found = reader.u8()?;
    let difference = Difference::ALL.into_iter().find(|difference| code(*difference) == found);
    let difference = difference.ok_or(Invalid::Malformed("a refusal names an unknown difference"))?;
    let at = match (reader.u32()?, u64::from_be_bytes(reader.array()?)) {
        (u32::MAX, u64::MAX) => None,
        at => Some(at),
    };
    let topic = std::str::from_utf8(reader.rest()).ok().filter(|name| topic_name::validate(name).is_ok());
    let topic = topic.ok_or(Invalid::Malformed("a topic has a name that none may have"))?.to_owned();
    Ok(Divergence { topic, at, difference })
}

fn code(difference: Difference) -> u8 {
    match difference {
        Difference::TopicIsMissing => 1,
        Difference::FewerPartitions => 2,
        Difference::GoesOnOtherwise => 3,
        Difference::OtherRecords => 4,
        Difference::LacksAcknowledged => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_there_and_back() {
        let refusals = Difference::ALL.into_iter().flat_map(|difference| {
            let diverged = |at| Refusal::Diverged(Divergence { topic: "orders".to_owned(), at, difference });
            [diverged(None), diverged(Some((3, 1 << 40)))]
        });
        let failed = [true, false].map(|is_passing| Refusal::NotServed { reason: "the disk".to_owned(), is_passing });
        for refusal in refusals.chain(failed) {
            assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
        }
    }

    #[test]
    fn what_is_said_is_short_and_has_no_control_characters() {
        let long = Refusal::NotServed { reason: "ä".repeat(4000), is_passing: false };
        assert_eq!(long.encode().len(), 1 + REASON_BYTES_MAX);
        assert!(Refusal::decode(&[&[FAILED][..], &[b'x'; 5000]].concat()).is_err());
        let Ok(Refusal::NotServed { reason, .. }) = Refusal::decode(b"\x02a\x1b[31m\nb\xff") else { panic!("refused") };
        assert_eq!(reason, "a [31m b\u{fffd}");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let refusal = Refusal::Diverged(Divergence {
            topic: "../../etc".to_owned(),
            at: None,
            difference: Difference::TopicIsMissing,
        });
        assert!(Refusal::decode(&refusal.encode()).is_err());
    }
}
