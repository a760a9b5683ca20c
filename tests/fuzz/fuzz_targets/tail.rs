#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/tail.rs"]
mod tail;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tail::run(data));
