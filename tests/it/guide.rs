//! What docs/handlers.md prints happens: its configuration and its calls, with the handler away where it says so.

use std::path::Path;

use crate::readme::{calls, run};
use crate::support::{Example, Process};

#[tokio::test]
async fn the_guide_to_handlers_is_as_it_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/handlers.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (_, config) = guide.split_once("```toml\n").unwrap();
    let (config, _) = config.split_once("```").unwrap();
    let example = Example::python();
    let handler = example.start().await;
    let address = "http://127.0.0.1:7002";
    assert!(config.contains(address), "{config}");
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::with(data.path()).config(&config.replace(address, &example.uri()));
    let gateway = gateway.start().await;
    let calls = calls(&guide);
    let [while_there, while_away, again] = &calls[..] else {
        panic!("{} calls are printed", calls.len());
    };
    run(while_there, &gateway).await;
    handler.stop().await;
    run(while_away, &gateway).await;
    let _handler = example.start().await;
    run(again, &gateway).await;
}
