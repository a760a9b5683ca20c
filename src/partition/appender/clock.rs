//! [`Clock`]: the time at an append, and which records get it.

use crate::partition::log_core::LogCore;
use crate::partition::timestamp_type::TimestampType;
use crate::record::{ProducerRecord, Timestamp};

/// Whose time records get: a [`TimestampType`], or, where topics leave that to senders, a value that says so to the compiler. Those
/// pay nothing for the others then (44 instructions of a send).
pub(in crate::partition) trait WhoseTime: Copy {
    fn timestamp_type(self) -> TimestampType;
}

/// That of the sender.
#[derive(Debug, Clone, Copy)]
pub(in crate::partition) struct SendersTime;

impl WhoseTime for SendersTime {
    #[inline]
    fn timestamp_type(self) -> TimestampType {
        TimestampType::CreateTime
    }
}

impl WhoseTime for TimestampType {
    #[inline]
    fn timestamp_type(self) -> TimestampType {
        self
    }
}

/// The clock's time at an append, and which records get it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock<W = TimestampType> {
    pub(super) now_ms: i64,
    pub(super) whose: W,
}

impl<W: WhoseTime> Clock<W> {
    /// One reading for all of `records`, if one of them needs it.
    #[inline]
    pub(super) fn read(log: &LogCore, records: &[ProducerRecord<'_>], whose: W) -> Clock<W> {
        let own = match records {
            [record] if whose.timestamp_type() == TimestampType::CreateTime => record.get_timestamp(),
            _ => None,
        };
        Clock { now_ms: own.map_or_else(|| log.environment.now_ms(), Timestamp::as_millis), whose }
    }

    /// The same, for code that is there once.
    #[inline]
    pub(super) fn of_any(self) -> Clock {
        Clock { now_ms: self.now_ms, whose: self.whose.timestamp_type() }
    }

    #[inline]
    pub(super) fn timestamp_of(self, record: &ProducerRecord<'_>) -> i64 {
        match self.whose.timestamp_type() {
            TimestampType::CreateTime => record.get_timestamp().map_or(self.now_ms, Timestamp::as_millis),
            TimestampType::LogAppendTime => self.now_ms,
        }
    }
}
