#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/files.rs"]
mod files;

libfuzzer_sys::fuzz_target!(|data: &[u8]| files::run(data));
