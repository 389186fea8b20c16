//! The Rust client's generated code is committed, so that who uses it needs no generator: it must be what the contract says.

use std::path::Path;

const COMMITTED: &str = "clients/rust/src/gen/tidegate.v1.rs";
const REFRESH: &str = "UPDATE_GENERATED=1 cargo test --test it generated";

#[test]
fn the_committed_client_code_is_what_the_contract_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated = generate(&root.join("proto"));
    let committed = root.join(COMMITTED);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let present = std::fs::read_to_string(&committed).unwrap_or_default();
    let differs = (present.lines().zip(generated.lines())).position(|(a, b)| a != b);
    assert!(
        present == generated,
        "{COMMITTED} is not what proto/ generates (line {} is the first to differ); refresh it: {REFRESH}",
        differs.unwrap_or_else(|| present.lines().count().min(generated.lines().count())) + 1,
    );
}

/// The messages of the client's side and the client of `Gateway`, as text.
fn generate(proto: &Path) -> String {
    let out = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(["tidegate/v1/gateway.proto"], [proto]).unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .bytes(".")
        .build_server(false)
        .compile_fds(descriptors)
        .unwrap();
    std::fs::read_to_string(out.path().join("tidegate.v1.rs")).unwrap()
}
