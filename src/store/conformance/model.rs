//! Random commits, against what is plainly right.

use super::*;

/// Random changes and places, against what is plainly right.
pub(super) async fn it_agrees_with_a_plain_model(bench: &Bench, seed: u64) {
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    // By key: the last version, and the content while it is there.
    let mut records: HashMap<&str, (u64, Option<String>)> = HashMap::new();
    // By place: what is known of it, as long as it is not settled.
    let mut places: Vec<Known> = Vec::new();
    // What is to be finished, and all that ever was.
    let (mut open, mut ever) = (Vec::new(), Vec::new());
    let mut changes = 0;
    for step in 0..60 {
        let through = match random.random_range(0..10) {
            0 => random.random_range(0..places.len() as u64 + 2),
            _ => 0,
        };
        places.resize(places.len().max(through as usize), Known::Forgotten);
        places[..through as usize].fill(Known::Forgotten);
        let mut finishes = Vec::new();
        for _ in 0..random.random_range(0..4) {
            let twice = random.random_bool(0.2);
            let from: &mut Vec<(u64, TakenId)> = if twice { &mut ever } else { &mut open };
            if from.is_empty() {
                continue;
            }
            let at = random.random_range(0..from.len());
            let (place, taken) = if twice {
                from[at]
            } else {
                from.swap_remove(at)
            };
            open.retain(|&(_, other)| other != taken);
            let said = format!("finished {step}");
            let finish = Finish {
                awaited: true,
                ..finished(taken, &said)
            };
            finishes.push(finish);
            let known = &mut places[place as usize - 1];
            if *known == Known::Open(taken) {
                *known = Known::Answered(said);
            }
        }
        let (mut units, mut expected) = (Vec::new(), Vec::new());
        let mut ended = false;
        for number in 0..random.random_range(0..6) {
            let place = random.random_range(1..places.len() as u64 + 3);
            let key = ["a", "b", "c.d"][random.random_range(0..3)];
            let op = [Op::Create, Op::Update, Op::Delete, Op::Put][random.random_range(0..4)];
            let if_version = random.random_bool(0.3).then(|| random.random_range(0..4));
            let content = format!("{step}.{number}");
            let mut unit = changing([change(op, key, if_version, &content)]);
            unit.place = Place::Seq(place);
            let takes = random.random_bool(0.3);
            if takes {
                unit.effect = Effect::Take(Bytes::from_static(b"packet"));
            }
            units.push(unit);
            let reached = places.len() as u64;
            expected.push(if ended {
                "skipped".to_owned()
            } else if place > reached + 1 {
                ended = true;
                format!("missing {}", reached + 1)
            } else if place <= reached {
                match &places[place as usize - 1] {
                    Known::Forgotten => "forgotten".into(),
                    Known::Taken | Known::Open(_) => "open".into(),
                    Known::Answered(kept) => format!("repeat {kept}"),
                }
            } else if takes {
                places.push(Known::Taken);
                "taken".into()
            } else {
                let row = records.entry(key).or_default();
                let there = row.1.is_some();
                let present = if there { row.0 } else { 0 };
                let refused = match (if_version, op) {
                    (Some(version), _) if version != present => Some(Reason::VersionMismatch),
                    (_, Op::Create) if there => Some(Reason::AlreadyExists),
                    (_, Op::Update | Op::Delete) if !there => Some(Reason::NotFound),
                    _ => None,
                };
                let answer = match refused {
                    Some(reason) => format!("{reason:?}"),
                    None => {
                        changes += 1;
                        *row = (row.0 + 1, (op != Op::Delete).then_some(content));
                        format!("{}", row.0)
                    }
                };
                places.push(Known::Answered(answer.clone()));
                format!("done {answer}")
            });
        }
        let commit = Commit {
            settles: vec![settle(through, &[])],
            finishes,
            units,
            ..Commit::new(DOMAIN, bench.term, at(step))
        };
        let judged = bench.store.commit(commit).await.unwrap().await.unwrap();
        let said: Vec<_> = judged.iter().map(plain).collect();
        assert_eq!(said, expected, "seed {seed}, step {step}");
        let taken = judged.iter().filter_map(|judged| match judged {
            Judged::Taken(taken) => Some(*taken),
            _ => None,
        });
        let waiting = places.iter_mut().enumerate();
        let waiting = waiting.filter(|(_, known)| **known == Known::Taken);
        for ((at, known), taken) in waiting.zip(taken) {
            *known = Known::Open(taken);
            open.push((at as u64 + 1, taken));
            ever.push((at as u64 + 1, taken));
        }
    }
    let runs = bench.store.open_runs().await.unwrap();
    let kept = runs.iter().flat_map(|run| {
        let name = |packet: &OpenPacket| TakenId {
            run: run.id,
            at: packet.at,
        };
        run.packets.iter().map(name).collect::<Vec<_>>()
    });
    open.sort_by_key(|&(_, taken)| taken);
    let open = open.iter().map(|&(_, taken)| taken);
    assert!(kept.eq(open), "seed {seed}: what is open");
    for (key, (version, content)) in records {
        let record = bench.record(key).await;
        let kept = record.map(|record| (record.version, record.content.unwrap().1));
        let wanted = content.map(|content| (version, Bytes::from(content)));
        assert_eq!(kept, wanted, "seed {seed}, {key}");
    }
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told.len(), changes, "seed {seed}");
    assert_eq!(told, bench.texts(&["records.>"], 0).await, "seed {seed}");
}

/// What is known of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Forgotten,
    /// In the commit that is being made.
    Taken,
    Open(TakenId),
    Answered(String),
}

fn plain(judged: &Judged) -> String {
    let said = |answer: &Answer| match answer.outcome {
        Outcome::Ok => versions(&Judged::Done(answer.clone()))[0].to_string(),
        _ if answer.reason == Reason::Application => answer.message.to_string(),
        _ => format!("{:?}", answer.reason),
    };
    match judged {
        Judged::Done(answer) => format!("done {}", said(answer)),
        Judged::Repeat(answer) => format!("repeat {}", said(answer)),
        Judged::Taken(_) => "taken".into(),
        Judged::Open(_) => "open".into(),
        Judged::Forgotten => "forgotten".into(),
        Judged::Missing { next } => format!("missing {next}"),
        Judged::Skipped => "skipped".into(),
        other => format!("{other:?}"),
    }
}
