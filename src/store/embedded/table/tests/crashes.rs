//! The table over a disk that loses what was not synced, fails and runs full.

use super::super::super::disk::simulated::SimulatedDisk;
use super::*;

/// A few commits, and what is there after each of them.
fn commits(seed: u64, count: usize) -> Vec<(Batch, Model)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rows = Model::new();
    (0..count)
        .map(|_| {
            let ops = some_ops(&mut random, 60);
            model(&mut rows, &ops);
            (ops, rows.clone())
        })
        .collect()
}

/// Runs commits until the power fails. How many were told to be durable; `None` if the table was not there yet.
fn until_the_crash(disk: &Arc<SimulatedDisk>, commits: &[(Batch, Model)]) -> Option<usize> {
    let table = Table::create(disk.clone(), path(), CACHE).ok()?;
    let done = commits.iter().enumerate().take_while(|(at, (ops, _))| {
        let applied = apply(&table, ops).is_ok();
        if *at == 1 {
            // It fails only if the power does, and then the next one fails too.
            let _ = table.compact();
        }
        applied
    });
    Some(done.count())
}

/// Whether what a crash left is what was told, or one commit more.
fn holds(left: &Arc<SimulatedDisk>, commits: &[(Batch, Model)], told: Option<usize>) -> bool {
    let disk: Arc<dyn Disk> = left.clone();
    if !disk.exists(path()).unwrap() {
        return told.is_none();
    }
    let table = match Table::open(disk, path(), CACHE) {
        Ok(table) => table,
        Err(err) => {
            println!("it does not open: {err}");
            return false;
        }
    };
    let rows = std::panic::catch_unwind(AssertUnwindSafe(|| everything(&table)));
    let after = |count: usize| match count.checked_sub(1) {
        None => Model::new(),
        Some(last) => commits[last.min(commits.len() - 1)].1.clone(),
    };
    let told = told.unwrap_or(0);
    rows.is_ok_and(|rows| rows == after(told) || rows == after(told + 1))
}

#[test]
fn a_crash_at_any_operation_takes_back_nothing_that_was_told() {
    let mut crashes = 0;
    for seed in 0..4 {
        let commits = commits(seed, 4);
        let whole = Arc::new(SimulatedDisk::new(seed));
        assert_eq!(until_the_crash(&whole, &commits), Some(4));
        let operations = whole.operations();
        for at in 1..=operations {
            let disk = Arc::new(SimulatedDisk::new(seed * 10_000 + at));
            disk.crash_at(at);
            let told = until_the_crash(&disk, &commits);
            for _ in 0..3 {
                let left = Arc::new(disk.crash());
                assert!(holds(&left, &commits, told), "seed {seed}, operation {at}");
                crashes += 1;
            }
        }
    }
    println!("{crashes} crashes");
}

#[test]
fn without_the_sync_a_crash_takes_back_what_was_told() {
    let commits = commits(1, 4);
    let lost = (0..20).filter(|seed| {
        let disk = Arc::new(SimulatedDisk::new(*seed).without_sync());
        assert_eq!(until_the_crash(&disk, &commits), Some(4));
        !holds(&Arc::new(disk.crash()), &commits, Some(4))
    });
    assert_eq!(lost.count(), 20);
}

#[test]
fn after_an_operation_that_failed_it_goes_on() {
    let commits = commits(7, 4);
    let whole = Arc::new(SimulatedDisk::new(7));
    assert_eq!(until_the_crash(&whole, &commits), Some(4));
    let operations = whole.operations();
    let mut failed = 0;
    for at in 1..=operations {
        let disk = Arc::new(SimulatedDisk::new(at));
        let table = Table::create(disk.clone(), path(), CACHE).unwrap();
        let before = disk.operations();
        if at <= before {
            continue;
        }
        disk.fail_at(at - before);
        for (ops, rows) in &commits {
            if apply(&table, ops).is_err() {
                failed += 1;
                apply(&table, ops).unwrap();
            }
            assert_eq!(everything(&table), *rows, "operation {at}");
        }
        let left: Arc<dyn Disk> = Arc::new(disk.crash());
        let table = Table::open(left, path(), CACHE).unwrap();
        assert_eq!(everything(&table), commits[3].1, "operation {at}");
    }
    println!("{failed} operations failed");
    assert!(failed > 50);
}

#[test]
fn on_a_full_disk_it_reads_and_goes_on_when_there_is_room() {
    let disk = Arc::new(SimulatedDisk::new(1).capacity(3_000_000));
    let table = Table::create(disk.clone(), path(), CACHE).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut rows = Model::new();
    let mut full = 0;
    for capacity in [6_000_000, 12_000_000, 24_000_000] {
        let refused = loop {
            let ops: Vec<_> = (0..100)
                .map(|_| (1, random.random::<[u8; 16]>().to_vec(), Some(vec![1; 1000])))
                .collect();
            match apply(&table, &ops) {
                Ok(()) => model(&mut rows, &ops),
                Err(Error::Full) => break ops,
                Err(err) => panic!("{err}"),
            }
        };
        full += 1;
        assert_eq!(everything(&table), rows);
        disk.set_capacity(capacity);
        apply(&table, &refused).unwrap();
        model(&mut rows, &refused);
        assert_eq!(everything(&table), rows);
    }
    assert_eq!(full, 3);
    assert_eq!(table.verify().unwrap(), []);
}
