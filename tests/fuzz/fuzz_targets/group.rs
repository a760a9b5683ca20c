#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/group.rs"]
mod group;

libfuzzer_sys::fuzz_target!(|data: &[u8]| group::run(data));
