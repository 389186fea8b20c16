//! Random commits, against what is plainly right.

use super::*;

/// Random changes and places, against what is plainly right.
pub(super) async fn it_agrees_with_a_plain_model(bench: &Bench, seed: u64) {
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    // By key: the last version, and the content while it is there.
    let mut records: HashMap<&str, (u64, Option<String>)> = HashMap::new();
    // By place: what was answered, as long as it is not settled.
    let mut answers: Vec<Option<String>> = Vec::new();
    let mut changes = 0;
    for step in 0..60 {
        let through = match random.random_range(0..10) {
            0 => random.random_range(0..answers.len() as u64 + 2),
            _ => 0,
        };
        answers.resize(answers.len().max(through as usize), None);
        answers[..through as usize].fill(None);
        let (mut units, mut expected) = (Vec::new(), Vec::new());
        let mut ended = false;
        for number in 0..random.random_range(0..6) {
            let place = random.random_range(1..answers.len() as u64 + 3);
            let key = ["a", "b", "c.d"][random.random_range(0..3)];
            let op = [Op::Create, Op::Update, Op::Delete, Op::Put][random.random_range(0..4)];
            let if_version = random.random_bool(0.3).then(|| random.random_range(0..4));
            let content = format!("{step}.{number}");
            let mut unit = changing([change(op, key, if_version, &content)]);
            unit.place = Place::Seq(place);
            units.push(unit);
            let reached = answers.len() as u64;
            expected.push(if ended {
                "skipped".to_owned()
            } else if place > reached + 1 {
                ended = true;
                format!("missing {}", reached + 1)
            } else if place <= reached {
                let kept = answers[place as usize - 1].as_ref();
                kept.map_or_else(|| "forgotten".to_owned(), |kept| format!("repeat {kept}"))
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
                answers.push(Some(answer.clone()));
                format!("done {answer}")
            });
        }
        let judged = bench
            .commit_at(step, vec![settle(through, &[])], units)
            .await;
        let said: Vec<_> = judged.iter().map(plain).collect();
        assert_eq!(said, expected, "seed {seed}, step {step}");
    }
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

fn plain(judged: &Judged) -> String {
    let said = |answer: &Answer| match answer.outcome {
        Outcome::Ok => versions(&Judged::Done(answer.clone()))[0].to_string(),
        _ => format!("{:?}", answer.reason),
    };
    match judged {
        Judged::Done(answer) => format!("done {}", said(answer)),
        Judged::Repeat(answer) => format!("repeat {}", said(answer)),
        Judged::Forgotten => "forgotten".into(),
        Judged::Missing { next } => format!("missing {next}"),
        Judged::Skipped => "skipped".into(),
        other => format!("{other:?}"),
    }
}
