//! One log made of segments.

pub(crate) mod config;
pub(crate) mod durability;
