//! The store on a real file system.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::record::tests::release;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::new(&folder.path().join("releases"), "shop");
        Self { folder, store }
    }

    /// A release whose one file holds this text.
    fn add(&self, number: u8, content: &str) -> Release {
        let from = self.folder.path().join("from");
        fs::create_dir_all(from.join("bin")).expect("made");
        fs::write(from.join("bin/shop"), content).expect("written");
        fs::set_permissions(from.join("bin/shop"), fs::Permissions::from_mode(0o777)).expect("chmod");
        let list = artefact::list(&from, &["bin".to_owned()]).expect("listed");
        let digest = self.store.add_artefact(&list, &from).expect("added");
        let release = Release { digest, ..release(number, i64::from(number)) };
        self.store.add(&release, &Attached { sbom: Some("{}"), log: None }).expect("added");
        release
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove(&self.folder.path().join("releases"));
    }
}

#[test]
fn what_was_added_is_there_and_intact() {
    let place = Place::new();
    let (one, two) = (place.add(1, "same"), place.add(2, "same"));
    assert_eq!(one.digest, two.digest);
    assert_eq!(place.store.all().expect("read"), [two.clone(), one.clone()]);
    let root = place.store.verified_root(&one).expect("intact");
    assert_eq!(fs::read_to_string(root.join("bin/shop")).expect("text"), "same");
    assert_eq!(fs::metadata(root.join("bin")).expect("there").permissions().mode() & 0o777, 0o555);
    let list = fs::read(place.store.artefact(&one.digest).join(LIST)).expect("a list");
    assert_eq!(Digest::of(&list), one.digest, "`sha256sum files` says the same");
    assert_eq!(place.store.sbom(&one).expect("read").as_deref(), Some("{}"));
}

#[test]
fn releases_are_found_by_what_people_call_them() {
    let place = Place::new();
    let (one, two) = (place.add(1, "one"), place.add(2, "two"));
    for wanted in [one.id(), one.version.clone(), one.digest.as_str()[..8].to_owned(), one.commit.clone()] {
        assert_eq!(place.store.find(Some(&wanted)).expect("found"), one, "{wanted}");
    }
    assert_eq!(place.store.find(None).expect("found"), two);
    assert!(matches!(place.store.find(Some("v9")), Err(StoreError::Unknown { known, .. }) if known.len() == 2));
    assert!(matches!(place.store.find(Some("0000")), Err(StoreError::Ambiguous { all, .. }) if all.len() == 2));
}

#[test]
fn every_kind_of_damage_is_found_and_put_right_by_the_same_bytes() {
    let place = Place::new();
    let release = place.add(1, "content");
    let root = place.store.root(&release.digest);
    let open = || {
        for path in [root.clone(), root.join("bin"), root.join("bin/shop")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("bin/shop was changed", &|| fs::write(root.join("bin/shop"), "other").expect("written")),
        ("bin/shop was changed", &|| {
            fs::set_permissions(root.join("bin/shop"), fs::Permissions::from_mode(0o644)).expect("chmod");
        }),
        ("is missing", &|| fs::remove_file(root.join("bin/shop")).expect("removed")),
        ("bin/more was added", &|| fs::write(root.join("bin/more"), "").expect("written")),
        ("list of files was changed", &|| {
            fs::write(root.join("bin/shop"), "other").expect("written");
            let list = root.parent().expect("a folder").join(LIST);
            fs::set_permissions(&list, fs::Permissions::from_mode(0o644)).expect("chmod");
            fs::write(list, "another list").expect("written");
        }),
    ];
    for (expected, damage) in damages {
        open();
        damage();
        let error = place.store.verify(&release).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(place.add(1, "content"), release);
        place.store.verify(&release).expect("put right");
    }
}

#[test]
fn what_is_removed_leaves_nothing_and_what_is_in_use_stays() {
    let place = Place::new();
    let all: Vec<Release> = (1..=4).map(|number| place.add(number, &number.to_string())).collect();
    // As if a build had been killed while it copied.
    fs::create_dir_all(place.store.folder.join(ARTEFACTS).join(".new-1/root/x")).expect("made");
    fs::create_dir_all(place.store.folder.join(".new-2")).expect("made");
    fs::create_dir_all(place.store.folder.join(".new-3")).expect("made");
    fs::create_dir_all(place.store.folder.join(ARTEFACTS).join("arriving")).expect("made");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for old in [place.store.folder.join(ARTEFACTS).join(".new-1"), place.store.folder.join(".new-2")] {
        File::open(old).and_then(|folder| folder.set_modified(long_ago)).expect("set");
    }
    let in_use = BTreeSet::from([all[0].digest.as_str().to_owned()]);
    assert_eq!(place.store.collect(2, &in_use).expect("collected"), [all[1].id()]);
    let left: Vec<String> = place.store.all().expect("read").iter().map(Release::id).collect();
    assert_eq!(left, [all[3].id(), all[2].id(), all[0].id()]);
    let artefacts = names(&place.store.folder.join(ARTEFACTS)).expect("read");
    assert_eq!((artefacts.len(), artefacts.contains(&"arriving".to_owned())), (4, true), "{artefacts:?}");
    let unfinished = |name: &&String| name.starts_with('.');
    let left = names(&place.store.folder).expect("read");
    assert_eq!(left.iter().filter(unfinished).collect::<Vec<_>>(), [".new-3"], "what is on its way stays");
    for release in place.store.all().expect("read") {
        place.store.verify(&release).expect("intact");
    }
}

#[test]
fn a_record_is_written_once_and_a_broken_or_newer_one_is_an_error() {
    let place = Place::new();
    let release = place.add(1, "one");
    let other = Release { message: "another".into(), ..release.clone() };
    place.store.add(&other, &Attached::default()).expect("there already");
    assert_eq!(place.store.all().expect("read"), std::slice::from_ref(&release));
    let path = place.store.folder(&release).join(RECORD);
    for (text, expected) in [("{", "cannot be used"), (&record(99), "a newer mana wrote it")] {
        fs::remove_file(&path).expect("removed");
        fs::write(&path, text).expect("written");
        let error = place.store.all().expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn record(format: u32) -> String {
    serde_json::to_string(&Release { format, ..release(1, 1) }).expect("JSON")
}

#[test]
fn what_comes_from_another_store_is_the_same_or_does_not_come() {
    let (place, other) = (Place::new(), Place::new());
    let release = place.add(1, "one");
    let passed = checks::Passed::from([("lint".to_owned(), vec!["clippy".to_owned()])]);
    place.store.set_passed(&release.commit, &passed).expect("written");
    for _ in 0..2 {
        other.store.import(&place.store, &release).expect("taken in");
        assert_eq!(other.store.all().expect("read"), std::slice::from_ref(&release));
        assert_eq!(other.store.passed(&release.commit).expect("read"), passed);
        assert_eq!(other.store.sbom(&release).expect("read").as_deref(), Some("{}"));
        other.store.verify(&release).expect("intact");
    }
    let bad = place.add(2, "two");
    let program = place.store.root(&bad.digest).join("bin/shop");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(&program, "changed").expect("written");
    let refused = other.store.import(&place.store, &bad).expect_err("changed");
    assert!(matches!(refused, StoreError::Differs { .. }), "{refused}");
    assert_eq!(other.store.all().expect("read"), [release]);
}

#[test]
fn checks_that_a_commit_passed_are_remembered_and_old_commits_are_forgotten() {
    let place = Place::new();
    let passed = |name: &str| checks::Passed::from([(name.to_owned(), vec![name.to_owned()])]);
    assert!(place.store.passed("first").expect("read").is_empty());
    place.store.set_passed("first", &passed("lint")).expect("written");
    place.store.set_passed("first", &passed("test")).expect("written");
    assert_eq!(place.store.passed("first").expect("read").len(), 2);
    place.add(1, "one");
    assert_eq!(place.store.all().expect("read").len(), 1, "they are no releases");
    for number in 0..100 {
        place.store.set_passed(&format!("commit{number}"), &passed("lint")).expect("written");
    }
    assert!(place.store.passed("first").expect("read").is_empty());
    assert_eq!(place.store.passed("commit99").expect("read"), passed("lint"));
}

#[test]
fn a_release_travels_and_what_was_changed_on_the_way_does_not_arrive() {
    let (place, other) = (Place::new(), Place::new());
    let release = place.add(1, "one");
    let passed = checks::Passed::from([("lint".to_owned(), Vec::new())]);
    place.store.set_passed(&release.commit, &passed).expect("written");
    let mut packed = Vec::new();
    place.store.pack(&release, &mut packed).expect("packed");
    for _ in 0..2 {
        assert_eq!(other.store.unpack(packed.as_slice()).expect("taken in"), release);
    }
    other.store.verify(&release).expect("intact");
    assert_eq!(other.store.passed(&release.commit).expect("read"), passed);
    assert_eq!(other.store.sbom(&release).expect("read").as_deref(), Some("{}"));
    let third = Place::new();
    let at = packed.windows(3).rposition(|bytes| bytes == b"one").expect("its content");
    let mut changed = packed.clone();
    changed[at..at + 3].copy_from_slice(b"two");
    let refused = third.store.unpack(changed.as_slice()).expect_err("changed");
    assert!(matches!(refused, StoreError::Differs { .. }), "{refused}");
    assert!(third.store.unpack(&packed[..packed.len() / 2]).is_err(), "half of it");
    assert!(Store::new(third.folder.path(), "other").unpack(packed.as_slice()).is_err(), "of another service");
    assert!(third.store.all().expect("read").is_empty());
    let left = names(&third.folder.path().join("releases/shop")).expect("read");
    assert!(left.iter().all(|name| !name.starts_with(UNFINISHED)), "{left:?}");
}

#[test]
fn nothing_is_unpacked_outside_of_its_folder() {
    let place = Place::new();
    let archive = |name: &str, link: Option<&str>| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(link) = link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, link).expect("appended");
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{name}/x"), b"x".as_slice()).expect("appended");
        } else {
            header.set_size(1);
            let raw = &mut header.as_old_mut().name;
            raw[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, b"x".as_slice()).expect("appended");
        }
        tar.into_inner().expect("an archive")
    };
    let refused = |bytes: Vec<u8>, why: &str| {
        let error = place.store.unpack(bytes.as_slice()).expect_err(why);
        let text =
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(text.contains(why), "{text}");
    };
    refused(archive("../out", None), "has no place");
    refused(archive("/etc/out", None), "has no place");
    refused(archive("other/file", None), "has no place");
    refused(archive("root/../../out", None), "has no place");
    refused(archive("root/link", Some("/tmp")), "lies behind a link");
    assert!(!place.folder.path().join("out").exists());
}
