//! The door through which a fuzzer gets at what the edge parses itself, and what has to hold there for any bytes.
//!
//! One function a parser; it panics where a property is broken: that it makes no difference how bytes were cut, that what is
//! written is read back, that nothing is accepted which a second, independent reading ends elsewhere, that what is refused
//! stays refused. `scripts/fuzz.sh` runs them under libFuzzer (`fuzz/`); the tests here run the same ones over the seeds of
//! `fuzz/seeds`, changed by chance.
//!
//! To add one: a function, a row in [`TARGETS`], a file in `fuzz/fuzz_targets`, a `[[bin]]` in `fuzz/Cargo.toml`, seeds.

mod addresses;
mod fields;
mod frames;
mod messages;
mod names;
mod reference;
mod snapshots;
#[cfg(test)]
mod tests;
mod websockets;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use addresses::{cidr, forwarded, proxy_protocol};
pub use fields::{accept_encoding, cache_rules, range, validators};
pub use frames::http2_frames;
pub use messages::{answer, chunks, framing, head};
pub use names::{host, path};
pub use snapshots::snapshot;
pub use websockets::websocket_frames;

/// A property of a parser.
pub type Target = fn(&[u8]);

/// All of them, by their names in `fuzz/`.
pub const TARGETS: [(&str, Target); 16] = [
    ("accept_encoding", accept_encoding),
    ("answer", answer),
    ("cache_rules", cache_rules),
    ("chunks", chunks),
    ("cidr", cidr),
    ("forwarded", forwarded),
    ("framing", framing),
    ("head", head),
    ("host", host),
    ("http2_frames", http2_frames),
    ("path", path),
    ("proxy_protocol", proxy_protocol),
    ("range", range),
    ("snapshot", snapshot),
    ("validators", validators),
    ("websocket_frames", websocket_frames),
];

/// The bytes in pieces of 1 to 16, as the seed says; byte by byte where it is 0.
fn pieces(seed: u8, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(if seed == 0 { 0 } else { 1_013_904_223 });
        let (piece, rest) = bytes.split_at_checked(1 + (state >> 28) as usize).unwrap_or((bytes, &[]));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Lines of `name: value` as a map; what is none is left out.
fn fields_of(bytes: &[u8]) -> HeaderMap {
    let fields = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in fields.take(100) {
        map.append(name, value);
    }
    map
}
