//! libFuzzer calls `reseed_fuzz_targets::request_check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::request_check(data));
