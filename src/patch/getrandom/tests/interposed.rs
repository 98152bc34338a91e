//! The call binds to a `getrandom` defined in the executable, as madsim defines one.
//!
//! The definition here also cuts long requests short and fails on demand, so the loop that
//! completes a partly filled buffer and the error path run as well.

use std::ffi::{c_uint, c_void};

/// As many bytes as one call fills; a real kernel stops early only above 256 bytes.
const FILL_BYTES_MAX: usize = 8;

/// A request of this many bytes fails.
const REFUSED_BYTES: usize = 13;

const PATTERN: u8 = 0xA5;

// SAFETY: defining the symbol replaces libc's in this executable, which is the purpose; it keeps
// libc's contract towards every caller, std included: it writes at most `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(bytes: *mut c_void, len: usize, _flags: c_uint) -> isize {
    if len == REFUSED_BYTES {
        return -1;
    }
    let count = len.min(FILL_BYTES_MAX);
    // SAFETY: the caller promises `len` writable bytes, and `count` is at most `len`.
    unsafe { bytes.cast::<u8>().write_bytes(PATTERN, count) };
    count.cast_signed()
}

#[test]
fn bytes_come_from_the_replaced_symbol() {
    for len in [0, 1, 8, 9, 100] {
        let mut bytes = vec![0; len];
        getrandom::getrandom(&mut bytes).expect("the replacement fills this length");
        assert_eq!(bytes, vec![PATTERN; len]);
    }
}

#[test]
fn a_refusal_is_an_error() {
    let mut bytes = [0; REFUSED_BYTES];
    assert!(getrandom::getrandom(&mut bytes).is_err());
    assert_eq!(bytes, [0; REFUSED_BYTES]);
}
