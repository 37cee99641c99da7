//! Every set against the oracle: at least five million packets each, cut points and their neighbours among them.

use nsgwatch::classifier::Policy;
use nsgwatch::flow::{Direction, FiveTuple};
use nsgwatch::nsg::{AppliedRules, evaluate};

use crate::sets::{Family, named};
use crate::traces::Boxes;

/// Packets of each of the three kinds, for each family.
const PACKETS: usize = 850_000;

/// Compares all sets, or those with this in their names, in both families; ends the program where an answer differs.
pub(crate) fn sets(only: Option<&str>) {
    for set in named(only) {
        let mut compared = 0;
        for family in [Family::V4, Family::V6] {
            let rules = (set.make)(family);
            let policy = Policy::compile(rules.clone(), 1).expect("the set fits the budget");
            let boxes = Boxes::new(&rules, family);
            for seed in 0..2 {
                compared += compare(&policy, &rules, &boxes.uniform(PACKETS / 2, 21 + seed));
                compared += compare(&policy, &rules, &boxes.miss(PACKETS / 2, 31 + seed));
                compared += compare(&policy, &rules, &boxes.cut_points(PACKETS / 2, 41 + seed));
            }
        }
        println!("{}: {compared} packets, 0 differences", set.name);
    }
}

fn compare(policy: &Policy, rules: &AppliedRules, packets: &[FiveTuple]) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in packets.chunks(packets.len().div_ceil(threads)) {
            scope.spawn(move || {
                for tuple in part {
                    let (fast, slow) = (
                        policy.classify(Direction::Inbound, tuple),
                        evaluate(rules, Direction::Inbound, tuple),
                    );
                    assert_eq!(fast, slow, "{tuple}");
                }
            });
        }
    });
    packets.len()
}
