//! The `getrandom` 0.2 interface over the C library's symbol, which a simulator can replace.
//!
//! # Why
//!
//! raft 0.7.0 draws its election timeouts from `rand::thread_rng()` of rand 0.8, which is seeded
//! through `getrandom` 0.2. The published 0.2 releases enter the kernel with a raw system call.
//! madsim makes randomness deterministic by defining the symbol `getrandom` in the executable; a
//! raw system call passes it by, and two runs of one seed then elect at different times. This
//! crate takes the name and the 0.2 line through `[patch.crates-io]` and calls the C library, so
//! the linker binds the call to madsim's definition when there is one and to libc's otherwise.
//! `tests/interposed.rs` proves the binding.
//!
//! # What it deliberately does not do
//!
//! - No fallback to `/dev/urandom`: Linux has the call since 3.17, glibc since 2.25, musl since
//!   1.1.20. A system without it gets an error, never weaker bytes.
//! - No WebAssembly, Windows, `custom` or `rdrand` backends. A crate that requests one of those
//!   features fails to resolve.
//! - No `no_std`: the feature `std` exists because rand_core names it, and changes nothing.
//! - No uninitialised buffers (`getrandom_uninit`): nothing in the tree calls it.
//!
//! # Unsafe code
//!
//! One block: the foreign call. All other crates of the workspace forbid `unsafe`.

use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// Fills `bytes` with random bytes from the operating system, or from the simulator.
///
/// Blocks until the kernel's generator has been seeded, which matters only early at boot.
///
/// # Errors
///
/// If the operating system refuses. The buffer may then be partly overwritten and must not be
/// used.
pub fn getrandom(bytes: &mut [u8]) -> Result<(), Error> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match fill_some(rest) {
            Ok(0) => return Err(Error::UNEXPECTED),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_os(&error)),
        }
    }
    Ok(())
}

/// Fills a prefix of `bytes` and answers its length: the kernel may stop early on a long buffer.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn fill_some(bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length come from one exclusively borrowed slice, so all `len`
    // bytes are writable for the whole call; `getrandom` writes no others and keeps no pointer.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // The call answers -1 or a count, so the conversion fails exactly when it failed.
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    assert!(count <= bytes.len(), "getrandom filled {count} of {} bytes", bytes.len());
    Ok(count)
}

/// Fills a prefix of `bytes` and answers its length: `getentropy` refuses more than 256 bytes.
#[cfg(any(target_vendor = "apple", target_os = "openbsd"))]
fn fill_some(bytes: &mut [u8]) -> io::Result<usize> {
    const GETENTROPY_BYTES_MAX: usize = 256;
    let count = bytes.len().min(GETENTROPY_BYTES_MAX);
    // SAFETY: `count` is at most the length of the exclusively borrowed slice, so all `count`
    // bytes are writable for the whole call; `getentropy` writes no others and keeps no pointer.
    let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), count) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(count)
}

/// Why no random bytes could be had: an error of the operating system, or an internal one.
///
/// As in the published crate: codes below [`Error::INTERNAL_START`] are `errno` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(NonZeroU32);

impl Error {
    /// Codes from here on are this crate's own; codes below are `errno` values.
    pub const INTERNAL_START: u32 = 1 << 31;

    /// Codes from here on are free for users; this crate never produces one.
    pub const CUSTOM_START: u32 = (1 << 31) + (1 << 30);

    /// The system reported neither bytes nor a usable error.
    pub const UNEXPECTED: Self =
        Self(NonZeroU32::new(Self::INTERNAL_START + 2).expect("the code is not zero"));

    fn from_os(error: &io::Error) -> Self {
        let errno = error.raw_os_error().and_then(|errno| u32::try_from(errno).ok());
        errno.and_then(NonZeroU32::new).map_or(Self::UNEXPECTED, Self)
    }

    /// The `errno` value, if the operating system reported one.
    #[must_use]
    pub fn raw_os_error(self) -> Option<i32> {
        i32::try_from(self.0.get()).ok()
    }

    /// The bare code.
    #[must_use]
    pub const fn code(self) -> NonZeroU32 {
        self.0
    }
}

impl From<NonZeroU32> for Error {
    fn from(code: NonZeroU32) -> Self {
        Self(code)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::from_raw_os_error(errno),
            None => Self::other(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.raw_os_error() {
            Some(errno) => fmt::Display::fmt(&io::Error::from_raw_os_error(errno), formatter),
            None => write!(formatter, "no random bytes: internal code {:#x}", self.0),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZeroU32;

    use super::{Error, getrandom};

    #[test]
    fn fills_buffers_of_every_size() {
        for len in [0, 1, 32, 255, 256, 257, 1 << 20] {
            let mut bytes = vec![0; len];
            getrandom(&mut bytes).expect("the system has random bytes");
            // 32 zero bytes in a row have a chance of 2^-256.
            let tail = bytes.rchunks(32).next().unwrap_or_default();
            assert!(len < 32 || tail.iter().any(|&byte| byte != 0), "the end was not filled");
        }
    }

    #[test]
    fn os_errors_keep_their_errno() {
        let error = Error::from_os(&io::Error::from_raw_os_error(libc::ENOSYS));
        assert_eq!(error.raw_os_error(), Some(libc::ENOSYS));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOSYS));
    }

    #[test]
    fn internal_codes_are_not_errno_values() {
        let first = NonZeroU32::new(Error::INTERNAL_START).expect("the code is not zero");
        for error in [Error::from(first), Error::UNEXPECTED] {
            assert_eq!(error.raw_os_error(), None);
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
        }
        assert_eq!(Error::from_os(&io::Error::other("no errno")), Error::UNEXPECTED);
    }
}
