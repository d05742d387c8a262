//! From an apply to a plan: reads the manifest through `mana-manifest`, and makes sure that it is about this data folder.

use std::path::{Path, PathBuf};

use mana_manifest::plan::Plan;
use mana_manifest::{Facts, Manifest, Overrides, Problems, Severity};

use crate::api::Apply;

/// Reads and checks a manifest; every problem at once, with its place.
pub(crate) fn parse(text: &str, request: &Apply, data: &Path) -> Result<Plan, Vec<String>> {
    let plan = read(text, request, &Facts::of_disk())?;
    if real(&plan.data) != real(data) {
        return Err(vec![format!(
            "the data folder would be {}, this control plane owns {}; give the same --data, or start another one",
            plan.data.display(),
            data.display()
        )]);
    }
    crate::rules::rules(&plan)?;
    Ok(plan)
}

/// Reads again what was applied before. Whatever has become of files it names since: it was right then.
pub(crate) fn recall(text: &str, request: &Apply) -> Result<Plan, Vec<String>> {
    read(text, request, &Facts::of_disk()).or_else(|_| read(text, request, &Facts::assumed()))
}

fn read(text: &str, request: &Apply, facts: &Facts<'_>) -> Result<Plan, Vec<String>> {
    let moved = &request.overrides;
    let overrides = Overrides {
        environment: moved.environment.clone(),
        data: moved.data.clone(),
        listen: moved.listen.clone(),
        port_offset: moved.port_offset,
    };
    Manifest::parse(&request.manifest, text)
        .and_then(|manifest| manifest.plan(&overrides, facts))
        .map_err(|problems| lines(&problems))
}

/// One line for each error; warnings stop nothing.
fn lines(problems: &Problems) -> Vec<String> {
    let errors = problems.list().iter().filter(|problem| problem.severity == Severity::Error);
    errors
        .map(|problem| {
            let place = if problem.line > 0 {
                format!("{}:{}:{}: ", problems.path().display(), problem.line, problem.column)
            } else {
                String::new()
            };
            let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{place}{}{help}", problem.message)
        })
        .collect()
}

/// The path without links and detours, as far as it exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Overrides as Moved;

    const MANIFEST: &str = "name = \"a\"\ndomain = \"a.example\"\n[projects]\nb = {}\n[services.b-backend]\n\
                            command = \"sleep 1\"\nport = 3001\n";

    fn request(data: &str) -> Apply {
        let overrides = Moved { data: Some(data.into()), ..Moved::default() };
        Apply { manifest: "/somewhere/mana.toml".into(), overrides }
    }

    #[test]
    fn a_plan_is_for_the_data_folder_of_this_control_plane() {
        let plan = parse(MANIFEST, &request("/data"), Path::new("/data")).expect("valid");
        assert_eq!(plan.services[0].name, "b-backend");
        let problems = parse(MANIFEST, &request("/data"), Path::new("/other")).expect_err("another folder");
        assert!(problems[0].contains("/data") && problems[0].contains("/other"), "{problems:?}");
    }

    #[test]
    fn every_problem_has_its_place() {
        let text = MANIFEST.replace("port = 3001", "port = 3001\ncolour = \"red\"\nneeds = [\"c\"]");
        let problems = parse(&text, &request("/data"), Path::new("/data")).expect_err("invalid");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.starts_with("/somewhere/mana.toml:")), "{problems:?}");
    }
}
