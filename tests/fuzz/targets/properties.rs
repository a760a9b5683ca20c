//! Settings as text: lines of `key=value`, given to every builder that takes them.

use ottla::{Broker, ConsumerConfig, Error, ProducerConfig, TopicConfig};

use crate::allocation::capped;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    capped(1024 * (data.len() + 64), || {
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            check(key, TopicConfig::new().set(key, value), |config| config.set(key, value));
            check(key, ConsumerConfig::new("group").set(key, value), |config| config.set(key, value));
            check(key, ProducerConfig::new().set(key, value), |config| config.set(key, value));
            check(key, Broker::builder("/data").set(key, value), |config| config.set(key, value));
        }
    });
}

/// What was taken once is taken again and changes nothing; what is refused is named.
fn check<C: std::fmt::Debug>(key: &str, set: Result<C, Error>, again: impl FnOnce(C) -> Result<C, Error>) {
    match set {
        Ok(config) => {
            let before = format!("{config:?}");
            assert_eq!(format!("{:?}", again(config).unwrap()), before);
        }
        Err(Error::UnknownConfig { key: named, nearest, .. }) => assert!(named == key && nearest != Some(key)),
        Err(Error::InvalidConfig { key: named, .. }) => assert_eq!(named, key),
        Err(error) => panic!("{error}"),
    }
}
