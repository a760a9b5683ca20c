#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/directory.rs"]
mod directory;

libfuzzer_sys::fuzz_target!(|data: &[u8]| directory::run(data));
