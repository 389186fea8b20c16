//! Dead letters on a disk: bounded, there after a restart, and seen from outside.

use std::path::Path;
use std::sync::Arc;

use super::store;
use crate::store::conformance::{self, ALL, Recorder, at, finished, take, taken, unit};
use crate::store::embedded::damage::{Damages, mend};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::inspect::{Depth, Inspection};
use crate::store::embedded::open::TABLE;
use crate::store::embedded::rows::{Key, Space};
use crate::store::embedded::table::{Op, Table};
use crate::store::embedded::{Embedded, Keep, Options};
use crate::store::{
    Cause, Commit, DeadLetter, Death, Domain, Effect, Finish, Judged, Letter, LetterId,
    LetterState, OpenRun, Place, Store, TakenId, Unit,
};

fn options(checkpoint_bytes: u64) -> Options {
    Options {
        keep: Keep {
            letters: 3,
            letter_bytes: 25_000,
            ..Keep::default()
        },
        checkpoint_bytes,
        segment_bytes: 64 << 10,
        ..Options::default()
    }
}

#[tokio::test]
async fn dead_letters_are_bounded() {
    for factory in [
        (|tail: Arc<Recorder>| -> Arc<dyn Store> {
            let disk = Arc::new(SimulatedDisk::new(1));
            Arc::new(store(disk, options(1 << 30), tail))
        }) as conformance::Factory,
        |tail: Arc<Recorder>| -> Arc<dyn Store> {
            let disk = Arc::new(SimulatedDisk::new(1));
            Arc::new(store(disk, options(1), tail))
        },
    ] {
        let bench = conformance::bench(factory).await;
        conformance::letters::the_oldest_go_at_the_bound_and_none_that_is_held(&bench, 10_000)
            .await;
    }
}

async fn commit(store: &Embedded, fill: impl FnOnce(&mut Commit)) -> Vec<Judged> {
    let term = store.take_over(Domain(7)).await.unwrap();
    let mut commit = Commit::new(Domain(7), term, at(0));
    fill(&mut commit);
    store.commit(commit).await.unwrap().await.unwrap()
}

fn death(packet: &str) -> Option<Box<Death>> {
    Some(Box::new(Death {
        cause: Cause::Poison,
        message: "it cannot stand this".into(),
        attempts: 2,
        packet: packet.to_owned().into(),
    }))
}

async fn seen(store: &Embedded) -> Vec<(LetterId, LetterState, String)> {
    let page = store.dead_letters(None, LetterId(0), ALL).await.unwrap();
    let letters = page.items.into_iter();
    let seen = letters.map(|letter| (letter.id, letter.state, letter.req_id.to_string()));
    seen.collect()
}

#[tokio::test]
async fn they_are_there_after_a_restart_and_count_as_before() {
    for checkpoint_bytes in [1, 1 << 30] {
        let disk = Arc::new(SimulatedDisk::new(1));
        let opened = |disk: Arc<SimulatedDisk>| {
            store(
                disk,
                options(checkpoint_bytes),
                Arc::new(Recorder::default()),
            )
        };
        let first = opened(disk.clone());
        let packets = ["a", "b", "c", "d"].map(|text| take(Place::None, text));
        let judged = commit(&first, |commit| commit.units = packets.into()).await;
        let all: Vec<TakenId> = judged.iter().map(taken).collect();
        commit(&first, |commit| {
            let dead = |at: usize, text: &str| Finish {
                death: death(text),
                ..finished(all[at], "given up")
            };
            commit.finishes = vec![dead(0, "a"), dead(1, "b")];
            commit.letters = vec![Letter::Hold(all[2], death("c").unwrap())];
        })
        .await;
        let before = seen(&first).await;
        let counts = first.letter_counts();
        let disk = Arc::new(disk.killed());
        first.close().await;
        let second = opened(disk.clone());
        assert_eq!(seen(&second).await, before);
        assert_eq!(second.letter_counts(), counts);
        assert_eq!((counts.kept, counts.held), (2, 1));
        assert_eq!(open(&second).await, ["c held", "d"]);
        // Sent anew, by a process that is killed then.
        let page = second.dead_letters(None, LetterId(0), ALL).await.unwrap();
        let letter = page.items[0].clone();
        let anew = || {
            let packet = Effect::Take(letter.death.packet.clone());
            unit(Place::Letter(letter.id), packet)
        };
        let judged = commit(&second, |commit| commit.units = vec![anew()]).await;
        let new = taken(&judged[0]);
        let disk = Arc::new(disk.killed());
        second.close().await;
        let third = opened(disk);
        assert_eq!(seen(&third).await, before[1..]);
        assert_eq!(open(&third).await, ["c held", "d", "r"]);
        let again = commit(&third, |commit| commit.units = vec![anew()]).await;
        assert_eq!(again, [Judged::Open(new)]);
    }
}

/// A directory that was closed, with two that are final and one that is held; and those.
async fn three() -> (Arc<SimulatedDisk>, Vec<DeadLetter>) {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = opened(&disk);
    let packets = ["a", "b", "c"].map(|text| take(Place::None, text));
    let judged = commit(&store, |commit| commit.units = packets.into()).await;
    let all: Vec<TakenId> = judged.iter().map(taken).collect();
    commit(&store, |commit| {
        let dead = |at: usize, text: &str| Finish {
            death: death(text),
            ..finished(all[at], "given up")
        };
        commit.finishes = vec![dead(0, "a"), dead(1, "b")];
        commit.letters = vec![Letter::Hold(all[2], death("c").unwrap())];
    })
    .await;
    let page = store.dead_letters(None, LetterId(0), ALL).await.unwrap();
    store.close().await;
    (disk, page.items)
}

fn opened(disk: &Arc<SimulatedDisk>) -> Embedded {
    store(disk.clone(), options(1), Arc::new(Recorder::default()))
}

/// The table of a directory that is closed, from which rows are lost.
fn without(disk: &Arc<SimulatedDisk>, lost: &[Key]) -> Table {
    let table = Table::open(disk.clone(), Path::new(TABLE), 1 << 20).unwrap();
    for key in lost {
        let (space, rest) = (key.space(), key.rest());
        assert!(table.get(space, rest).unwrap().is_some(), "{key:?}");
        let gone = Op {
            space,
            key: rest,
            value: None,
        };
        table.apply(&[gone]).unwrap();
    }
    table
}

#[tokio::test]
async fn what_damage_left_of_one_is_seen_and_can_be_discarded() {
    let (disk, before) = three().await;
    drop(without(
        &disk,
        &[
            Key::number(Space::DeadPacket, before[0].id.0),
            Key::number(Space::Run, before[2].taken.run),
        ],
    ));
    let store = opened(&disk);
    let page = store.dead_letters(None, LetterId(0), ALL).await.unwrap();
    let mut expected = before.clone();
    expected[0].death.packet.clear();
    assert_eq!(page.items, expected);
    assert!(open(&store).await.is_empty(), "its packet is nowhere");
    commit(&store, |commit| {
        commit.finishes = vec![finished(before[2].taken, "discarded")];
        commit.letters = vec![Letter::Discard(before[0].id)];
    })
    .await;
    let expected = (before[1].id, LetterState::Final, "b".to_owned());
    assert_eq!(seen(&store).await, [expected]);
    let counts = store.letter_counts();
    assert_eq!((counts.kept, counts.held), (1, 0));
}

#[tokio::test]
async fn packets_of_those_that_damage_took_go_when_the_table_is_mended() {
    let (disk, before) = three().await;
    let table = without(&disk, &[Key::number(Space::Dead, before[0].id.0)]);
    let packets = Space::DeadPacket as u8;
    assert_eq!(table.len(packets).unwrap(), 3);
    mend(&table, &Damages::default()).unwrap();
    assert_eq!(table.len(packets).unwrap(), 2);
    drop(table);
    let store = opened(&disk);
    let page = store.dead_letters(None, LetterId(0), ALL).await.unwrap();
    assert_eq!(page.items, before[1..]);
}

/// What is open, by its req_id.
async fn open(store: &Embedded) -> Vec<String> {
    let runs = store.open_runs().await.unwrap();
    let packets = runs.into_iter().flat_map(|run| run.packets);
    let named = packets.map(|packet| match packet.held {
        true => format!("{} held", packet.req_id),
        false => packet.req_id.to_string(),
    });
    named.collect()
}

#[tokio::test]
async fn one_that_is_held_does_not_keep_what_came_with_it() {
    for checkpoint_bytes in [1, 1 << 30] {
        let disk = Arc::new(SimulatedDisk::new(1));
        let tail = Arc::new(Recorder::default());
        let first = store(disk.clone(), options(checkpoint_bytes), tail.clone());
        let texts: Vec<_> = ('a'..='h')
            .map(|name| name.to_string().repeat(10_000))
            .collect();
        // Of one request, so of one run.
        let origin = take(Place::None, "").origin;
        let packets = texts.iter().map(|text| Unit {
            origin: origin.clone(),
            req_id: "r".into(),
            ..take(Place::None, text)
        });
        let judged = commit(&first, |commit| commit.units = packets.collect()).await;
        let all: Vec<TakenId> = judged.iter().map(taken).collect();
        // One of them is held, and then the others are finished, all but two.
        commit(&first, |commit| {
            commit.letters = vec![Letter::Hold(all[3], death("d").unwrap())];
        })
        .await;
        for finish in [&all[..2], &all[4..7]] {
            let finishes = finish.iter().map(|taken| finished(*taken, "done"));
            commit(&first, |commit| commit.finishes = finishes.collect()).await;
        }
        let kept = [&texts[2], &texts[3], &texts[7]];
        let there = |runs: Vec<OpenRun>| -> Vec<_> {
            let packets = runs.into_iter().flat_map(|run| run.packets);
            packets.map(|packet| (packet.packet, packet.held)).collect()
        };
        let before = there(first.open_runs().await.unwrap());
        assert!(before.iter().map(|(packet, _)| packet).eq(kept));
        let disk = Arc::new(disk.killed());
        first.close().await;
        let second = store(disk.clone(), options(checkpoint_bytes), tail.clone());
        assert_eq!(there(second.open_runs().await.unwrap()), before);
        second.close().await;
        let looked = Inspection::on(Path::new("simulated"), &*disk, Depth::Check).unwrap();
        assert_eq!(looked.damage, [] as [&str; 0]);
        let runs = looked
            .table
            .spaces
            .iter()
            .find(|space| space.name == "taken packets");
        let bytes = runs.map_or(0, |space| space.bytes);
        assert!(
            (30_000..40_000).contains(&bytes),
            "{bytes} bytes of {:?}",
            looked.table
        );
    }
}

#[tokio::test]
async fn how_many_there_are_is_seen_from_outside() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = store(
        disk.clone(),
        options(1 << 30),
        Arc::new(Recorder::default()),
    );
    let judged = commit(&store, |commit| commit.units = vec![take(Place::None, "a")]).await;
    let dead = Finish {
        death: death("a"),
        ..finished(taken(&judged[0]), "given up")
    };
    commit(&store, |commit| commit.finishes = vec![dead]).await;
    store.close().await;
    let looked = Inspection::on(Path::new("simulated"), &*disk, Depth::Check).unwrap();
    assert_eq!(looked.damage, [] as [&str; 0]);
    assert_eq!(looked.dead_letters, 1);
    let table = looked.table.spaces.iter();
    let rows = table.filter(|space| space.name == "dead letters");
    assert_eq!(
        rows.map(|space| space.rows).sum::<u64>(),
        2,
        "and its packet"
    );
}
