//! libFuzzer calls `reseed_fuzz_targets::snapshot_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::snapshot_open(data));
