//! Embeds what the pages need in a browser.

use std::error::Error;
use std::path::Path;

#[path = "../../../ui/embed.rs"]
mod embed;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../../ui/embed.rs");
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui/dist");
    embed::embed(&dist, &[("chat.js", "SCRIPT"), ("chat.css", "STYLE")])
}
