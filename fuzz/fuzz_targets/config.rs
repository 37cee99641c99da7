#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nsgwatch_fuzz::config::check(input));
