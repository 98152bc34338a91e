//! libFuzzer calls `reseed_fuzz_targets::backend_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::backend_key(data));
