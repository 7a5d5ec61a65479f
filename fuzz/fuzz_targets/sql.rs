//! Any two texts, quoted.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks.rs"]
mod checks;

fuzz_target!(|words: (&str, &str)| checks::sql(words.0, words.1));
