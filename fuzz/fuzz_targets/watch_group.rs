//! libFuzzer calls `reseed_fuzz_targets::watch_group`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::watch_group(data));
