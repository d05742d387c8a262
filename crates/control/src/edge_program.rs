//! The program that the edge runs: kept in the data folder, so that the one before is still there when a newer one turns out bad.
//!
//! Where it was installed it is replaced by the next version; what is kept is a second name of the same file (a copy, where there can
//! be none), under the digest of what made it another version.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{clock, paths};

/// Versions that are kept: the one that serves, and where there is to go back to.
pub(crate) const KEPT: usize = 3;

/// What the edge runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EdgeProgram {
    /// Program and leading arguments.
    pub(crate) argv: Vec<String>,
    /// What tells this version from others.
    pub(crate) spec: String,
}

impl EdgeProgram {
    /// As it was installed.
    pub(crate) fn installed(argv: &[String]) -> Self {
        Self { argv: argv.to_vec(), spec: crate::desired::program_spec(argv) }
    }

    /// The one that was kept under this digest, if it is there.
    pub(crate) fn kept(data: &Path, argv: &[String], spec: &str) -> Option<Self> {
        let path = place(data, spec);
        path.is_file().then(|| Self { argv: at(argv, &path), spec: spec.to_owned() })
    }

    /// Keeps it. What cannot be kept runs from where it was installed: then there is no way back to it.
    pub(crate) fn keep(self, data: &Path) -> Self {
        let Some(program) = self.argv.first() else { return self };
        match keep(data, Path::new(program), &self.spec) {
            Ok(path) => Self { argv: at(&self.argv, &path), ..self },
            Err(error) => {
                tracing::warn!(%error, program, "the edge's program cannot be kept; there will be no way back to it");
                self
            }
        }
    }
}

/// Removes those that are not named.
pub(crate) fn collect(data: &Path, keep: &[String]) -> io::Result<()> {
    let keep: Vec<PathBuf> = keep.iter().map(|spec| place(data, spec)).collect();
    for entry in fs::read_dir(paths::edge_programs(data))? {
        let path = entry?.path();
        if !keep.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn at(argv: &[String], program: &Path) -> Vec<String> {
    std::iter::once(program.display().to_string()).chain(argv.iter().skip(1).cloned()).collect()
}

fn place(data: &Path, spec: &str) -> PathBuf {
    paths::edge_programs(data).join(format!("edge-{}", spec.get(..16).unwrap_or(spec)))
}

fn keep(data: &Path, program: &Path, spec: &str) -> io::Result<PathBuf> {
    let (folder, path) = (paths::edge_programs(data), place(data, spec));
    if path.is_file() {
        return Ok(path);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // Another file system, or another one's file.
    if fs::hard_link(program, &path).is_err() {
        let passing = folder.join(format!("passing-{}", clock::unique()));
        let copied = copy(program, &passing).and_then(|()| fs::rename(&passing, &path));
        if copied.is_err() {
            let _ = fs::remove_file(&passing);
        }
        copied?;
    }
    File::open(&folder)?.sync_all()?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_there_after_the_next_one_took_its_place_and_until_it_is_not_kept_any_more() {
        let folder = tempfile::tempdir().expect("folder");
        let (data, program) = (folder.path().join("data"), folder.path().join("mana"));
        fs::write(&program, "one").expect("written");
        let argv = [program.display().to_string(), "edge".to_owned()];
        let one = EdgeProgram::installed(&argv).keep(&data);
        // As installers do it.
        fs::write(folder.path().join("new"), "two, longer").expect("written");
        fs::rename(folder.path().join("new"), &program).expect("replaced");
        let two = EdgeProgram::installed(&argv).keep(&data);
        assert_ne!(one.spec, two.spec);
        let text = |program: &EdgeProgram| fs::read_to_string(&program.argv[0]).expect("read");
        assert_eq!((text(&one).as_str(), text(&two).as_str(), two.argv[1].as_str()), ("one", "two, longer", "edge"));
        assert_eq!(EdgeProgram::kept(&data, &argv, &one.spec), Some(one.clone()));
        collect(&data, std::slice::from_ref(&two.spec)).expect("collected");
        assert_eq!(EdgeProgram::kept(&data, &argv, &one.spec), None);
        // Without a place to keep it, it runs from where it is.
        let unkept = EdgeProgram::installed(&argv).keep(Path::new("/proc/none"));
        assert_eq!(unkept.argv[0], argv[0]);
    }
}
