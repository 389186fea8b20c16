//! Compiles the contract with protox, so that no `protoc` is needed.
//!
//! Five passes: messages first, then the service traits over them. In the second pass three messages are replaced by types
//! of ours: a batch is checked on its bytes before anything is built from it, its answer is encoded result by result, and an
//! event is encoded once for all its streams.
//! The third makes the same service without that, as any service would: the floor that `tidegate bench` measures against. The
//! fourth makes what calls a handler, and the trait that a handler in Rust implements; the fifth the same of `Admin`.

use std::error::Error;
use std::path::PathBuf;

use prost_types::FileDescriptorSet;

const FILES: [&str; 5] = [
    "tidegate/v1/admin.proto",
    "tidegate/v1/gateway.proto",
    "tidegate/v1/handler.proto",
    "tidegate/v1/records.proto",
    "tidegate/v1/uploads.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["proto"])?;
    std::fs::write(
        out.join("tidegate.v1.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    messages(&out.join("messages"), descriptors.clone())?;
    services(&out.join("services"), descriptors.clone())?;
    bare(&out.join("bare"), descriptors.clone())?;
    both_ends("Handler", &out.join("handler"), descriptors.clone())?;
    both_ends("Admin", &out.join("admin"), descriptors)
}

fn messages(out: &PathBuf, descriptors: FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".")
        .build_client(false)
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn services(out: &PathBuf, mut descriptors: FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    keep(&mut descriptors, "Gateway");
    tonic_prost_build::configure()
        .out_dir(out)
        .build_client(false)
        .codec_path("crate::wire::Codec")
        .extern_path(".tidegate.v1", "crate::wire::proto")
        .extern_path(".tidegate.v1.BatchRequest", "crate::wire::RawBatch")
        .extern_path(".tidegate.v1.BatchResponse", "crate::wire::EncodedAnswer")
        .extern_path(".tidegate.v1.Event", "crate::wire::EncodedEvent")
        .compile_fds(descriptors)?;
    Ok(())
}

fn bare(out: &PathBuf, mut descriptors: FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    keep(&mut descriptors, "Gateway");
    tonic_prost_build::configure()
        .out_dir(out)
        .build_client(false)
        .extern_path(".tidegate.v1", "crate::wire::proto")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Who calls the service, and who is it.
fn both_ends(
    service: &str,
    out: &PathBuf,
    mut descriptors: FileDescriptorSet,
) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    keep(&mut descriptors, service);
    tonic_prost_build::configure()
        .out_dir(out)
        .extern_path(".tidegate.v1", "crate::wire::proto")
        .compile_fds(descriptors)?;
    Ok(())
}

fn keep(descriptors: &mut FileDescriptorSet, name: &str) {
    for file in &mut descriptors.file {
        file.service.retain(|service| service.name() == name);
    }
}
