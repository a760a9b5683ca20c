//! What a topic may be called. Checked before any path is made of a name, and again when a name is read from the disk.

use std::collections::HashSet;
use std::fmt::Write;

use crate::error::{Error, Result};

/// Kafka's limit: with a partition's number and a suffix the name still fits a directory entry.
const LENGTH_MAX: usize = 249;

/// Topics that users cannot create: those of groups and transactions, and whatever comes to be kept in one.
const INTERNAL_PREFIX: &str = "__";

/// Checks Kafka's rules for any topic, internal ones included.
///
/// # Errors
/// [`Error::InvalidTopic`] with the rule that the name breaks.
pub(crate) fn validate(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name {
        "" => Err(invalid(name, "must not be empty")),
        "." | ".." => Err(invalid(name, "is a directory's name for itself or its parent")),
        _ if name.len() > LENGTH_MAX => Err(invalid(name, "must be at most 249 characters")),
        _ if !name.bytes().all(allowed) => Err(invalid(name, "must consist of letters, digits, '.', '_' and '-'")),
        _ => Ok(()),
    }
}

/// Whether the topic is one of those that users cannot create.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with(INTERNAL_PREFIX)
}

/// Checks [`validate`]'s rules and that the name is not reserved.
///
/// # Errors
/// [`Error::InvalidTopic`] with the rule that the name breaks.
pub(crate) fn validate_for_user(name: &str) -> Result<()> {
    validate(name)?;
    if is_internal(name) {
        return Err(invalid(name, "names that begin with '__' are reserved for internal topics"));
    }
    Ok(())
}

/// Checks that the name can be told from `existing` names wherever they are used: metric names have no '.', and some file
/// systems see no difference between upper and lower case.
///
/// # Errors
/// [`Error::TopicExists`] if it is one of them, [`Error::InvalidTopic`] if it is too much like one.
pub(crate) fn check_distinct<'a>(name: &str, existing: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut collides = false;
    for other in existing {
        if other == name {
            return Err(Error::TopicExists { name: name.to_owned() });
        }
        collides |= folded(other).eq(folded(name));
    }
    if collides {
        return Err(invalid(name, "differs from another topic only in '.' and '_' or in upper and lower case"));
    }
    Ok(())
}

/// Whether all names can be told from one another wherever they are used.
pub(crate) fn are_distinct<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    let mut is_new = |name| seen.insert(folded(name).collect::<Vec<u8>>());
    names.into_iter().all(&mut is_new)
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'.' { b'_' } else { byte.to_ascii_lowercase() })
}

/// What to say of a name that no topic has: [`Error::UnknownTopic`], or that none can ever have it.
pub(crate) fn unknown(name: &str) -> Error {
    validate(name).err().unwrap_or_else(|| Error::UnknownTopic { name: name.to_owned() })
}

/// A name may be anything and of any length, so only its beginning is kept for the message.
fn invalid(name: &str, reason: &'static str) -> Error {
    let mut shown: String = name.chars().take(LENGTH_MAX).collect();
    if shown.len() < name.len() {
        // Writing to a String cannot fail.
        let _ = write!(shown, "… ({} bytes)", name.len());
    }
    Error::InvalidTopic { name: shown, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_names_are_allowed() {
        for name in ["a", "orders", "Orders-2.eu_west", "...", "-", "_", "0", &"x".repeat(249)] {
            validate_for_user(name).unwrap();
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "a\\b",
            "a b",
            "a\0",
            "ä",
            "a:b",
            "a\n",
            "C:\\x",
            &"x".repeat(250),
            &"ä".repeat(9999),
        ] {
            let refused = validate(name);
            assert!(matches!(refused, Err(Error::InvalidTopic { .. })), "{name:?}");
            assert!(refused.unwrap_err().to_string().len() < 1000);
        }
    }

    #[test]
    fn internal_names_are_reserved() {
        validate("__consumer_offsets").unwrap();
        assert!(validate_for_user("__consumer_offsets").is_err());
        assert!(validate_for_user("__anything").is_err());
        validate_for_user("_private").unwrap();
    }

    #[test]
    fn names_that_could_be_mistaken_collide() {
        let existing = ["orders.eu", "A-b"];
        let check = |name| check_distinct(name, existing.into_iter());
        check("orders").unwrap();
        check("orders-eu").unwrap();
        assert!(matches!(check("orders.eu"), Err(Error::TopicExists { .. })));
        for twin in ["orders_eu", "Orders.eu", "a-B"] {
            assert!(matches!(check(twin), Err(Error::InvalidTopic { .. })), "{twin}");
        }
    }

    #[test]
    fn the_same_name_is_found_behind_a_twin() {
        let taken = check_distinct("a_b", ["a.b", "a_b"].into_iter());
        assert!(matches!(taken, Err(Error::TopicExists { .. })));
    }
}
