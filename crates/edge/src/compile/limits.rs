//! Bounds, of the edge and of its routes.

use std::time::Duration;

use super::{At, Compiler};
use crate::snapshot;
use crate::table::{Limits, RouteLimits};

/// Least `max_header_bytes`: below it no browser gets through.
const MIN_HEADER_BYTES: usize = 1_024;

/// Largest `max_header_bytes` and `max_headers`: each connection may use that much memory.
const MAX_HEADER_BYTES: usize = 1_024 * 1_024;
const MAX_HEADERS: usize = 1_024;

impl Compiler<'_> {
    pub(super) fn route_limits(&mut self, at: At<'_>, limits: &snapshot::RouteLimits) -> RouteLimits {
        RouteLimits {
            max_body_bytes: limits.max_body_bytes,
            connect_timeout: self.duration(at, "connect_timeout_ms", limits.connect_timeout_ms),
            response_timeout: self.duration(at, "response_timeout_ms", limits.response_timeout_ms),
            request_timeout: (limits.request_timeout_ms > 0)
                .then(|| self.duration(at, "request_timeout_ms", limits.request_timeout_ms)),
            body_idle_timeout: self.duration(at, "body_idle_timeout_ms", limits.body_idle_timeout_ms),
            drain_timeout: self.duration(at, "drain_timeout_ms", limits.drain_timeout_ms),
        }
    }

    pub(super) fn duration(&mut self, at: At<'_>, field: &str, milliseconds: u64) -> Duration {
        /// A day: longer is a slip of units.
        const MAX_MS: u64 = 24 * 60 * 60 * 1_000;
        if !(1..=MAX_MS).contains(&milliseconds) {
            self.problem(at, format!("{field} is {milliseconds}; it must be 1 to {MAX_MS} (a day)"));
        }
        Duration::from_millis(milliseconds.clamp(1, MAX_MS))
    }

    fn at_least_one(&mut self, field: &str, value: u32) -> u32 {
        if value == 0 {
            self.problem(At::Part("limits"), format!("{field} is 0; it must be at least 1"));
        }
        value
    }

    pub(super) fn limits(&mut self) -> Limits {
        let limits = &self.snapshot.limits;
        if limits.max_connections == 0 {
            self.problem(At::Part("limits"), "max_connections is 0; nobody could connect");
        }
        if limits.max_connections_per_address == 0 {
            self.problem(At::Part("limits"), "max_connections_per_address is 0; nobody could connect");
        }
        if limits.max_concurrent_requests == 0 {
            self.problem(At::Part("limits"), "max_concurrent_requests is 0; nobody would be answered");
        }
        if !(MIN_HEADER_BYTES..=MAX_HEADER_BYTES).contains(&limits.max_header_bytes) {
            self.problem(
                At::Part("limits"),
                format!(
                    "max_header_bytes is {}; it must be {MIN_HEADER_BYTES} to {MAX_HEADER_BYTES}",
                    limits.max_header_bytes
                ),
            );
        }
        if !(1..=MAX_HEADERS).contains(&limits.max_headers) {
            self.problem(
                At::Part("limits"),
                format!("max_headers is {}; it must be 1 to {MAX_HEADERS}", limits.max_headers),
            );
        }
        Limits {
            max_connections: limits.max_connections,
            max_connections_per_address: limits.max_connections_per_address,
            max_concurrent_requests: limits.max_concurrent_requests,
            max_header_bytes: limits.max_header_bytes,
            max_headers: limits.max_headers,
            header_timeout: self.duration(At::Part("limits"), "header_timeout_ms", limits.header_timeout_ms),
            idle_timeout: self.duration(At::Part("limits"), "idle_timeout_ms", limits.idle_timeout_ms),
            drain_timeout: self.duration(At::Part("limits"), "drain_timeout_ms", limits.drain_timeout_ms),
            handshake_timeout: self.duration(At::Part("limits"), "handshake_timeout_ms", limits.handshake_timeout_ms),
            max_http2_streams: self.at_least_one("max_http2_streams", limits.max_http2_streams),
            max_http2_resets: self.at_least_one("max_http2_resets", limits.max_http2_resets),
            max_cache_bytes: limits.max_cache_bytes,
            max_cache_objects: limits.max_cache_objects,
            max_cache_object_bytes: limits.max_cache_object_bytes,
        }
    }
}
