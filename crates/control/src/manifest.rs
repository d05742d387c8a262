//! From an apply to a plan: reads the manifest through `mana-manifest`, and makes sure that the plan is for this data
//! folder.

use std::path::Path;

use mana_manifest::plan::Plan;

use crate::api::Apply;

/// Reads and checks a manifest; every problem at once.
pub(crate) fn parse(text: &str, request: &Apply, data: &Path) -> Result<Plan, Vec<String>> {
    let _ = (text, request, data);
    Err(vec!["not yet".into()])
}
