//! The edge as its clients, services and operators meet it: real sockets, real files, a whole edge in each test.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail it too")]

mod access_log;
mod acme;
mod admin;
mod cache;
mod compression;
mod failures;
mod forged_addresses;
mod framing;
mod grpc;
mod http2_abuse;
mod http2_framing;
mod http2_slow;
mod http3;
mod idle_connections;
mod leases;
mod limits;
mod lying_instances;
mod metrics;
mod policies;
mod proxy_protocol;
mod proxying;
mod routing;
mod static_changes;
mod static_site;
mod stopping;
mod streaming;
mod support;
mod swaps;
mod tls;
mod traces;
