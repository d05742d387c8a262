//! Has the binary linked so that it takes less memory.
//!
//! A program that may lie at any address lists the places that hold one. Written out, the list is 850 KiB, which the loader reads
//! and so maps into each process; packed (DT_RELR) it is 10 KiB. Loaders know that form since glibc 2.36: where the program is
//! built on an older one, or for another machine, the list stays as it was.

use std::process::Command;

/// The first glibc that loads such programs.
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let said = |name| std::env::var(name).unwrap_or_default();
    let is_built_here = said("HOST") == said("TARGET");
    let is_glibc = said("CARGO_CFG_TARGET_OS") == "linux" && said("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_built_here && is_glibc && glibc().is_some_and(|version| version >= SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// This machine's version; `None` where it does not say.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
