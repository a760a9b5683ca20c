//! A record from a line of JSON.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ottla::{Header, ProducerRecord, Timestamp};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What a line says of a record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct JsonRecord<'l> {
    #[serde(default, rename = "topic")]
    _topic: IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: IgnoredAny,
    #[serde(default, rename = "leader_epoch")]
    _leader_epoch: IgnoredAny,
    partition: Option<u32>,
    timestamp: Option<Time>,
    #[serde(borrow, default)]
    key: Option<Bytes<'l>>,
    // With a function of its own it must be there, be it null.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    value: Option<Bytes<'l>>,
    #[serde(borrow, default)]
    headers: Vec<(String, Option<Bytes<'l>>)>,
}

impl<'l> JsonRecord<'l> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &'l [u8]) -> Result<JsonRecord<'l>, String> {
        serde_json::from_slice(line).map_err(|error| {
            // That it is in line 1 is so of every line.
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            let what = if error.is_data() { "" } else { "not a JSON object: " };
            format!("{what}{reason} (column {})", error.column())
        })
    }

    /// The record, which borrows from this.
    pub fn record(&self) -> ProducerRecord<'_> {
        let mut record = ProducerRecord::new().key(bytes_of(self.key.as_ref())).value(bytes_of(self.value.as_ref()));
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        if let Some(Time(timestamp)) = self.timestamp {
            record = record.timestamp(timestamp);
        }
        if self.headers.is_empty() {
            return record;
        }
        let headers = self.headers.iter().map(|(name, value)| match value {
            None => Header::null(name),
            Some(Bytes(value)) => Header::new(name, value),
        });
        record.headers(headers.collect::<Vec<_>>())
    }
}

fn bytes_of<'b>(bytes: Option<&'b Bytes<'_>>) -> Option<&'b [u8]> {
    bytes.map(|Bytes(bytes)| &**bytes)
}

/// Text, or an object with the bytes in base64.
#[derive(Debug)]
struct Bytes<'l>(Cow<'l, [u8]>);

impl<'de: 'l, 'l> Deserialize<'de> for Bytes<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<'l>, D::Error> {
        deserializer.deserialize_any(BytesVisitor).map(Bytes)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, null, or an object with the field `base64`")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, [u8]>, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, [u8]>, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cow<'de, [u8]>, A::Error> {
        let Some("base64") = map.next_key::<Cow<'de, str>>()?.as_deref() else {
            return Err(de::Error::custom("expected the field `base64`"));
        };
        let text: Cow<'de, str> = map.next_value()?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("expected the field `base64` alone"));
        }
        let bytes = BASE64_STANDARD.decode(text.as_bytes());
        bytes.map(Cow::Owned).map_err(|error| de::Error::custom(format_args!("no base64: {error}")))
    }
}

/// RFC 3339, or milliseconds since 1970.
#[derive(Debug)]
struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        deserializer.deserialize_any(TimeVisitor).map(Time)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"2026-12-01T15:00:00.000Z\", or milliseconds since 1970")
    }

    fn visit_i64<E>(self, millis: i64) -> Result<Timestamp, E> {
        Ok(Timestamp::from_millis(millis))
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Timestamp, E> {
        let millis = i64::try_from(millis).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(millis), &self))?;
        Ok(Timestamp::from_millis(millis))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_null_and_what_is_empty_is_empty() {
        let line = br#"{"value":null,"headers":[["a",""],["a",null],["b",{"base64":"/w=="}]]}"#;
        let read = JsonRecord::read(line).unwrap();
        let record = read.record();
        assert_eq!((record.get_key(), record.get_value(), record.get_partition()), (None, None, None));
        let headers: Vec<_> = record.get_headers().map(|header| (header.key(), header.value())).collect();
        assert_eq!(headers, [("a", Some(&b""[..])), ("a", None), ("b", Some(&b"\xff"[..]))]);
    }

    #[test]
    fn times_are_text_or_milliseconds_to_the_ends_of_their_range() {
        for (time, millis) in [
            ("\"+292278994-08-17T07:12:55.807Z\"", i64::MAX),
            ("\"1970-01-01T01:00:00.001+01:00\"", 1),
            ("-5", -5),
            ("9223372036854775807", i64::MAX),
        ] {
            let line = format!("{{\"key\":\"\\u0000\",\"timestamp\":{time},\"value\":\"\"}}");
            let read = JsonRecord::read(line.as_bytes()).unwrap();
            assert_eq!(read.record().get_timestamp(), Some(Timestamp::from_millis(millis)));
            assert_eq!(read.record().get_key(), Some(&b"\0"[..]));
        }
    }

    #[test]
    fn what_may_be_a_slip_is_refused() {
        for (line, reason) in [
            ("{}", "missing field `value` (column 2)"),
            (r#"{"vaule":"x"}"#, "unknown field `vaule`"),
            (r#"{"value":7}"#, "invalid type: integer `7`, expected a string, null, or an object"),
            (r#"{"value":{}}"#, "expected the field `base64`"),
            (r#"{"value":{"base64":"/w==","x":1}}"#, "expected the field `base64` alone"),
            (r#"{"value":{"base64":"/w="}}"#, "no base64"),
            (r#"{"value":null,"timestamp":"yesterday"}"#, "invalid value: string \"yesterday\", expected a time"),
            (r#"{"value":null,"timestamp":9223372036854775808}"#, "invalid value: integer"),
            (r#"{"value":null,"partition":-1}"#, "invalid value: integer `-1`"),
            (r#"{"value":null,"headers":{"a":"b"}}"#, "invalid type: map"),
            (r#"{"value":null} x"#, "not a JSON object: trailing characters"),
            ("2 coffees", "invalid type: integer `2`, expected a JSON object (column 1)"),
            ("", "not a JSON object: EOF while parsing a value"),
            ("none", "not a JSON object: expected ident (column 2)"),
        ] {
            let refused = JsonRecord::read(line.as_bytes()).unwrap_err();
            assert!(refused.starts_with(reason) && !refused.contains("line 1"), "{line}: {refused}");
        }
        assert!(JsonRecord::read(b"{\"value\":\"\xff\"}").is_err());
    }
}
