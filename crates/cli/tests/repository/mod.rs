//! A git repository with a small ecosystem in it, and `mana` run there.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const HEAD: &str = "name = \"small\"\ndomain = \"small.example\"\n";

/// A repository with a manifest, one commit and `mana` in it.
pub(crate) struct Repository(TempDir);

impl Repository {
    /// A shop whose program is made by `make.sh`.
    pub(crate) fn new(build: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        place.git(&["init", "-q", "-b", "main"]);
        let service = "[services.shop-backend]\ncommand = \"out/shop\"\nport = 3001\n[services.shop-backend.build]\n";
        let landing = "[services.shop-landing]\nfolder = \"site\"\n";
        place.write("mana.toml", &format!("{HEAD}{landing}{service}{build}\n"));
        place.write(".gitignore", "/out\n/.mana\n");
        place.write("site/index.html", "<h1>shop</h1>\n");
        place.write("source", "one");
        place.script("make.sh", "mkdir -p out && cp source out/shop && chmod +x out/shop && echo made it");
        place.commit("the shop");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn script(&self, path: &str, text: &str) {
        self.write(path, &format!("#!/bin/sh\nset -eu\n{text}\n"));
        fs::set_permissions(self.path().join(path), fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).current_dir(self.path()).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mana"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MANA_")) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn mana(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("mana starts")
    }

    #[track_caller]
    pub(crate) fn check(&self, arguments: &[&str], code: i32, stdout: &str, stderr: &str) -> String {
        let output = self.mana(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}{err}");
        assert!(out.contains(stdout), "{arguments:?}: `{stdout}` is not in {out}");
        let flat = err.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(flat.contains(stderr), "{arguments:?}: `{stderr}` is not in {flat}");
        out
    }

    /// `mana releases --json` of a service.
    pub(crate) fn releases(&self, service: &str) -> Vec<serde_json::Value> {
        let output = self.mana(&["releases", service, "--json"]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    pub(crate) fn data(&self, path: &str) -> PathBuf {
        self.path().join(".mana/development").join(path)
    }

    /// The folder a release runs from.
    pub(crate) fn root(&self, service: &str, release: &serde_json::Value) -> PathBuf {
        let digest = release["digest"].as_str().expect("a digest");
        self.data("releases").join(service).join("artefacts").join(digest).join("root")
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // Releases are read-only, and a temporary folder is not removed then unless by root.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.path()).output();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
