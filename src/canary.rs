//! Bugs that are planted on purpose, to prove that the tests find such bugs.
//!
//! A test that has never failed proves nothing. So each bug below, all of them bugs that logs have had, stands at the place in
//! the code where it would be made, and `.ci/canaries` runs the tests with one after the other planted: each must be caught.
//!
//! Only a build with `--cfg ottla_canaries` has them, and it cannot be a release build; there, the environment variable
//! `OTTLA_CANARY` names the one. In every other build [`planted`] is the constant `false`.

#[cfg(all(ottla_canaries, not(debug_assertions)))]
compile_error!("planted bugs are for test builds");

/// A bug, named for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canary {
    /// The group commit says that a tail is synced and does not sync it.
    AckBeforeSync,
    /// A new segment's name is not synced.
    SkipDirectorySync,
    /// A sync that failed is tried again, and its success believed.
    RetryFailedSync,
    /// Segments count as synced without a sync, so that slots are used again.
    SkipSegmentSync,
    /// With `Always`, readers see records before they are synced.
    ServeBeforeSync,
    /// Checksums of batches do not cover the header.
    CrcSkipsHeader,
    /// Index files are believed whatever their checksum.
    TrustIndex,
    /// Recovery cuts at the first bad batch, also where it was synced.
    CutAtDamage,
    /// The end of a log whose newest segment is empty is one offset too low.
    ReuseOffsetAfterEmptyRoll,
    /// The open batches that a killed process left are dropped.
    DropOpenBatch,
    /// A slot's commit entry counts although its bytes were not synced.
    TakeTornCommit,
    /// The batches in the tail are sealed although the segment has them.
    SealTwice,
    /// The tail keeps what recovery has dealt with.
    KeepTail,
    /// The leader epoch stays the same after a power cut.
    KeepLeaderEpoch,
    /// What was not proven to be on the medium is not written again.
    SkipRewrite,
    /// Of several full batches the newest goes into the segment first.
    SealOutOfOrder,
    /// A slot is used again once its batch is in the segment, durable there or not.
    FreeSealedSlot,
    /// A write to a segment that failed counts as done.
    IgnoreWriteError,
    /// A missing sealed segment is passed over in silence.
    IgnoreMissingSegment,
    /// Whoever is no longer the owner may commit.
    CommitUnfenced,
    /// A commit covers one record more than was delivered.
    CommitAhead,
    /// A position goes behind all that was read when the first record of it is handed out.
    CommitReadAhead,
    /// Offsets of a deleted topic count for the next one of its name.
    KeepOffsetsOfDeleted,
    /// A send wakes nobody.
    WakeNobody,
    /// Compaction keeps the oldest record of a key.
    CompactToOldest,
    /// Compaction removes a tombstone before its time.
    DropTombstoneEarly,
    /// Of what is left, compaction loses the first batch of each further segment.
    LoseAtSplit,
    /// The files of deleted records go before the manifest says so.
    DeleteBeforeStart,
    /// The decision to commit comes after the markers.
    DecideAfterMarkers,
    /// A transaction that ends gets no marker in one of its logs.
    LoseMarker,
    /// Whoever takes a transactional id over gets the epoch of the one before.
    ReuseEpoch,
    /// Readers of committed records read on where a transaction is open.
    StableOffsetFromEnd,
    /// Offsets of a transaction are committed without it.
    StageOutside,
    /// The index of aborted transactions lacks the last one of its segment.
    ShortTransactionIndex,
    /// A replica says that it has come further before what it has brought survives a power cut.
    NoteReplicaEarly,
    /// What is sent is acknowledged before it survives a power cut on the second disk.
    AckBeforeReplica,
    /// A replica goes on with whatever its source has by now.
    FollowAnyHistory,
    /// Compressed records may expand to any size.
    UnboundedDecompression,
    /// Symbolic links are followed.
    FollowLinks,
    /// A second writer is let in.
    ShareLock,
}

/// Whether this bug is planted.
#[cfg(not(ottla_canaries))]
#[inline]
pub(crate) const fn planted(_: Canary) -> bool {
    false
}

/// Whether this bug is planted.
#[cfg(ottla_canaries)]
pub(crate) fn planted(canary: Canary) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let name = NAME.get_or_init(|| std::env::var("OTTLA_CANARY").ok());
    name.as_ref().is_some_and(|name| *name == format!("{canary:?}"))
}
