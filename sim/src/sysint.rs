//! The C library, where the simulator must stand between it and the program.
//!
//! madsim replaces `getrandom` and the clock calls of libc for code inside a simulation. What calls
//! the kernel through libc's `syscall` instead (rand 0.8 under raft 0.7 once did, and a dependency
//! may again) would escape and break replay, so `syscall` is replaced too and hands the one number
//! that matters to madsim. The other thing here is switching off address randomisation, because
//! hashes seeded from addresses differ between runs otherwise.
//!
//! The only unsafe code of the simulator. x86-64 and aarch64 Linux: there, passing seven words in
//! registers is compatible with C's variadic `syscall`.
#![expect(unsafe_code, reason = "replacing a function of libc cannot be said safely")]

use std::{
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    io,
    sync::OnceLock,
};

unsafe extern "C" {
    /// madsim's, which forwards to libc outside a simulation.
    fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize;
}

type Syscall =
    unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

/// libc's own `syscall`, found once.
static REAL: OnceLock<Syscall> = OnceLock::new();

/// Stands in for libc's function of this name in the whole process.
///
/// # Safety
/// As libc's: the arguments must be what the system call `number` expects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: the caller passed a buffer and its length, as this system call takes them.
        return unsafe { getrandom(a as *mut c_void, b as usize, c as c_uint) as c_long };
    }
    let real = *REAL.get_or_init(|| {
        // SAFETY: libc defines the symbol, with this signature on the two platforms named above.
        unsafe {
            let found = libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr());
            assert!(!found.is_null(), "libc has a syscall function");
            std::mem::transmute::<*mut c_void, Syscall>(found)
        }
    });
    // SAFETY: passed on as it came.
    unsafe { real(number, a, b, c, d, e, f) }
}

/// Asks for fixed addresses in programs this process becomes or starts.
///
/// # Errors
/// Where the system does not allow it (some containers).
pub fn fix_addresses() -> io::Result<()> {
    // SAFETY: takes a number and changes a flag of this process.
    let result: c_int = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as c_ulong) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Are addresses fixed already?
#[must_use]
pub fn addresses_are_fixed() -> bool {
    // SAFETY: this argument only asks.
    let now = unsafe { libc::personality(0xffff_ffff) };
    now >= 0 && now & libc::ADDR_NO_RANDOMIZE != 0
}

/// Processor time this process has used, as the machine counts it.
#[must_use]
pub fn cpu_time() -> std::time::Duration {
    let mut spent = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure it is given.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut spent) };
    if result != 0 {
        return std::time::Duration::ZERO;
    }
    let secs = u64::try_from(spent.tv_sec).unwrap_or(0);
    std::time::Duration::new(secs, u32::try_from(spent.tv_nsec).unwrap_or(0))
}
