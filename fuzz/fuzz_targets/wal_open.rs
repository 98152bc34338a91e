//! libFuzzer calls `reseed_fuzz_targets::wal_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::wal_open(data));
