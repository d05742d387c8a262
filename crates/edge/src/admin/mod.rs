//! How an edge is told what to serve: a small HTTP API on a unix socket that only its owner can open.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /snapshot` | 200 [`Applied`] once it is on disk and in effect; 409 stale, or an address is taken; 422 wrong; 503 draining |
//! | `GET /snapshot` | the snapshot that is served |
//! | `GET /metrics` | Prometheus text |
//! | `GET /window?route=…&since=…` | [`Window`]: what happened since |
//! | `GET /certificates` | [`Certificate`]s, host by host |
//! | `GET /retired` | [`Retired`] instances that requests are still with; 503 draining |
//! | `GET /health` | [`Health`] |
//! | `POST /cache/purge` | [`Purged`]: kept answers are forgotten |
//! | `POST /hand-over` | 101, and the listening sockets for the next edge (`mana edge --replace`) |
//! | `POST /drain` | 202, and the edge ends gracefully |

mod client;
mod message;
pub(crate) mod server;
pub mod socket;

pub use client::{Client, ClientError};
pub use message::{
    Applied, Certificate, Health, Latency, Purge, Purged, Refusal, Renew, Renewed, Retired, Since, SlotWindow, Status,
    Window,
};
