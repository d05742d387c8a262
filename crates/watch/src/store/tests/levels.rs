//! Blocks of all levels say what the raw samples said.

use super::*;

#[test]
fn what_became_a_block_is_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), Limits::default(), START);
    let one = identify(&mut store, "a", "up", Kind::Gauge);
    append_one(&mut store, one, 1.0, START + 1);
    assert_eq!(all(&store, "up").len(), 1);
    settle(&mut store, START + 3 * HOUR);
    assert_eq!(level_stats(&store, Level::Raw).samples, 1);
    assert_eq!(all(&store, "up"), [(START + 1, 1f64.to_bits())]);
}
