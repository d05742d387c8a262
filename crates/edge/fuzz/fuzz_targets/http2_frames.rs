#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mana_edge::fuzzing::http2_frames(data));
