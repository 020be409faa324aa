//! The memory of this process as the system counts it, and how the allocator is kept from hoarding what was freed.

use runtime::MemoryBound;
use std::fs;
use std::time::Duration;
use stream::Fault;

/// How long a run to the end waits, once it is paused for want of memory, for anything to leave memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a run may take, by `job.max_memory`.
///
/// # Errors
/// There is a ceiling, and this system does not say what a process holds.
pub(crate) fn bound(max: Option<u64>) -> Result<MemoryBound, Fault> {
    if let (Some(_), Err(why)) = (max, resident()) {
        let hint = "set job.max_memory to 0B, and bound the process from outside";
        return Err(Fault::usage("cannot hold to job.max_memory", why, hint));
    }
    Ok(MemoryBound {
        max,
        resident: Box::new(|| resident().unwrap_or(0)),
        give_back: Box::new(give_back),
        patience: PATIENCE,
    })
}

/// The resident set, in bytes.
fn resident() -> Result<u64, String> {
    const FROM: &str = "/proc/self/statm";
    let text = fs::read_to_string(FROM).map_err(|error| format!("{FROM}: {error}"))?;
    let pages: Option<u64> = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    Ok(pages.ok_or_else(|| format!("{FROM} says \"{text}\""))? * page())
}

#[allow(unsafe_code, reason = "std does not tell the size of a page")]
fn page() -> u64 {
    // SAFETY: sysconf(3) reads a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// glibc keeps what was freed in the arena of the thread that made it, for its next use.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
fn give_back() {
    // SAFETY: malloc_trim(3) touches free memory alone, and locks what it looks at.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}

/// glibc raises the size from which it maps memory by itself, up to 32 MiB, with every large block that is freed; what lies
/// between is then kept for ever in the arena of the thread that made it. Here threads hand blocks to one another: with ten
/// million keys a restart held 3.1 GB that way, and 1.6 GB with the size fixed (`bench/run keys`). Call before there is any
/// other thread.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
pub fn give_back_what_is_freed() {
    const MAPPED_FROM: libc::c_int = 128 * 1024;
    // SAFETY: it sets a number.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
}

/// See the other one.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_what_is_freed() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_seen_and_what_is_freed_is_not() {
        const BYTES: usize = 64 << 20;
        let before = resident().unwrap();
        let held = vec![1u8; BYTES];
        let during = resident().unwrap();
        assert!(during >= before + BYTES as u64 / 2, "{before} {during}");
        assert_eq!(held.iter().map(|byte| u64::from(*byte)).sum::<u64>(), BYTES as u64);
        drop(held);
        give_back();
        assert!(resident().unwrap() < during);
    }
}
