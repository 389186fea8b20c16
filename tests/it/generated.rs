//! The Rust client's generated code is committed, so that who uses it needs no generator: it must be what the contract says.

use std::path::Path;

use prost_types::FileDescriptorSet;
use tonic_prost_build::Builder;

const FOLDER: &str = "clients/rust/src/gen";
const REFRESH: &str = "UPDATE_GENERATED=1 cargo test --test it generated";

/// The messages of the client's side and the client of `Gateway`.
#[test]
fn the_committed_client_code_is_what_the_contract_generates() {
    let client = tonic_prost_build::configure().build_server(false);
    is_committed("tidegate.v1.rs", "tidegate/v1/gateway.proto", client);
}

/// What the file of `Handler` has beyond them, and its server: for the same module, where the feature `handler` is on.
#[test]
fn the_committed_handler_code_is_what_the_contract_generates() {
    const FILE: &str = "tidegate/v1/handler.proto";

    let mut server = tonic_prost_build::configure().build_client(false);
    let files = compile(FILE).file;
    let others = files.iter().filter(|file| file.name() != FILE);
    for file in others.filter(|file| file.package() == "tidegate.v1") {
        let messages = file.message_type.iter().map(|message| message.name());
        for name in messages.chain(file.enum_type.iter().map(|values| values.name())) {
            server = server.extern_path(format!(".tidegate.v1.{name}"), name);
        }
    }
    is_committed("tidegate.v1.handler.rs", FILE, server);
}

fn is_committed(name: &str, file: &str, builder: Builder) {
    let generated = generate(file, builder);
    let committed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(FOLDER)
        .join(name);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let present = std::fs::read_to_string(&committed).unwrap_or_default();
    let differs = (present.lines().zip(generated.lines())).position(|(a, b)| a != b);
    assert!(
        present == generated,
        "{FOLDER}/{name} is not what proto/ generates (line {} is the first to differ); refresh it: {REFRESH}",
        differs.unwrap_or_else(|| present.lines().count().min(generated.lines().count())) + 1,
    );
}

/// As text.
fn generate(file: &str, builder: Builder) -> String {
    let out = tempfile::tempdir().unwrap();
    let builder = builder.out_dir(out.path()).bytes(".");
    builder.compile_fds(compile(file)).unwrap();
    std::fs::read_to_string(out.path().join("tidegate.v1.rs")).unwrap()
}

fn compile(file: &str) -> FileDescriptorSet {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    protox::compile([file], [proto]).unwrap()
}
