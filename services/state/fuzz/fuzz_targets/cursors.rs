//! Fuzzes the parser of cursors: what it takes, it writes so that it takes it again.

#![no_main]

use signalbox_proto::v1::Cursor;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        let written = cursor.to_string();
        assert_eq!(written.parse::<Cursor>().as_ref(), Ok(&cursor), "{written}");
    }
});
