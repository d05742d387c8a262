//! Embeds what the dashboard's pages need in a browser.

use std::error::Error;
use std::path::Path;

#[path = "../../ui/embed.rs"]
mod embed;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../ui/embed.rs");
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/dist");
    embed::embed(
        &dist,
        &[
            ("dashboard.js", "SCRIPT"),
            ("dashboard.css", "STYLE"),
            ("status.js", "STATUS_SCRIPT"),
            ("status.css", "STATUS_STYLE"),
        ],
    )
}
