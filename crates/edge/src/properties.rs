//! What holds for any snapshot and any request, against models too simple to be wrong.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::metrics::Registry;
use crate::pick;
use crate::pool::{Lease, Upstream};
use crate::snapshot::{Instance, Policies, Probe, Route, RouteLimits, Slot, Snapshot, Target};
use crate::table::{self, Found, Table};
use crate::ticker::Millis;
use crate::upstreams::Upstreams;
use crate::view::View;

/// Few names, so that they meet often.
fn segment() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "api", "v1", "x.y"]).prop_map(Into::into)
}

fn path() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 0..4), any::<bool>()).prop_map(|(segments, slash)| {
        let path = format!("/{}", segments.join("/"));
        if slash && path != "/" { path + "/" } else { path }
    })
}

fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["one.localhost", "two.localhost", "three.localhost"]).prop_map(Into::into)
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    prop::collection::vec((0_u32..4, prop::collection::vec(1_u16..6, 0..4)), 0..4).prop_map(|slots| {
        let named = slots.into_iter().enumerate();
        named
            .map(|(index, (weight, ports))| Slot {
                name: format!("s{index}"),
                release: "v1".into(),
                weight,
                instances: ports
                    .into_iter()
                    .enumerate()
                    .map(|(place, port)| Instance::new(format!("s{index}-{place}"), ([127, 0, 0, 1], port).into()))
                    .collect(),
            })
            .collect()
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    prop::collection::vec((host(), path(), slots(), any::<bool>()), 0..12).prop_map(|routes| {
        let mut taken = HashSet::new();
        let routes = routes.into_iter().enumerate().filter_map(|(index, (host, path, slots, probed))| {
            let unique = taken.insert((host.clone(), path.trim_end_matches('/').to_owned()));
            let some_weight = slots.is_empty() || slots.iter().any(|slot| slot.weight > 0);
            (unique && some_weight).then(|| Route {
                name: format!("r{index}"),
                hosts: vec![host],
                path,
                target: Target::Slots(slots),
                response_headers: BTreeMap::new(),
                limits: RouteLimits::default(),
                policies: Policies::default(),
                probe: probed.then(|| Probe::new("/ready")),
                lease: None,
            })
        });
        Snapshot { generation: 1, listeners: Vec::new(), routes: routes.collect(), ..Snapshot::default() }
    })
}

/// The longest prefix, segment by segment, found by looking at every route.
fn expected<'a>(snapshot: &'a Snapshot, host: &str, path: &str) -> Option<&'a Route> {
    let segments =
        |path: &str| path.trim_end_matches('/').split('/').skip(1).map(ToOwned::to_owned).collect::<Vec<_>>();
    let asked: Vec<_> = path.split('/').skip(1).map(ToOwned::to_owned).collect();
    let matching = snapshot.routes.iter().filter(|route| route.hosts.iter().any(|known| known == host));
    matching.filter(|route| asked.starts_with(&segments(&route.path))).max_by_key(|route| segments(&route.path).len())
}

fn instances(route: &Route) -> impl Iterator<Item = (&str, SocketAddr)> {
    let slots = match &route.target {
        Target::Slots(slots) => slots.as_slice(),
        _ => panic!("only slots are made here"),
    };
    slots.iter().flat_map(|slot| &slot.instances).map(|instance| (instance.id.as_str(), instance.address))
}

fn slots_of(table: &Table, route: usize) -> &table::Slots {
    match &table.routes[route].target {
        table::Target::Slots(slots) => slots,
        _ => panic!("only slots are made here"),
    }
}

/// Requests by instance, of those that are with one that is not in the view.
fn still_with(upstreams: &Upstreams, in_flight: &[Lasting]) -> BTreeMap<Box<str>, u32> {
    let leases = in_flight.iter().map(|lasting| &lasting.lease);
    count(leases.filter(|lease| !upstreams.knows(&lease.upstream)).map(|lease| (lease.upstream.id.clone(), 1)))
}

/// The same, as it is told.
fn told(upstreams: &Upstreams) -> BTreeMap<Box<str>, u32> {
    count(upstreams.retired().into_iter())
}

fn count(requests: impl Iterator<Item = (Box<str>, u32)>) -> BTreeMap<Box<str>, u32> {
    requests.fold(BTreeMap::new(), |mut counts, (id, more)| {
        *counts.entry(id).or_default() += more;
        counts
    })
}

/// What becomes of a request, and what is found out meanwhile about the instance it is with.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// So often in a row that the instance is ejected.
    Fails,
    /// It is still there when the next snapshots come, and fails only then.
    Lasts,
    /// Probes find the instance unwell, or well again.
    Probed(bool),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Answered), Just(Fate::Fails), Just(Fate::Lasts), any::<bool>().prop_map(Fate::Probed),]
}

/// A request that is with an instance: which may be in no snapshot any more.
struct Lasting {
    lease: Lease,
    route: Arc<str>,
    slot: Arc<str>,
}

/// Lets an instance meet its fate. A request that lasts is still with it then.
fn meet(fate: Fate, upstream: &Rc<Upstream>, took: u64, now: Millis) -> Option<Lease> {
    match fate {
        Fate::Answered => upstream.answered(Duration::from_millis(took), now),
        Fate::Fails => {
            for _ in 0..5 {
                upstream.failed(now);
            }
        }
        Fate::Lasts => return Some(upstream.lease()),
        Fate::Probed(well) => {
            for _ in 0..3 {
                upstream.health.set(upstream.health.get().after(well));
            }
            if well {
                upstream.returns(now);
            }
        }
    }
    None
}

/// Whether a snapshot has the chosen instance, in a slot that gets traffic.
fn is_declared(slots: &[Slot], choice: &pick::Choice) -> bool {
    let slot = &slots[choice.slot];
    let is_it =
        |instance: &Instance| *instance.id == *choice.upstream.id && instance.address == choice.upstream.address;
    slot.weight > 0 && !choice.upstream.is_retired() && slot.instances.iter().any(is_it)
}

/// Instances that get traffic, but for one.
fn others(slots: &[Slot], except: &Upstream) -> usize {
    let weighted = slots.iter().filter(|slot| slot.weight > 0).flat_map(|slot| &slot.instances);
    weighted.filter(|one| *one.id != *except.id || one.address != except.address).count()
}

proptest! {
    #[test]
    fn the_longest_prefix_wins(snapshot in snapshot(), host in host(), path in path()) {
        let table = snapshot.compile().unwrap();
        let found = match table.find(&host, &path) {
            Found::Route(route) => Some(&*table.routes[route].name),
            Found::NoHost | Found::NoPath => None,
        };
        prop_assert_eq!(found, expected(&snapshot, &host, &path).map(|route| route.name.as_str()));
    }

    #[test]
    fn no_sequence_of_snapshots_ejections_probes_and_drains_leads_to_an_instance_outside_of_the_current_one(
        snapshots in prop::collection::vec(snapshot(), 1..5),
        requests in prop::collection::vec((host(), path(), fate(), 0_u64..5_000, any::<Option<u64>>()), 1..60),
    ) {
        let mut now = 0;
        let (upstreams, registry) = (Rc::default(), Arc::<Registry>::default());
        let mut before: Option<Arc<Table>> = None;
        // Requests that are with an instance, which may be in no snapshot any more.
        let mut lasting = Vec::new();
        for (epoch, snapshot) in (1..).zip(&snapshots) {
            let mut table = snapshot.compile().unwrap();
            if let Some(earlier) = &before {
                table.go_on_from(earlier);
            }
            let table = Arc::new(table);
            let view = View::new(epoch, &table, &upstreams, &registry);
            // Requests of earlier snapshots go on where they are, and who waits for their end is told of each.
            prop_assert_eq!(still_with(&upstreams, &lasting), told(&upstreams));
            lasting.truncate(lasting.len() / 2);
            prop_assert_eq!(still_with(&upstreams, &lasting), told(&upstreams));
            let declared: HashSet<_> = snapshot.routes.iter().flat_map(instances).collect();
            for Lasting { lease, route, slot } in lasting.drain(..) {
                let Lease { upstream } = &lease;
                prop_assert_eq!(upstream.is_retired(), !declared.contains(&(&*upstream.id, upstream.address)));
                // What becomes of it says nothing of whom the next ones go to.
                upstream.failed(now);
                // It is asked of another instance, under the snapshot of now, where that has its route.
                let Some(route) = table.routes.iter().position(|one| one.name == route) else { continue };
                let Target::Slots(declared) = &snapshot.routes[route].target else { continue };
                let other = pick::other(slots_of(&table, route), view.route(route), &slot, upstream, now);
                prop_assert_eq!(other.is_some(), others(declared, upstream) > 0);
                if let Some(other) = other {
                    prop_assert!(is_declared(declared, &other) && !Rc::ptr_eq(&other.upstream, upstream));
                }
            }
            for (host, path, fate, after, place) in &requests {
                now += after;
                let Found::Route(route) = table.find(host, path) else { continue };
                let Target::Slots(declared) = &snapshot.routes[route].target else { continue };
                let slots = slots_of(&table, route);
                let any = declared.iter().any(|slot| slot.weight > 0 && !slot.instances.is_empty());
                let first = pick::first(slots, view.route(route), *place, now);
                prop_assert_eq!(first.is_some(), any);
                let Some(first) = first else { continue };
                prop_assert!(is_declared(declared, &first));
                // Whoever has a place goes to its slot, whatever happens to the instances there.
                if let Some(place) = place {
                    prop_assert_eq!(Some(first.slot), slots.sequence.at(*place).map(usize::from));
                }
                let slot = &slots.slots[first.slot].name;
                if let Some(lease) = meet(*fate, &first.upstream, *after, now) {
                    let route = Arc::clone(&table.routes[route].name);
                    lasting.push(Lasting { lease, route, slot: Arc::clone(slot) });
                }
                let several = declared.iter().filter(|slot| slot.weight > 0).map(|slot| slot.instances.len()).sum::<usize>() > 1;
                let other = pick::other(slots, view.route(route), slot, &first.upstream, now);
                prop_assert_eq!(other.is_some(), several);
                if let Some(other) = other {
                    prop_assert!(is_declared(declared, &other) && other.upstream.id != first.upstream.id);
                }
            }
            // Nobody is asked how it is who is not in the snapshot.
            prop_assert!(upstreams.to_probe().iter().all(|upstream| declared.contains(&(&*upstream.id, upstream.address))));
            before = Some(table);
        }
    }

    #[test]
    fn shares_are_within_one_request_of_exact(snapshot in snapshot()) {
        let table = snapshot.compile().unwrap();
        for (route, declared) in snapshot.routes.iter().enumerate() {
            let Target::Slots(declared) = &declared.target else { continue };
            let slots = slots_of(&table, route);
            let weights: Vec<_> = declared.iter().map(|slot| if slot.instances.is_empty() { 0 } else { slot.weight }).collect();
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0_u32; weights.len()];
            for turn in 1..=100_u32 {
                let slot = slots.sequence.next();
                prop_assert_eq!(slot.is_some(), sum > 0);
                if let Some(slot) = slot {
                    counts[usize::from(slot)] += 1;
                }
                for (count, weight) in counts.iter().zip(&weights).filter(|_| sum > 0) {
                    let exact = f64::from(turn * weight) / f64::from(sum);
                    prop_assert!((f64::from(*count) - exact).abs() <= 1.0 + 1e-9, "{:?} of {:?}", counts, weights);
                }
            }
        }
    }

    #[test]
    fn no_text_makes_reading_a_snapshot_panic(text in "\\PC{0,200}") {
        if let Ok(snapshot) = serde_json::from_str::<Snapshot>(&text) {
            let _either = snapshot.compile();
        }
    }

    #[test]
    fn no_name_makes_compiling_panic(name in "\\PC{0,40}", host in "\\PC{0,40}", path in "\\PC{0,40}", to in "\\PC{0,40}") {
        let redirect = crate::snapshot::Redirect { to: to.clone(), status: 302, keep_path: true };
        let route = Route {
            name,
            hosts: vec![host],
            path,
            target: Target::Redirect(redirect),
            response_headers: BTreeMap::from([(to.clone(), to)]),
            limits: RouteLimits::default(),
            policies: Policies::default(),
            probe: None,
            lease: None,
        };
        let snapshot = Snapshot {
            generation: 1,
            listeners: Vec::new(),
            routes: vec![route],
            ..Snapshot::default()
        };
        let _either = snapshot.compile();
    }
}
