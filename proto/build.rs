//! Compiles `signalbox/v1/*.proto` without protoc.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 10] =
        ["access", "agent", "catalog", "command", "event", "place", "resource", "system", "tenant", "watch"];
    let paths = FILES.map(|name| format!("signalbox/v1/{name}.proto"));
    for path in &paths {
        println!("cargo::rerun-if-changed={path}");
    }
    let descriptors = protox::compile(paths, ["."])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("signalbox.v1.bin"), descriptors.encode_to_vec())?;
    // A call is named Connect, which would clash with the constructor of that name. Sorted maps make the
    // encoding of a message canonical.
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
