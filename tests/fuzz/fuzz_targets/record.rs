#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| record::run(data));
