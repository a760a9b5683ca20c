#![no_main]

#[path = "../allocation.rs"]
mod allocation;
#[path = "../targets/transaction.rs"]
mod transaction;

libfuzzer_sys::fuzz_target!(|data: &[u8]| transaction::run(data));
