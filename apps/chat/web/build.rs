//! Embeds what `ui/` was bundled into: writes `assets.rs`, a table of every file with its content and the addresses of the
//! entries by name.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What pages ask for, and the constant that says where it is.
const ENTRIES: [(&str, &str); 2] = [("chat.js", "SCRIPT"), ("chat.css", "STYLE")];

const MISSING: &str = "the bundled browser files are not there: run `make ui` in the repository's root";

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let Ok(manifest) = fs::read_to_string(dist.join("manifest.txt")) else {
        println!("cargo::error={MISSING}");
        return Ok(());
    };
    let dist = dist.canonicalize()?;
    let mut code = String::new();
    let mut table = String::new();
    for (entry, constant) in ENTRIES {
        let named = manifest.lines().find_map(|line| line.strip_prefix(entry)?.strip_prefix(' '));
        let Some(name) = named else {
            println!("cargo::error={entry} is not among the bundled browser files: run `make ui`");
            return Ok(());
        };
        // As text, since the paths become literals of the code.
        let plain = dist.join(name).display().to_string();
        let packed = format!("{plain}.br");
        writeln!(code, "/// Where `{entry}` is.\npub(crate) const {constant}: &str = \"/assets/{name}\";")?;
        writeln!(
            table,
            "    Asset {{ name: {name:?}, plain: include_bytes!({plain:?}), brotli: include_bytes!({packed:?}) }},"
        )?;
    }
    writeln!(code, "static ASSETS: &[Asset] = &[\n{table}];")?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("assets.rs"), code)?;
    Ok(())
}
