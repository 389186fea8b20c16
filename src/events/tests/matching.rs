//! The tree of interests and the matcher are one rule.

use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::events::interest::Interests;
use crate::types::{Pattern, Topic};

#[test]
fn the_tree_matches_as_the_matcher_does() {
    for seed in 0..200 {
        check(seed);
    }
}

fn check(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut interests = Interests::default();
    let mut streams = HashMap::new();
    for stream in 0..40 {
        let name = name(&mut random, &["@user", "a", "b", "*", ">"]);
        let Ok(pattern) = Pattern::parse(&name, "") else {
            continue;
        };
        let id = interests.want_pattern(stream, "", pattern.as_str());
        streams.insert(stream, (pattern, id));
    }
    while !streams.is_empty() {
        for _ in 0..10 {
            let name = name(&mut random, &["@user", "a", "b"]);
            let Ok(topic) = Topic::parse(&name, "") else {
                continue;
            };
            let met = interests.of_topic("", topic.as_str());
            let mut found: Vec<usize> = met
                .iter()
                .flat_map(|id| interests.streams(*id))
                .copied()
                .collect();
            found.sort_unstable();
            let meant = streams
                .iter()
                .filter(|(_, (pattern, _))| pattern.matches(&topic));
            let mut meant: Vec<usize> = meant.map(|(stream, _)| *stream).collect();
            meant.sort_unstable();
            assert_eq!(found, meant, "{topic:?} with seed {seed}");
            assert!(interests.of_topic("other", topic.as_str()).is_empty());
        }
        let all: Vec<usize> = streams.keys().copied().collect();
        let stream = *all.choose(&mut random).unwrap();
        let (_, id) = streams.remove(&stream).unwrap();
        interests.leave(id, stream);
    }
    assert!(interests.is_empty(), "something stayed with seed {seed}");
}

fn name(random: &mut StdRng, tokens: &[&str]) -> String {
    let count = random.random_range(1..4);
    let tokens: Vec<&str> = (0..count)
        .map(|_| *tokens.choose(random).unwrap())
        .collect();
    tokens.join(".")
}
