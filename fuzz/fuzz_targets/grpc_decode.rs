//! libFuzzer calls `reseed_fuzz_targets::grpc_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reseed_fuzz_targets::grpc_decode(data));
