//! The scenarios, by name, as far as they concern the reducer.

use super::super::*;
use super::world::{World, full, short};

#[test]
fn everything_good_goes_all_the_way() {
    let mut world = World::new(full());
    world.start();
    assert_eq!(world.finish(), Stage::Done);
    println!("{}", serde_json::to_string_pretty(&world.journal).unwrap());
    println!("{}", serde_json::to_string_pretty(&world.state).unwrap());
    let mut world = World::empty(short());
    world.start();
    assert_eq!(world.finish(), Stage::Done);
}
