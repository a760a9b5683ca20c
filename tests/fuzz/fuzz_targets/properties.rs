#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::run(data));
