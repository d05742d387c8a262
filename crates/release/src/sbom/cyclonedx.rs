//! CycloneDX 1.5, as JSON: written when a release is made, read again when it is scanned.

use serde_json::{Value, json};

use super::{Ecosystem, Facts, Graph, Package};
use crate::artefact::Digest;
use crate::build::Recipe;
use crate::source::Commit;

const ROOT: &str = "service";

/// The bill as text.
pub(super) fn write(graph: &Graph, recipe: &Recipe, commit: &Commit, digest: &Digest) -> String {
    let components: Vec<Value> = graph.packages.iter().map(|(package, facts)| component(package, facts)).collect();
    let purls = |packages: &mut dyn Iterator<Item = &Package>| packages.map(Package::purl).collect::<Vec<_>>();
    let mut dependencies = vec![json!({ "ref": ROOT, "dependsOn": purls(&mut graph.roots.iter()) })];
    dependencies.extend(
        graph
            .packages
            .iter()
            .map(|(package, facts)| json!({ "ref": package.purl(), "dependsOn": purls(&mut facts.needs.iter()) })),
    );
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": commit.at.to_string(),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "mana", "version": env!("CARGO_PKG_VERSION") }] },
            "component": {
                "type": "application",
                "bom-ref": ROOT,
                "name": recipe.service,
                "version": commit.version,
                "hashes": [{ "alg": "SHA-256", "content": digest.as_str() }],
                "properties": [{ "name": "mana:commit", "value": commit.id }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    // A value of strings, numbers and lists always has a text.
    let text = serde_json::to_string(&bill).unwrap_or_default();
    bill["serialNumber"] = json!(serial(&text));
    serde_json::to_string_pretty(&bill).unwrap_or_default() + "\n"
}

fn component(package: &Package, facts: &Facts) -> Value {
    let purl = package.purl();
    let mut component =
        json!({ "type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl });
    if let Some((algorithm, content)) = &facts.hash {
        component["hashes"] = json!([{ "alg": algorithm, "content": content }]);
    }
    if let Some(license) = &facts.license {
        component["licenses"] = json!([{ "expression": license }]);
    }
    component
}

/// A UUID (version 8: of our own making) of the bill's content.
fn serial(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let digits = digest.as_str();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}

/// The packages that a bill names.
///
/// # Errors
/// What is wrong with it.
pub fn packages(bill: &str) -> Result<Vec<Package>, String> {
    let bill: Value = serde_json::from_str(bill).map_err(|error| error.to_string())?;
    let components = bill["components"].as_array().ok_or("it has no components")?;
    components.iter().map(package).collect()
}

fn package(component: &Value) -> Result<Package, String> {
    let text = |name: &str| component[name].as_str().ok_or_else(|| format!("a component has no {name}"));
    let purl = text("purl")?;
    let ecosystem = match purl.split('/').next() {
        Some("pkg:cargo") => Ecosystem::Cargo,
        Some("pkg:npm") => Ecosystem::Npm,
        _ => return Err(format!("the component {purl} is of an unknown kind")),
    };
    Ok(Package { ecosystem, name: text("name")?.to_owned(), version: text("version")?.to_owned() })
}
