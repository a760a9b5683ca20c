#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stream::run(data));
