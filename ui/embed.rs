// Embeds what `ui/` was bundled into: shared by the build scripts of the crates that give it out.
//
// Writes `assets.rs`, a table of files with their content and Brotli form, and a constant with the address of each.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const MISSING: &str = "the bundled browser files are not there: run `make ui` in the repository's root";

/// Embeds the entries (what pages ask for, and the constant that says where it is) out of that folder.
pub(crate) fn embed(dist: &Path, entries: &[(&str, &str)]) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", dist.display());
    let Ok(manifest) = fs::read_to_string(dist.join("manifest.txt")) else {
        println!("cargo::error={MISSING}");
        return Ok(());
    };
    let dist = dist.canonicalize()?;
    let mut code = String::new();
    let mut table = String::new();
    for (entry, constant) in entries {
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
