//! What docs/handlers.md and the READMEs of the examples print happens: their configurations and their calls, with the handler
//! away where it says so.

use std::path::Path;

use crate::readme::{Call, calls, run};
use crate::support::{Example, Postgres, Process};

const GUIDE: &str = "docs/handlers.md";

#[tokio::test]
async fn the_guide_to_handlers_is_as_it_is_printed() {
    let example = Example::python();
    let page = Page::read(GUIDE, "examples/handlers/python");
    let handler = example.start().await;
    let data = tempfile::tempdir().unwrap();
    let gateway = page.gateway(data.path(), &example).await;
    let [while_there, while_away, again] = &page.calls[..] else {
        panic!("{} calls are printed", page.calls.len());
    };
    run(while_there, &gateway).await;
    handler.stop().await;
    run(while_away, &gateway).await;
    let _handler = example.start().await;
    run(again, &gateway).await;
}

#[tokio::test]
async fn the_readmes_of_the_examples_are_as_they_are_printed() {
    readme("go", Example::go()).await;
    readme("python", Example::python()).await;
    readme("typescript", Example::typescript()).await;
    let postgres = Postgres::start().await;
    let schema = include_str!("../../examples/handlers/rust/schema.sql");
    let client = postgres.client().await;
    client.batch_execute(schema).await.unwrap();
    readme("rust", Example::rust(&postgres)).await;
}

async fn readme(language: &str, example: Example) {
    let directory = format!("examples/handlers/{language}");
    let page = Page::read(&format!("{directory}/README.md"), &directory);
    let _handler = example.start().await;
    let data = tempfile::tempdir().unwrap();
    let gateway = page.gateway(data.path(), &example).await;
    for call in &page.calls {
        run(call, &gateway).await;
    }
}

/// What is printed of an example.
struct Page {
    config: String,
    calls: Vec<Call>,
}

impl Page {
    /// Its configuration is that of the example, with which it starts the gateway.
    fn read(path: &str, example: &str) -> Self {
        let text = read(path);
        let file = format!("{example}/gateway.toml");
        let start = format!("\nmake run ARGS=\"--config {file}\"\n");
        assert!(text.contains(&start), "{path} has no {start}");
        let (_, config) = text.split_once("```toml\n").unwrap();
        let (config, _) = config.split_once("```").unwrap();
        assert_eq!(config, read(&file), "{path}");
        Self {
            config: config.to_owned(),
            calls: calls(&text),
        }
    }

    /// As it is configured there, but for the example's address.
    async fn gateway(&self, data: &Path, example: &Example) -> Process {
        let mut parts = self.config.split('"');
        let address = parts.find(|part| part.starts_with("http://"));
        let address = address.expect("it has an address");
        let config = self.config.replace(address, &example.uri());
        Process::with(data).config(&config).start().await
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).unwrap()
}
