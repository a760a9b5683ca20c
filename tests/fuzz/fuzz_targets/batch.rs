#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/batch.rs"]
mod batch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| batch::run(data));
