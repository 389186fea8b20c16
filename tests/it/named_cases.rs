//! The named cases of the designs before this one, each as a test of its own: what a broker of this kind gets wrong first.

mod calls;
mod flushing;
mod subscribers;

/// Every other `#[test]` named shows_2_10_* is a case.
#[test]
fn shows_2_10_each_named_case_is_a_test() {
    let sources = [
        include_str!("named_cases/calls.rs"),
        include_str!("named_cases/flushing.rs"),
        include_str!("named_cases/subscribers.rs"),
    ];
    let cases: usize = sources
        .iter()
        .map(|source| source.matches("async fn shows_2_10_").count())
        .sum();
    assert!(cases >= 12, "{cases} of the cases are here");
    println!(
        "SHOWS 2.10 {cases} named cases, each a test: merging, flushing, answering, subscribing"
    );
}
