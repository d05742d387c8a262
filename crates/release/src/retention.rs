//! Which releases are kept.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::record::Release;

/// The ids of those that may go: all but the `keep` newest, and never one that is named in `in_use` by id or digest.
/// The order of the answer is from the oldest to the newest.
pub fn surplus(releases: &[Release], keep: usize, in_use: &BTreeSet<String>) -> Vec<String> {
    let mut newest: Vec<&Release> = releases.iter().collect();
    newest.sort_by_key(|release| Reverse((release.built_at, release.id())));
    let used = |release: &Release| in_use.contains(&release.id()) || in_use.contains(release.digest.as_str());
    let surplus = newest.into_iter().skip(keep).filter(|release| !used(release));
    let mut surplus: Vec<String> = surplus.map(Release::id).collect();
    surplus.reverse();
    surplus
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::release;

    #[test]
    fn the_newest_and_those_in_use_stay() {
        let all: Vec<Release> = (0..5).map(|number| release(number, i64::from(number))).collect();
        let none = BTreeSet::new();
        assert_eq!(surplus(&all, 3, &none), [all[0].id(), all[1].id()]);
        assert_eq!(surplus(&all, 10, &none), Vec::<String>::new());
        assert_eq!(surplus(&all, 3, &BTreeSet::from([all[0].id()])), [all[1].id()]);
        assert_eq!(surplus(&all, 3, &BTreeSet::from([all[1].digest.as_str().to_owned()])), [all[0].id()]);
    }

    proptest! {
        #[test]
        fn nothing_in_use_goes_and_enough_stay(
            times in prop::collection::vec(0..20_i64, 0..20), keep in 0..12_usize, used in prop::collection::vec(any::<bool>(), 20),
        ) {
            let all: Vec<Release> = (0_u8..).zip(&times).map(|(number, at)| release(number, *at)).collect();
            let in_use: BTreeSet<String> =
                all.iter().zip(used).filter(|(_, used)| *used).map(|(release, _)| release.id()).collect();
            let gone = surplus(&all, keep, &in_use);
            prop_assert!(gone.iter().all(|id| !in_use.contains(id)));
            prop_assert!(all.len() - gone.len() >= keep.min(all.len()));
            // Whoever goes is at most as new as whoever stays for its age alone.
            let newest_gone = all.iter().filter(|release| gone.contains(&release.id())).map(|release| release.built_at).max();
            let stayed = all.iter().filter(|release| !gone.contains(&release.id()) && !in_use.contains(&release.id()));
            if let (Some(gone), Some(stayed)) = (newest_gone, stayed.map(|release| release.built_at).min()) {
                prop_assert!(gone <= stayed);
            }
        }
    }
}
