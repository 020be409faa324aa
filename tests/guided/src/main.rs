//! One binary for all targets: `TOPK_FUZZ_TARGET` names the one that libFuzzer is to guide.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tests::fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let target = target(&std::env::var("TOPK_FUZZ_TARGET").expect("TOPK_FUZZ_TARGET names a target"));
    let seeds = std::env::var("TOPK_FUZZ_SEEDS").expect("TOPK_FUZZ_SEEDS is the folder of the corpus");
    for (number, seed) in (target.corpus)().iter().enumerate() {
        std::fs::write(format!("{seeds}/honest-{number}"), seed).expect("the corpus can be written");
    }
    target
});

fuzz_target!(
    // Before libFuzzer reads the corpus.
    init: {
        LazyLock::force(&TARGET);
    },
    |input: &[u8]| (TARGET.run)(input)
);
