#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/segment.rs"]
mod segment;

libfuzzer_sys::fuzz_target!(|data: &[u8]| segment::run(data));
