//! The scenarios, by name, as far as they concern the reducer. `deadline_in_every_phase` is with the stations.

mod forward;
mod gate;
mod people;
mod recovery;
mod window;

use super::super::*;
use super::plans::full;
use super::world::World;

fn at(stage: Stage) -> World {
    at_with(full(), stage)
}

fn at_with(plan: Plan, stage: Stage) -> World {
    let mut world = World::new(plan);
    world.start();
    world.run_to(stage);
    world
}

/// In the canary, its window open.
fn canary() -> World {
    let mut world = at(Stage::Canary);
    world.act_all();
    world
}

fn last_news(world: &World) -> &News {
    world.news.last().expect("somebody was told")
}

/// Effects that were carried out in that stage, in order, without news, measurements and renewals.
fn done_in(world: &World, stage: Stage) -> Vec<EffectKind> {
    let boring = [EffectKind::Notify, EffectKind::Measure, EffectKind::RenewLease];
    let here = world.carried_out.iter().filter(|intent| intent.key.stage == stage);
    here.map(|intent| intent.effect.kind()).filter(|kind| !boring.contains(kind)).collect()
}
