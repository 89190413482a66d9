//! Fuzzes what agents report, from the bytes to the events.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| signalbox_state::fuzzing::report(input));
