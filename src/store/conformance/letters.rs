//! Dead letters.

use super::*;

fn death(text: &str) -> Box<Death> {
    Box::new(Death {
        cause: Cause::Spent,
        message: format!("why {text}").into(),
        attempts: 10,
        packet: Bytes::from(text.to_owned()),
    })
}

fn dead(taken: TakenId, text: &str) -> Finish {
    Finish {
        death: Some(death(text)),
        ..finished(taken, "given up")
    }
}

/// A packet that sends a dead letter anew.
fn anew(letter: &DeadLetter) -> Unit {
    Unit {
        origin: letter.origin.clone(),
        fingerprint: letter.fingerprint,
        req_id: letter.req_id.clone(),
        ..unit(
            Place::Letter(letter.id),
            Effect::Take(letter.death.packet.clone()),
        )
    }
}

async fn letters(bench: &Bench) -> Vec<DeadLetter> {
    let page = bench.store.dead_letters(None, LetterId(0), ALL).await;
    page.unwrap().items
}

fn names(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| &*letter.req_id).collect()
}

async fn decide(bench: &Bench, letters: Vec<Letter>) {
    let commit = Commit {
        letters,
        ..Commit::new(DOMAIN, bench.term, at(7))
    };
    let judged = bench.store.commit(commit).await.unwrap().await.unwrap();
    assert!(judged.is_empty());
}

pub(super) async fn what_is_given_up_is_a_dead_letter_with_its_answer(bench: &Bench) {
    let units = vec![take(Place::Seq(1), "a"), take(Place::Seq(2), "b")];
    let judged = bench.commit(units).await;
    let all: Vec<_> = judged.iter().map(taken).collect();
    assert!(letters(bench).await.is_empty());
    let commit = Commit {
        finishes: vec![dead(all[1], "b")],
        ..Commit::new(DOMAIN, bench.term, at(7))
    };
    bench.store.commit(commit).await.unwrap().await.unwrap();
    let found = letters(bench).await;
    let [letter] = &found[..] else {
        panic!("{found:?}");
    };
    let expected = DeadLetter {
        id: letter.id,
        taken: all[1],
        state: LetterState::Final,
        origin: origin(Some("c"), "todos"),
        place: Place::Seq(2),
        fingerprint: 1,
        req_id: "b".into(),
        taken_at: at(0),
        given_up_at: at(7),
        death: *death("b"),
    };
    assert_eq!(*letter, expected);
    let again = bench.one(take(Place::Seq(2), "b")).await;
    assert_eq!(repeated(&again), "given up");
    // Of what is finished already, nothing is kept again.
    bench
        .finish(vec![dead(all[1], "b"), finished(all[0], "done")])
        .await;
    assert_eq!(names(&letters(bench).await), ["b"]);
    bench
        .commit_at(0, vec![settle(2, &[])], vec![seq(3, answer("x"))])
        .await;
    assert_eq!(names(&letters(bench).await), ["b"], "settled or not");
    let counts = bench.store.letter_counts();
    assert_eq!((counts.kept, counts.held, counts.dropped), (1, 0, 0));
    decide(bench, vec![Letter::Discard(letter.id)]).await;
    assert!(letters(bench).await.is_empty());
    decide(bench, vec![Letter::Discard(letter.id)]).await;
    let counts = bench.store.letter_counts();
    assert_eq!((counts.kept, counts.held, counts.dropped), (0, 0, 0));
    assert!(counts.newest >= letter.id);
}

pub(super) async fn a_dead_letter_is_sent_anew_once(bench: &Bench) {
    let open = taken(&bench.one(take(Place::Seq(1), "a")).await);
    bench.finish(vec![dead(open, "a")]).await;
    let letter = letters(bench).await.remove(0);
    let new = taken(&bench.one(anew(&letter)).await);
    assert_ne!(new, open);
    assert!(letters(bench).await.is_empty());
    assert_eq!(bench.one(anew(&letter)).await, Judged::Open(new));
    let runs = bench.store.open_runs().await.unwrap();
    let packet = &runs[0].packets[0];
    assert_eq!(
        (&packet.place, &*packet.req_id, &*packet.packet),
        (&Place::Letter(letter.id), "a", &b"a"[..])
    );
    assert_eq!(*runs[0].origin, *letter.origin);
    bench.told();
    bench.finish(vec![finished(new, "done")]).await;
    assert!(bench.told().is_empty(), "its result is nobody's");
    assert_eq!(bench.one(anew(&letter)).await, Judged::Forgotten);
    let first = bench.one(take(Place::Seq(1), "a")).await;
    assert_eq!(repeated(&first), "given up", "the first outcome stands");
    // One that fails again is another one.
    let open = taken(&bench.one(take(Place::Seq(2), "b")).await);
    bench.finish(vec![dead(open, "b")]).await;
    let letter = letters(bench).await.remove(0);
    let new = taken(&bench.one(anew(&letter)).await);
    bench.finish(vec![dead(new, "b")]).await;
    let next = letters(bench).await.remove(0);
    assert!(next.id > letter.id && next.place == Place::Letter(letter.id));
    assert_eq!(bench.one(anew(&letter)).await, Judged::Forgotten);
    assert_eq!(letters(bench).await.len(), 1);
}

pub(super) async fn what_is_held_stays_open_until_it_is_finished_or_released(bench: &Bench) {
    let units = (1..=3).map(|place| take(Place::Seq(place), &place.to_string()));
    let judged = bench.commit(units.collect()).await;
    let all: Vec<_> = judged.iter().map(taken).collect();
    let hold = |at: usize| Letter::Hold(all[at], death(&(at + 1).to_string()));
    decide(bench, vec![hold(0), hold(1), hold(0)]).await;
    let found = letters(bench).await;
    assert_eq!(names(&found), ["1", "2"]);
    assert!(found.iter().all(|letter| letter.state == LetterState::Held));
    let counts = bench.store.letter_counts();
    assert_eq!((counts.kept, counts.held), (0, 2));
    let again = bench.one(take(Place::Seq(1), "1")).await;
    assert_eq!(again, Judged::Open(all[0]));
    let held = async || {
        let runs = bench.store.open_runs().await.unwrap();
        let packets = runs.into_iter().flat_map(|run| run.packets);
        let held = packets.filter(|packet| packet.held);
        held.map(|packet| packet.req_id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(held().await, ["1", "2"]);
    // It is sent anew, and goes, as a whole and not by its letter.
    assert_eq!(bench.one(anew(&found[0])).await, Judged::Forgotten);
    decide(bench, vec![Letter::Discard(found[0].id)]).await;
    assert_eq!(held().await, ["1", "2"]);
    decide(
        bench,
        vec![Letter::Release(all[0]), Letter::Release(all[2])],
    )
    .await;
    assert_eq!(held().await, ["2"]);
    assert_eq!(names(&letters(bench).await), ["2"]);
    bench.finish(vec![finished(all[1], "discarded")]).await;
    assert!(letters(bench).await.is_empty() && held().await.is_empty());
    assert_eq!(
        repeated(&bench.one(take(Place::Seq(2), "2")).await),
        "discarded"
    );
    decide(bench, vec![hold(1)]).await;
    assert!(letters(bench).await.is_empty(), "it is not open any more");
    decide(bench, vec![hold(0)]).await;
    bench.finish(vec![dead(all[0], "1")]).await;
    let found = letters(bench).await;
    assert_eq!((found.len(), found[0].state), (1, LetterState::Final));
    assert_eq!(bench.store.letter_counts().held, 0);
}

pub(super) async fn dead_letters_are_paged_the_oldest_first(bench: &Bench) {
    let of = |handler: &str, place: u64| Unit {
        origin: origin(Some("c"), handler),
        ..take(Place::Seq(place), &format!("{handler} {place}"))
    };
    let units = (1..=4).flat_map(|place| [of("todos", place), of("notes", place)]);
    let judged = bench.commit(units.collect()).await;
    // In another order than they were taken.
    for (at, judged) in judged.iter().enumerate().rev() {
        let text = format!("{} {}", ["todos", "notes"][at % 2], at / 2 + 1);
        bench.finish(vec![dead(taken(judged), &text)]).await;
    }
    let page = async |handler: Option<&str>, after: LetterId, items: usize| {
        let handler = handler.map(|name| HandlerName::new(name).unwrap());
        let limit = ScanLimit { items, ..ALL };
        let page = bench.store.dead_letters(handler.as_ref(), after, limit);
        page.await.unwrap()
    };
    let first = page(None, LetterId(0), 3).await;
    assert_eq!(names(&first.items), ["notes 4", "todos 4", "notes 3"]);
    assert!(first.more && first.items.is_sorted_by_key(|letter| letter.id));
    let rest = page(None, first.items[2].id, 100).await;
    assert_eq!((rest.items.len(), rest.more), (5, false));
    let notes = page(Some("notes"), LetterId(0), 2).await;
    assert_eq!(names(&notes.items), ["notes 4", "notes 3"]);
    assert!(notes.more);
    let notes = page(Some("notes"), notes.items[1].id, 2).await;
    assert_eq!(names(&notes.items), ["notes 2", "notes 1"]);
    assert!(!notes.more);
    assert!(page(Some("nobody"), LetterId(0), 9).await.items.is_empty());
    let small = ScanLimit { bytes: 1, ..ALL };
    let one = bench.store.dead_letters(None, LetterId(0), small).await;
    let one = one.unwrap();
    assert_eq!((one.items.len(), one.more), (1, true), "at least one");
}

/// The same for all engines: `bench` keeps three, and room for two that are large.
pub(crate) async fn the_oldest_go_at_the_bound_and_none_that_is_held(bench: &Bench, large: usize) {
    let give_up = async |place: u64, packet: String| {
        let open = taken(&bench.one(take(Place::Seq(place), &place.to_string())).await);
        let death = Death {
            packet: packet.into(),
            ..*death("")
        };
        let finish = Finish {
            death: Some(Box::new(death)),
            ..finished(open, "given up")
        };
        bench.finish(vec![finish]).await;
    };
    let held = taken(&bench.one(take(Place::Seq(1), "1")).await);
    decide(bench, vec![Letter::Hold(held, death("1"))]).await;
    for place in 2..=6 {
        give_up(place, place.to_string()).await;
    }
    assert_eq!(names(&letters(bench).await), ["1", "4", "5", "6"]);
    let counts = bench.store.letter_counts();
    assert_eq!((counts.kept, counts.held, counts.dropped), (3, 1, 2));
    for place in 7..=8 {
        give_up(place, "x".repeat(large)).await;
    }
    assert_eq!(names(&letters(bench).await), ["1", "6", "7", "8"]);
    give_up(9, "x".repeat(large)).await;
    assert_eq!(names(&letters(bench).await), ["1", "8", "9"]);
    assert_eq!(bench.store.letter_counts().dropped, 6);
    // What they say of whose they are takes room as well.
    let principal = Principal {
        roles: vec!["x".repeat(large).into()],
        ..Principal::default()
    };
    let owned = Unit {
        origin: Arc::new(Origin {
            principal: Arc::new(principal),
            client: None,
            handler: HandlerName::new("todos").unwrap(),
        }),
        ..take(Place::None, "10")
    };
    let open = taken(&bench.one(owned).await);
    bench.finish(vec![dead(open, "10")]).await;
    assert_eq!(names(&letters(bench).await), ["1", "9", "10"]);
}
