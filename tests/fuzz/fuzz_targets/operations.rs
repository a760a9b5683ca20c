#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/operations.rs"]
mod operations;

libfuzzer_sys::fuzz_target!(|data: &[u8]| operations::run(data));
