//! The memory of this process as the system counts it, and the allocator: jemalloc, told not to hoard what was freed.

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

/// Linked in, it is what malloc(3) means in the whole process, to Rust and to C. Freed pages go back to the system after a
/// second, on a thread of the allocator's own.
#[allow(unsafe_code, reason = "the allocator reads its options from this symbol")]
#[unsafe(export_name = "malloc_conf")]
static OPTIONS: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// Everything that is free, at once.
#[allow(unsafe_code, reason = "the allocator has no safe interface")]
fn give_back() {
    let all = c"arena.4096.purge";
    // SAFETY: a command without arguments; 4096 (MALLCTL_ARENAS_ALL) stands for all arenas.
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(all.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut(), 0)
    };
    debug_assert_eq!(code, 0, "the allocator knows this command");
}

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

    #[test]
    #[allow(unsafe_code, reason = "the allocator has no safe interface")]
    fn the_allocator_has_our_options() {
        let mut decay: isize = 0;
        let mut size = size_of::<isize>();
        let to = (&raw mut decay).cast();
        // SAFETY: this option is a ssize_t, and `size` says that there is room for one.
        let code = unsafe {
            tikv_jemalloc_sys::mallctl(c"opt.dirty_decay_ms".as_ptr(), to, &mut size, std::ptr::null_mut(), 0)
        };
        assert_eq!((code, decay), (0, 1000));
    }
}
