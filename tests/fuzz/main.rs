//! Seeded runs of every fuzz target: the same inputs every time, `TOPK_TEST_SEED=…` gives others, `./test --long` more. While
//! they run no single piece of memory may be large: a length that lies must not be believed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::fuzz::{Mutator, Target, target};

/// The largest piece of memory that was asked for.
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// Larger than anything that inputs of this size need.
const LARGE: usize = 32 << 20;

struct Watched;

#[allow(unsafe_code, reason = "an allocator is unsafe to write; this one hands on to the system's")]
// SAFETY: every call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

#[track_caller]
fn seeded(name: &str) {
    let Target { run, corpus, words, inputs, .. } = target(name);
    let seed = std::env::var("TOPK_TEST_SEED").map_or(1, |seed| seed.parse().expect("TOPK_TEST_SEED is a number"));
    let inputs = if std::env::var_os("TOPK_TEST_LONG").is_some() { 20 * inputs } else { inputs };
    println!("{name}: {inputs} inputs of TOPK_TEST_SEED={seed}");
    let mut mutator = Mutator::new(seed, corpus(), words);
    for number in 0..inputs {
        let input = mutator.next_input();
        let outcome = catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "{name}: input {number} of seed {seed} broke a promise: {}", input.escape_ascii());
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(
            largest < LARGE,
            "{name}: input {number} of seed {seed} took {largest} bytes: {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn any_bytes_as_a_record() {
    seeded("decoder");
}

#[test]
fn any_bytes_as_an_object_of_the_journal() {
    seeded("journal");
}

#[test]
fn any_bytes_as_a_board() {
    seeded("boards");
}

#[test]
fn any_bytes_as_a_request() {
    seeded("http");
}

#[test]
fn any_bytes_as_configuration() {
    seeded("settings");
}
