//! Calls whose messages are any bytes.

use signalbox_testbed::{State, soon};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use bytes::{Buf as _, BufMut as _};

/// A caller that takes no heed of what messages look like.
pub(super) struct Raw {
    grpc: Grpc<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Raw {
    pub(super) fn new(state: &State, token: &str) -> Self {
        let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
        Self { grpc: Grpc::new(state.channel()), bearer }
    }

    /// The same, with messages as short as they can be made.
    pub(super) fn compressed(self) -> Self {
        Self { grpc: self.grpc.send_compressed(CompressionEncoding::Gzip), bearer: self.bearer }
    }

    /// Calls a method, and gives the status with which it ends.
    pub(super) async fn call(&self, path: &'static str, message: Vec<u8>) -> Status {
        let mut grpc = self.grpc.clone();
        soon("connection", grpc.ready()).await.expect("it listens");
        let mut request = Request::new(tokio_stream::once(message));
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let called = async {
            let path = PathAndQuery::from_static(path);
            let mut answers = grpc.streaming(request, path, Bytes).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        };
        soon("answer", called).await.err().unwrap_or_else(|| Status::ok(""))
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Bytes {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
