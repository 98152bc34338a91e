//! libFuzzer calls `reseed_fuzz_targets::entry_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::entry_decode(data));
