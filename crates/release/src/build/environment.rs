//! What a build finds around it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::Recipe;
use crate::sbom;
use crate::source::Commit;

/// The beginning of 1980: archives of the kind of ZIP know no earlier time.
const SAME_TIME: &str = "315532800";
/// A compiler that takes longer to say its version is being installed.
const TOOLCHAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Taken over from the environment of whoever builds: where tools and their caches are, and how the network is reached.
/// Nothing else, and no secret, gets into a build.
const INHERITED: [&str; 18] = [
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "TZ",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "NVM_DIR",
    "GOPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What command and checks find in their environment.
pub(crate) fn environment(recipe: &Recipe, commit: &Commit) -> BTreeMap<String, String> {
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut env: BTreeMap<String, String> = inherited.collect();
    env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let own = [
        ("LANG", "C.UTF-8".to_owned()),
        ("MANA_COMMIT", commit.id.clone()),
        ("MANA_VERSION", commit.version.clone()),
        // What tools write in place of the time of the build, so that the same source gives the same bytes. The commit's own time
        // would make every C library anew with each commit.
        ("SOURCE_DATE_EPOCH", SAME_TIME.to_owned()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env.extend(recipe.env.clone());
    env
}

/// Versions of the compilers that the lock files hint at.
pub(super) async fn toolchain(folder: &Path, recipe: &Recipe, commit: &Commit) -> Vec<String> {
    let files = sbom::lockfiles(folder, recipe);
    let named = |name: &str| files.iter().any(|file| file.ends_with(name));
    let mut found = Vec::new();
    if recipe.command.is_empty() {
        return found;
    }
    for (lockfile, program) in [("Cargo.lock", "rustc"), ("package-lock.json", "node")] {
        if !named(lockfile) {
            continue;
        }
        let mut command = tokio::process::Command::new(program);
        command.arg("--version").current_dir(folder).env_clear().envs(environment(recipe, commit)).kill_on_drop(true);
        // Only a hint for people: a tool that does not say is left out.
        if let Ok(Ok(output)) = tokio::time::timeout(TOOLCHAIN_TIMEOUT, command.output()).await
            && output.status.success()
        {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            found.push(if said.starts_with(program) { said } else { format!("{program} {said}") });
        }
    }
    found
}
