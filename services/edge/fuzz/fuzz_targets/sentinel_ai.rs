//! Fuzzes the dialect `sentinel_ai`.

#![no_main]

use signalbox_edge::dialect::DialectId;

libfuzzer_sys::fuzz_target!(|input: &[u8]| signalbox_edge_fuzz::both_ways(DialectId::SentinelAi, input));
