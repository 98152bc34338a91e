//! libFuzzer calls `reseed_fuzz_targets::mvcc_ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::mvcc_ops(data));
