#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/log.rs"]
mod log;

libfuzzer_sys::fuzz_target!(|data: &[u8]| log::run(data));
