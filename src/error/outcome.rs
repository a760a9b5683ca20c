//! What an error of a sending call says about the records: whether they are in the log.

use std::fmt;

use super::Error;

/// Where the records are that a sending call returned an error for. See [`Error::outcome`].
///
/// # Examples
/// ```
/// use ottla::{Broker, ProducerRecord, SendOutcome};
/// # let broker = Broker::temporary()?;
/// let error = broker.producer().send(ProducerRecord::to("no-such-topic").value("2 coffees")).unwrap_err();
/// assert_eq!(error.outcome(), SendOutcome::NotAppended);
/// # Ok::<_, ottla::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendOutcome {
    /// None of them is in the log, and none will be. To send them again gives no duplicate.
    NotAppended,
    /// All of them are in the log, in their order, and outlive the process. To send them again gives duplicates.
    Appended,
    /// Those of some partitions are in the log, as [`Error::PartlySent`] says.
    Partly,
    /// The disk failed under these very records, and they are in the log or they are not: all of them or none. It shows once
    /// the broker is opened again.
    Unknown,
}

impl fmt::Display for SendOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendOutcome::NotAppended => "not appended",
            SendOutcome::Appended => "appended",
            SendOutcome::Partly => "partly appended",
            SendOutcome::Unknown => "unknown",
        })
    }
}

impl Error {
    /// Whether the records are in the log that a sending call returned this error for: [`send`](crate::Producer::send),
    /// [`send_batch`](crate::Producer::send_batch), [`produce`](crate::Topic::produce), [`append`](crate::Partition::append),
    /// [`append_batch`](crate::Partition::append_batch). For commits and resets of a group's offsets it says the same of what
    /// was to be committed.
    ///
    /// # Examples
    /// ```
    /// use ottla::{ProducerRecord, SendOutcome};
    /// # let broker = ottla::Broker::temporary()?;
    /// let refused = broker.producer().send(ProducerRecord::to("no such topic").value("2 coffees")).unwrap_err();
    /// assert_eq!(refused.outcome(), SendOutcome::NotAppended);
    /// # Ok::<_, ottla::Error>(())
    /// ```
    #[must_use]
    pub fn outcome(&self) -> SendOutcome {
        match self {
            Error::NotDurable { .. } => SendOutcome::Appended,
            Error::PartlySent { .. } => SendOutcome::Partly,
            Error::InDoubt { .. } | Error::TransactionInDoubt { .. } => SendOutcome::Unknown,
            _ => SendOutcome::NotAppended,
        }
    }
}
