//! The control plane: it makes an ecosystem run as its manifest says, and keeps it so.
//!
//! One process ([`daemon`]) owns one data folder. It reads a manifest, starts and watches instances through
//! `mana-runtime`, tells the edge who is ready, and answers the operator [`api`] on a unix socket; [`client`] is the other
//! end of that socket. Traffic never waits for it: the edge and every instance are processes of their own that live on
//! when it dies, and it adopts them when it comes back.
//!
//! | module | what it is |
//! |---|---|
//! | [`api`] | the words on the socket |
//! | [`client`] | typed calls, for the command line |
//! | [`daemon`] | the process: wiring, signals, its own log |
//! | [`logs`] | reading an instance's log file, tail and follow |
//! | [`secrets`] | `secrets.json`: generated once, provided by people, never printed |

pub mod api;
pub mod client;
pub mod daemon;
pub mod logs;
pub mod paths;
pub mod secrets;
