//! chat's web app: pages rendered here, answers streamed through.
//!
//! A request goes through [`guard`] (does it come from a page of ours?), [`person`] (who is signed in, with a token that is
//! good now) and a handler of [`pages`] or [`answers`], which calls other services through [`upstream`]. What fails is put
//! into [`words`] and shown by [`error`].
//!
//! Other services come by [`internal`] alone. What time resolves, [`housekeeping`] does.
//!
//! Invariants: tokens never leave the server; no browser changes anything without the guard; no page runs or styles anything inline;
//! what a person wrote is text, and what a model wrote becomes the few elements of [`markdown`]; every page works without scripts.
//!
//! To add a page: a handler and a template in [`pages`], its address in [`app`]. Forms carry the field `csrf`.

mod answers;
mod app;
mod assets;
mod config;
mod error;
mod guard;
mod headers;
mod housekeeping;
mod internal;
mod limits;
mod markdown;
mod pages;
mod person;
mod sessions;
mod upstream;
mod visitor;
mod words;

pub use app::{MIGRATIONS, service};
pub use config::Config;
