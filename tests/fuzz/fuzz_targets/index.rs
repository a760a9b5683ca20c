#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/index.rs"]
mod index;

libfuzzer_sys::fuzz_target!(|data: &[u8]| index::run(data));
