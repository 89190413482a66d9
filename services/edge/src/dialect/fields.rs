//! Reads the fields of a client's message, and names the one at fault.
//!
//! It must know no dialect.

use std::{collections::HashSet, ops::RangeInclusive};

use serde_json::{Map, Value};
use signalbox_proto::v1::Cursor;

use super::{Code, Refusal};

/// Longest id of a message, in bytes: with the connection's id it makes an idempotency key.
const MESSAGE_ID_LEN_MAX: usize = 64;
/// Most entries of a list.
pub(crate) const LIST_LEN_MAX: usize = 1000;
/// Longest entry of a list, in bytes.
const ENTRY_LEN_MAX: usize = 256;
/// Most patterns of one filter.
const PATTERNS_MAX: usize = 100;
/// Most stars of one pattern.
const STARS_MAX: usize = 8;
/// As much of a wrong value as an error shows, in characters.
const SHOWN_LEN_MAX: usize = 64;

/// The outcome of reading; boxed, because refusals are rare and large.
pub(crate) type Read<T> = Result<T, Box<Refusal>>;

/// A JSON object and where it stands in the message.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// Reads the text of a message as a JSON object.
pub(crate) fn object(text: &str) -> Read<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Refusal::new(
            Code::Malformed,
            format!("expected a JSON object, got {}", describe(Some(&other))),
        )),
        Err(error) => Err(Refusal::new(Code::Malformed, format!("the message is not valid JSON: {error}"))),
    }
}

impl<'a> Fields<'a> {
    /// The message itself.
    pub(crate) const fn root(map: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), map }
    }

    /// Names of all fields that are there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.map.keys().map(String::as_str)
    }

    /// The object as it is.
    pub(crate) const fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// Where the field stands in the message.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Refuses for the sake of this field.
    pub(crate) fn refuse(&self, name: &str, expected: &str) -> Box<Refusal> {
        Refusal::field(self.path(name), expected, &describe(self.map.get(name)))
    }

    /// The type of the message; its absence makes the whole message malformed.
    pub(crate) fn message_type(&self) -> Read<&'a str> {
        self.text("type").map_err(|mut refusal| {
            refusal.code = Code::Malformed;
            refusal
        })
    }

    /// The id of the message, where it has a good one.
    pub(crate) fn message_id(&self) -> Read<Option<&'a str>> {
        let expected = format!("a string of up to {MESSAGE_ID_LEN_MAX} bytes");
        match self.present("id") {
            None => Ok(None),
            Some(Value::String(id)) if id.len() <= MESSAGE_ID_LEN_MAX => Ok(Some(id)),
            Some(_) => Err(self.refuse("id", &expected)),
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(&self, name: &str) -> Read<&'a str> {
        match self.present(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(self.refuse(name, "a string that is not empty")),
        }
    }

    /// A string, where there is one.
    pub(crate) fn text_if_any(&self, name: &str) -> Read<Option<&'a str>> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(name, "a string")),
        }
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Read<Fields<'a>> {
        self.object_if_any(name)?.ok_or_else(|| self.refuse(name, "an object"))
    }

    /// An object, where there is one.
    pub(crate) fn object_if_any(&self, name: &str) -> Read<Option<Fields<'a>>> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { path: self.path(name), map })),
            Some(_) => Err(self.refuse(name, "an object")),
        }
    }

    /// A list of strings, none of them empty, each once however often it is given; an absent list is an
    /// empty one.
    pub(crate) fn texts(&self, name: &str) -> Read<Vec<&'a str>> {
        let expected = "a list of strings, none of them empty";
        let items = match self.present(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.refuse(name, expected)),
        };
        if items.len() > LIST_LEN_MAX {
            return Err(self.too_long(name, LIST_LEN_MAX, items.len()));
        }
        let mut seen = HashSet::with_capacity(items.len());
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let expected = match item {
                Value::String(text) if text.is_empty() => "a string that is not empty",
                Value::String(text) if text.len() <= ENTRY_LEN_MAX => {
                    if seen.insert(text.as_str()) {
                        texts.push(text.as_str());
                    }
                    continue;
                }
                Value::String(_) => &format!("a string of at most {ENTRY_LEN_MAX} bytes"),
                _ => "a string that is not empty",
            };
            let field = format!("{}[{index}]", self.path(name));
            return Err(Refusal::field(field, expected, &describe(Some(item))));
        }
        Ok(texts)
    }

    /// The patterns of a filter. Every event is held against them, so there may be few, of few parts.
    pub(crate) fn patterns(&self, name: &str) -> Read<Vec<&'a str>> {
        let patterns = self.texts(name)?;
        if patterns.len() > PATTERNS_MAX {
            return Err(self.too_long(name, PATTERNS_MAX, patterns.len()));
        }
        let stars = |pattern: &&&str| pattern.matches('*').count() > STARS_MAX;
        match patterns.iter().find(stars) {
            Some(starry) => {
                let expected = format!("patterns of at most {STARS_MAX} stars");
                Err(Refusal::field(self.path(name), &expected, &quote(starry)))
            }
            None => Ok(patterns),
        }
    }

    fn too_long(&self, name: &str, max: usize, len: usize) -> Box<Refusal> {
        let (expected, given) = (format!("a list of at most {max} strings"), format!("a list of {len}"));
        Refusal::field(self.path(name), &expected, &given)
    }

    /// A list of at least one string.
    pub(crate) fn some_texts(&self, name: &str) -> Read<Vec<&'a str>> {
        match self.texts(name)? {
            texts if texts.is_empty() => Err(self.refuse(name, "a list of at least one string")),
            texts => Ok(texts),
        }
    }

    /// A whole number within bounds, where there is one.
    pub(crate) fn integer_if_any(&self, name: &str, bounds: RangeInclusive<u32>) -> Read<Option<u32>> {
        let Some(value) = self.present(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| bounds.contains(number)).map(Some).ok_or_else(|| {
            self.refuse(name, &format!("a whole number from {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// Yes or no, where it is said.
    pub(crate) fn flag_if_any(&self, name: &str) -> Read<Option<bool>> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.refuse(name, "true or false")),
        }
    }

    /// Whether a subscription is to begin with the present state, which leaves nothing to be asked of the past.
    pub(crate) fn snapshot(&self, of_the_past: bool) -> Read<bool> {
        match self.flag_if_any("snapshot")?.unwrap_or_default() {
            true if of_the_past => Err(self.refuse("snapshot", "no true beside a cursor or a time_window")),
            snapshot => Ok(snapshot),
        }
    }

    /// A cursor, where there is one.
    pub(crate) fn cursor_if_any(&self, name: &str) -> Read<Option<Cursor>> {
        let Some(text) = self.text_if_any(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| self.refuse(name, "a cursor as events carry it, <epoch>:<revision>"))
    }

    /// The value; null counts as absent.
    fn present(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }
}

/// What was given, short enough for an error.
pub(crate) fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => quote(text),
        Some(Value::Array(items)) if items.is_empty() => "an empty list".into(),
        Some(Value::Array(_)) => "a list".into(),
        Some(Value::Object(_)) => "an object".into(),
    }
}

/// A text in quotes, cut to what an error shows.
pub(crate) fn quote(text: &str) -> String {
    let (head, rest) = cut(text);
    format!("{head:?}{rest}")
}

/// The same without quotes, for errors whose wording has its own, or none.
pub(crate) fn bare(text: &str) -> String {
    let (head, rest) = cut(text);
    format!("{}{rest}", head.escape_debug())
}

fn cut(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, read: impl FnOnce(Fields<'_>) -> Read<()>) -> String {
        let map = object(text).unwrap();
        read(Fields::root(&map)).unwrap_err().message
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_given() {
        let message = refusal(r#"{"data": {"events": ["a", 7]}}"#, |fields| {
            fields.object("data")?.texts("events").map(|_| ())
        });
        assert_eq!(message, "data.events[1]: expected a string that is not empty, got 7");
        let message = refusal(r#"{"n": 249}"#, |fields| fields.integer_if_any("n", 250..=60_000).map(|_| ()));
        assert_eq!(message, "n: expected a whole number from 250 to 60000, got 249");
        let message = refusal(r#"{"n": -1}"#, |fields| fields.integer_if_any("n", 0..=1).map(|_| ()));
        assert_eq!(message, "n: expected a whole number from 0 to 1, got -1");
        assert_eq!(
            refusal("{}", |fields| fields.object("data").map(|_| ())),
            "data: expected an object, got nothing"
        );
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for text in ["", "{", "[]", "null", "\"x\"", "{\"a\":1}x", "\u{0}"] {
            assert_eq!(object(text).unwrap_err().code, Code::Malformed, "{text:?}");
        }
        // Depth is bounded, so that no message can exhaust the stack.
        assert_eq!(object(&"[".repeat(100_000)).unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn a_long_value_is_cut() {
        let message = refusal(&format!(r#"{{"data": "{}"}}"#, "é".repeat(500)), |fields| {
            fields.object("data").map(|_| ())
        });
        assert!(message.chars().count() < 120, "{message}");
        assert_eq!(bare(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
        assert_eq!(bare("a\"\u{0}"), "a\\\"\\0");
    }

    #[test]
    fn lists_are_bounded_and_name_everything_once() {
        let read = |items: &Value| {
            let map = Map::from_iter([("l".to_owned(), items.clone())]);
            Fields::root(&map)
                .texts("l")
                .map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(|refusal| refusal.message)
        };
        assert_eq!(read(&serde_json::json!(["a", "b", "a"])).unwrap(), ["a", "b"]);
        assert_eq!(
            read(&vec!["a"; LIST_LEN_MAX + 1].into()).unwrap_err(),
            "l: expected a list of at most 1000 strings, got a list of 1001"
        );
        let long = read(&vec!["x".repeat(ENTRY_LEN_MAX + 1)].into()).unwrap_err();
        assert!(long.starts_with("l[0]: expected a string of at most 256 bytes, got \"xxx"), "{long}");
        assert!(read(&vec!["x".repeat(ENTRY_LEN_MAX)].into()).is_ok());
    }

    #[test]
    fn filters_have_few_patterns_of_few_stars() {
        let read = |items: &Value| {
            let map = Map::from_iter([("l".to_owned(), items.clone())]);
            Fields::root(&map).patterns("l").map(|patterns| patterns.len()).map_err(|refusal| refusal.message)
        };
        let many: Vec<String> = (0..=PATTERNS_MAX).map(|index| index.to_string()).collect();
        assert_eq!(
            read(&many.into()).unwrap_err(),
            "l: expected a list of at most 100 strings, got a list of 101"
        );
        assert_eq!(read(&vec!["*a".repeat(STARS_MAX)].into()), Ok(1));
        assert_eq!(
            read(&vec!["*".repeat(STARS_MAX + 1)].into()).unwrap_err(),
            "l: expected patterns of at most 8 stars, got \"*********\""
        );
    }
}
