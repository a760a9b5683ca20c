//! Which partition of an internal topic keeps a group's offsets, or a transactional producer's state: Kafka's rule, by which
//! other tools find them too.

/// The partition, of `partition_count`, that keeps what belongs to the group or transactional id.
pub(crate) fn coordinator_partition(id: &str, partition_count: u32) -> u32 {
    // Kafka takes the absolute value, and 0 for the one number that has none.
    let hash = java_string_hash(id).checked_abs().unwrap_or(0).cast_unsigned();
    hash.checked_rem(partition_count).unwrap_or(0)
}

/// What `String.hashCode` gives in Java: over UTF-16 units, not over bytes.
fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("ä", 228),
            // One character outside the basic plane is two units.
            ("😀", 1_772_899),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_string_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn partitions_are_kafkas() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/format/kafka-vectors.json")).unwrap();
        let mut checked = 0;
        for vector in vectors["partitioner"].as_array().unwrap() {
            if let (Some(id), Some(partition)) =
                (vector["ascii"].as_str(), vector["java_string_hash_abs_mod_50"].as_u64())
            {
                assert_eq!(u64::from(coordinator_partition(id, 50)), partition, "{id}");
                checked += 1;
            }
        }
        assert_eq!(checked, 11);
    }

    #[test]
    fn the_number_without_an_absolute_value_is_zero() {
        assert_eq!(coordinator_partition("polygenelubricants", 50), 0);
        assert_eq!(coordinator_partition("a", 0), 0);
    }
}
