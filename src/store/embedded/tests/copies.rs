//! Copies of a store that works, made at random moments, opened and compared with the model.

use std::path::Path;
use std::sync::Arc;

use rand::Rng;
use tokio_util::sync::CancellationToken;

use super::random::{AGES, options};
use super::world::{Before, World};
use crate::store::Store;
use crate::store::embedded::backup::BackupError;
use crate::store::embedded::directory::check_format;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::inspect::{Depth, Inspection};

const SEEDS: u64 = 40;
const COPIES: u64 = 4;

/// What was seen of all copies.
#[derive(Debug, Default)]
struct Tally {
    copies: u64,
    /// That failed, and are no stores.
    failed: u64,
    /// Commits that went on while they were made.
    meanwhile: u64,
    /// Of those, commits that are in the copy.
    within: u64,
}

/// Makes one while random commits go on. What the power, which fails then, leaves of it is the copy.
async fn copied(world: &mut World, tally: &mut Tally) -> (Before, SimulatedDisk, bool) {
    let target = SimulatedDisk::new(world.random.random());
    match world.random.random_range(0..6) {
        0 => target.crash_at(world.random.random_range(1..80)),
        1 => target.fail_at(world.random.random_range(1..80)),
        _ => {}
    }
    let mut before = world.before();
    let backups = world.store.backups();
    let disk: Arc<dyn Disk> = Arc::new(target.clone());
    let making = tokio::task::spawn_blocking(move || {
        let copied = backups.copy_to(&disk, &CancellationToken::new());
        copied.is_ok()
    });
    while !making.is_finished() {
        assert!(world.step_beside(&mut before).await.is_ok());
        tally.meanwhile += 1;
    }
    let is_made = making.await.unwrap();
    target.disarm();
    (before, target.crash(), is_made)
}

#[tokio::test]
async fn shows_5_6_copies_of_a_store_that_works_agree_with_a_plain_model() {
    let first: u64 = rand::random();
    let mut tally = Tally::default();
    for number in 0..SEEDS {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let mut world = World::new(seed, SimulatedDisk::new(seed), options(), AGES).await;
        world.pace = 15;
        for _ in 0..COPIES {
            for _ in 0..world.random.random_range(0..20) {
                assert!(world.step(1).await.is_ok());
            }
            let (before, image, is_made) = copied(&mut world, &mut tally).await;
            let path = Path::new("simulated");
            let is_store = check_format(path, &image).is_ok_and(|is_store| is_store);
            assert!(is_store || !is_made, "seed {seed}: it is durable");
            if !is_store {
                tally.failed += 1;
                continue;
            }
            let looked = Inspection::on(path, &image, Depth::Check).unwrap();
            assert!(looked.damage.is_empty(), "seed {seed}: {looked:?}");
            let told = before.commits();
            let mut restored = world.restored(before, image).await.unwrap();
            tally.copies += 1;
            tally.within += restored.commits_beyond(told);
            restored.check().await;
            if restored.random.random() {
                // Nothing was told since it was opened, and its ids are still others.
                let image = restored.disk.crash();
                restored.reopen(image).await.unwrap();
            }
            for _ in 0..10 {
                assert!(restored.step(1).await.is_ok());
            }
            assert!(restored.land_all().await.is_ok());
            restored.check().await;
            restored.store.close().await;
        }
        assert!(world.land_all().await.is_ok());
        world.check().await;
        world.store.close().await;
    }
    let Tally {
        copies,
        failed,
        meanwhile,
        within,
    } = tally;
    assert!(failed > 0 && within > 0, "{tally:?}");
    println!(
        "SHOWS 5.6 store: {SEEDS} seeds from {first}, {copies} copies made while {meanwhile} commits went on, {within} of them in \
         a copy: all as in the model, none damaged; {failed} copies that failed are no stores"
    );
}

#[tokio::test]
async fn a_copy_is_made_where_nothing_is_and_nobody_is_waited_for_at_the_end() {
    let scratch = tempfile::tempdir().unwrap();
    let options = crate::store::embedded::Options::default();
    let tail = Arc::new(crate::store::conformance::Recorder::default());
    let path = scratch.path().join("store");
    let store = crate::store::embedded::Embedded::open(&path, options, tail).unwrap();
    let backups = store.backups();
    let refused = async |path: &Path| match backups.make(path).await {
        Err(BackupError::Place(why)) => why,
        other => panic!("{other:?} for {}", path.display()),
    };
    for (place, why) in [
        (Path::new("copy").to_owned(), "root of the file system"),
        (scratch.path().join("none/copy"), "directory above it"),
        (path.join("copy"), "inside the directory"),
        (scratch.path().to_owned(), "not empty"),
        (path.clone(), "not empty"),
    ] {
        let told = refused(&place).await;
        assert!(told.contains(why), "{told}");
    }
    let to = scratch.path().join("copy");
    let copied = backups.make(&to).await.unwrap();
    let mut names = names(&to);
    names.sort();
    assert_eq!(names, ["FORMAT", "log", "parts", "rows.table"]);
    assert_eq!(copied.files, 3);
    let mode = std::os::unix::fs::PermissionsExt::mode(&to.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "what clients sent is nobody else's");
    store.close().await;
    let next = scratch.path().join("next");
    assert!(matches!(
        backups.make(&next).await,
        Err(BackupError::Failed(_))
    ));
    assert!(!next.exists(), "nothing is left of it");
}

fn names(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}
