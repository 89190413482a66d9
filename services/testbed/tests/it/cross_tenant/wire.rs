//! Calls of any method, with messages made from the descriptors: what a method takes later is tried as well.

use std::collections::HashMap;

use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _, Bytes},
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto as field,
};
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use signalbox_proto::FILE_DESCRIPTOR_SET;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// How deep messages are put into each other.
const DEPTH_MAX: u32 = 4;

/// The words that messages are made of.
pub(super) struct Words {
    /// Names and ids, of whomever.
    pub(super) texts: Vec<String>,
    /// What stands in fields of bytes: JSON.
    pub(super) documents: Vec<String>,
}

/// What messages are made by.
pub(super) struct Schema {
    messages: HashMap<String, DescriptorProto>,
    /// Path of each method, and the full name of what it takes.
    pub(super) methods: Vec<(String, String)>,
}

impl Schema {
    pub(super) fn read() -> Self {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the descriptors are sound");
        let (mut messages, mut methods) = (HashMap::new(), Vec::new());
        for file in &files.file {
            for message in &file.message_type {
                take_in(&format!(".{}", file.package()), message, &mut messages);
            }
            for service in file.service.iter().filter(|_| file.package() == "signalbox.v1") {
                methods.extend(service.method.iter().map(|method| {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    (path, method.input_type().to_owned())
                }));
            }
        }
        Self { messages, methods }
    }

    /// A message of a type, its fields filled in at random.
    pub(super) fn message(&self, name: &str, words: &Words, rng: &mut impl Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.fill(name, words, rng, 0, &mut bytes);
        bytes
    }

    fn fill(&self, name: &str, words: &Words, rng: &mut impl Rng, depth: u32, bytes: &mut Vec<u8>) {
        let Some(message) = self.messages.get(name) else { return };
        let mut chosen: HashMap<i32, i32> = HashMap::new();
        for (index, _) in message.oneof_decl.iter().enumerate() {
            let index = i32::try_from(index).expect("few");
            let of_it = message.field.iter().filter(|field| field.oneof_index == Some(index));
            let numbers: Vec<_> = of_it.map(FieldDescriptorProto::number).collect();
            chosen.extend(numbers.choose(rng).map(|number| (index, *number)));
        }
        for field in &message.field {
            let is_chosen = field.oneof_index.is_none_or(|oneof| chosen.get(&oneof) == Some(&field.number()));
            if !is_chosen || rng.random_bool(0.2) {
                continue;
            }
            let times = if field.label() == field::Label::Repeated { rng.random_range(0..3) } else { 1 };
            for _ in 0..times {
                self.put(field, words, rng, depth, bytes);
            }
        }
    }

    fn put(
        &self,
        field: &FieldDescriptorProto,
        words: &Words,
        rng: &mut impl Rng,
        depth: u32,
        bytes: &mut Vec<u8>,
    ) {
        let number = field.number().cast_unsigned();
        let content = match field.r#type() {
            field::Type::String => words.texts.choose(rng).cloned().unwrap_or_default().into_bytes(),
            field::Type::Bytes => words.documents.choose(rng).cloned().unwrap_or_default().into_bytes(),
            field::Type::Message => {
                let mut inner = Vec::new();
                if depth < DEPTH_MAX {
                    self.fill(field.type_name(), words, rng, depth + 1, &mut inner);
                }
                inner
            }
            field::Type::Double => {
                encode_key(number, WireType::SixtyFourBit, bytes);
                return bytes.put_f64_le(rng.random_range(0.0..9.0));
            }
            _ => {
                const VALUES: [u64; 8] = [0, 1, 2, 3, 4, 5, 1000, u64::MAX >> 1];
                encode_key(number, WireType::Varint, bytes);
                return encode_varint(*VALUES.choose(rng).expect("some"), bytes);
            }
        };
        encode_key(number, WireType::LengthDelimited, bytes);
        encode_varint(content.len() as u64, bytes);
        bytes.extend(content);
    }
}

fn take_in(within: &str, message: &DescriptorProto, messages: &mut HashMap<String, DescriptorProto>) {
    let name = format!("{within}.{}", message.name());
    for nested in &message.nested_type {
        take_in(&name, nested, messages);
    }
    messages.insert(name, message.clone());
}

/// Sends and receives messages as the bytes that they are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
