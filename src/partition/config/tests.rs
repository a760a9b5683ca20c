use super::*;
use crate::error::Error;

/// Every setting differs from its default.
fn unusual() -> TopicConfig {
    TopicConfig::new()
        .partitions(7)
        .segment_bytes(2048)
        .segment_ms(Duration::from_millis(1500))
        .index_interval_bytes(0)
        .segment_index_bytes(4096)
        .max_message_bytes(1000)
        .compression(Compression::Snappy)
        .timestamp_type(TimestampType::LogAppendTime)
        .cleanup_policy(CleanupPolicy::CompactAndDelete)
        .min_compaction_lag_ms(Duration::from_millis(10))
        .max_compaction_lag_ms(Duration::from_millis(20))
        .delete_retention_ms(Duration::ZERO)
        .min_cleanable_dirty_ratio(0.1 + 0.2)
        .retention_ms(Duration::from_millis(30))
        .retention_bytes(5)
        .retain_for(["billing", "audit"], 6)
        .durability(Durability::Interval(Duration::from_millis(20)))
}

fn encoded(config: &TopicConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    config.encode(&mut bytes);
    bytes
}

#[test]
fn the_defaults_are_kafkas_and_valid() {
    TopicConfig::new().validate().unwrap();
    let text: Vec<_> =
        TopicConfig::new().properties().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = "num.partitions=1 segment.bytes=1073741824 segment.ms=604800000 index.interval.bytes=4096 \
                    segment.index.bytes=10485760 max.message.bytes=1048588 compression.type=none \
                    message.timestamp.type=CreateTime cleanup.policy=delete min.compaction.lag.ms=0 max.compaction.lag.ms=9223372036854775807 \
                    delete.retention.ms=86400000 min.cleanable.dirty.ratio=0.5";
    assert_eq!(text.join(" "), expected);
}

#[test]
fn properties_set_the_same_configuration() {
    let mut config = TopicConfig::new();
    for (key, value) in unusual().properties() {
        config = config.set(key, &value).unwrap();
    }
    assert_eq!(config, unusual());
    assert_eq!(config.properties().len(), KEYS.len());
}

#[test]
fn bytes_go_there_and_back() {
    for config in [TopicConfig::new(), unusual()] {
        assert_eq!(TopicConfig::decode(&encoded(&config)), Ok((config, Vec::new())));
    }
    assert_eq!(TopicConfig::decode(&[]), Ok((TopicConfig::new(), Vec::new())));
}

#[test]
fn cut_bytes_are_refused_or_end_at_a_setting() {
    let bytes = encoded(&unusual());
    let whole = (0..bytes.len()).filter(|cut| TopicConfig::decode(&bytes[..*cut]).is_ok()).count();
    assert_eq!(whole, KEYS.len());
}

#[test]
fn hostile_bytes_are_refused() {
    for bytes in [&b"\xff"[..], b"\xff\xff", b"\x00\x01\xff\x00\x00", b"\x00\x01a\x00\x01b", b"\x00\x00\x00\x00"] {
        assert!(TopicConfig::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let Err(Error::UnknownConfig { key, nearest }) = TopicConfig::new().set("segment.byte", "1") else {
        panic!("expected UnknownConfig")
    };
    assert_eq!((key.as_str(), nearest), ("segment.byte", Some(SEGMENT_BYTES)));
    assert!(matches!(
        TopicConfig::new().set("min.insync.replicas", "1"),
        Err(Error::UnknownConfig { nearest: None, .. })
    ));
}

#[test]
fn a_malformed_value_is_refused_at_once() {
    for (key, value) in [
        (PARTITIONS, "-1"),
        (SEGMENT_BYTES, "1GB"),
        (SEGMENT_MS, ""),
        (COMPRESSION, "brotli"),
        (COMPRESSION, "producer"),
        (TIMESTAMP_TYPE, "NoTimestampType"),
        (CLEANUP_POLICY, "compact delete"),
        (MIN_COMPACTION_LAG_MS, "-1"),
        (MAX_COMPACTION_LAG_MS, "1h"),
        (DELETE_RETENTION_MS, "never"),
        (MIN_CLEANABLE_DIRTY_RATIO, "half"),
        (DURABILITY, "maybe"),
    ] {
        let refused = TopicConfig::new().set(key, value);
        assert!(matches!(refused, Err(Error::InvalidConfig { key: named, .. }) if named == key), "{key}={value}");
    }
    assert_eq!(TopicConfig::new().set(COMPRESSION, "uncompressed").unwrap(), TopicConfig::new());
}

#[test]
fn bounds_are_checked_and_the_key_is_named() {
    for (config, key) in [
        (TopicConfig::new().partitions(0), PARTITIONS),
        (TopicConfig::new().partitions(PARTITIONS_MAX + 1), PARTITIONS),
        (TopicConfig::new().segment_bytes(1023), SEGMENT_BYTES),
        (TopicConfig::new().segment_bytes(1 << 31), SEGMENT_BYTES),
        (TopicConfig::new().segment_ms(Duration::ZERO), SEGMENT_MS),
        (TopicConfig::new().index_interval_bytes(1 << 31), INDEX_INTERVAL_BYTES),
        (TopicConfig::new().segment_index_bytes(23), SEGMENT_INDEX_BYTES),
        (TopicConfig::new().max_message_bytes(67), MAX_MESSAGE_BYTES),
        (TopicConfig::new().retain_for([""], 1), RETAIN_FOR_GROUPS),
        (TopicConfig::new().retain_for(["a"], u64::MAX), RETAIN_FOR_BYTES),
        (TopicConfig::new().min_compaction_lag_ms(Duration::MAX), MIN_COMPACTION_LAG_MS),
        (TopicConfig::new().max_compaction_lag_ms(Duration::ZERO), MAX_COMPACTION_LAG_MS),
        (TopicConfig::new().delete_retention_ms(Duration::MAX), DELETE_RETENTION_MS),
        (TopicConfig::new().min_cleanable_dirty_ratio(1.01), MIN_CLEANABLE_DIRTY_RATIO),
        (TopicConfig::new().min_cleanable_dirty_ratio(-0.01), MIN_CLEANABLE_DIRTY_RATIO),
        (TopicConfig::new().min_cleanable_dirty_ratio(f64::NAN), MIN_CLEANABLE_DIRTY_RATIO),
        (TopicConfig::new().durability(Durability::Interval(Duration::ZERO)), DURABILITY),
    ] {
        assert!(matches!(config.validate(), Err(Error::InvalidConfig { key: named, .. }) if named == key), "{key}");
        assert!(TopicConfig::decode(&encoded(&config)).is_err(), "{key}");
    }
    unusual().validate().unwrap();
}

#[test]
fn lags_that_contradict_each_other_are_refused_by_their_keys() {
    let lags = TopicConfig::new().min_compaction_lag_ms(Duration::from_millis(2));
    let error = lags.max_compaction_lag_ms(Duration::from_millis(1)).validate().unwrap_err().to_string();
    assert!(error.contains(MIN_COMPACTION_LAG_MS) && error.contains(MAX_COMPACTION_LAG_MS), "{error}");
}

#[test]
fn where_records_are_compacted_soon_the_active_segment_is_closed_soon() {
    let config = TopicConfig::new().segment_ms(Duration::from_secs(60)).max_compaction_lag_ms(Duration::from_secs(5));
    assert_eq!(SegmentConfig::from(&config).segment_ms, 60_000);
    assert_eq!(SegmentConfig::from(&config.cleanup_policy(CleanupPolicy::Compact)).segment_ms, 5000);
}

#[test]
fn a_codec_that_is_not_compiled_in_is_refused() {
    let config = TopicConfig::new().compression(Compression::Zstd);
    assert_eq!(config.validate().is_ok(), cfg!(feature = "zstd"));
}

/// The rows of a table in the documentation, whose first cell is a key.
fn documented() -> Vec<[&'static str; 4]> {
    let rows = include_str!("../config.rs").lines().filter_map(|line| line.strip_prefix("/// | `"));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
    cells.map(|cells| [cells[0].trim_end_matches('`'), cells[1], cells[2], cells[3]]).collect()
}

#[test]
fn the_documentation_has_every_key_with_its_default_and_its_bounds() {
    let keys: Vec<_> = documented().into_iter().map(|[key, ..]| key).collect();
    assert_eq!(keys, KEYS);
    let defaults = TopicConfig::new().properties();
    let is_taken =
        |key, value: &str| TopicConfig::new().set(key, value).and_then(|config| config.check_bounds()).is_ok();
    for [key, _, default, bounds] in documented() {
        let unset = if key == DURABILITY { "the broker's" } else { "-1" };
        let expected = defaults.iter().find(|(name, _)| *name == key).map_or(unset, |(_, value)| value);
        assert_eq!(default, expected, "{key}");
        let bounds = bounds.replace(',', "");
        let number =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
        let (least, most): (Option<i64>, Option<i64>) = match bounds.strip_prefix("at least ") {
            Some(least) => (number(least), None),
            None => (number(&bounds), bounds.split_once(" to ").and_then(|(_, most)| number(most))),
        };
        if let Some(least) = least {
            assert!(is_taken(key, &least.to_string()), "{key}={least}");
            assert!(least == 0 || !is_taken(key, &(least - 1).to_string()), "{key} below {least}");
        }
        if let Some(most) = most {
            assert!(is_taken(key, &most.to_string()), "{key}={most}");
            assert!(!is_taken(key, &(most + 1).to_string()), "{key} above {most}");
        }
        assert_eq!(bounds.contains("`-1`"), is_taken(key, "-1"), "{key}");
    }
}

#[test]
fn is_shown_by_what_was_set_and_by_nothing_else() {
    let config = TopicConfig { largest_message_bytes: 7, ..TopicConfig::new() };
    assert_eq!(format!("{config:?}"), "TopicConfig");
    let config = config.partitions(8).segment_bytes(1 << 30).retention_bytes(5).durability(Durability::Os);
    assert_eq!(format!("{config:?}"), "TopicConfig { num.partitions: 8, retention.bytes: 5, ottla.durability: os }");
}
