//! The gRPC interface `signalbox.v1`: messages, clients and servers generated from the `.proto` files
//! beside this crate, and the few conversions that every user of them needs.
//!
//! It must know neither rules nor storage.

mod convert;

/// The package `signalbox.v1`.
#[expect(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the fields are commented in the .proto files"
)]
pub mod v1 {
    tonic::include_proto!("signalbox.v1");
}

pub use convert::{CursorError, timestamp, to_time};

/// The encoded file descriptors, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/signalbox.v1.bin"));
