//! Values on the command line: times, labels, settings, attributes, patterns and names of the catalog.

use std::{collections::BTreeSet, ffi::OsStr, str::FromStr, sync::LazyLock, time::Duration};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use serde_json::Value;

/// Times that a call may take.
const RPC_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Reads a time such as `60s`, `5m` or `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("expected a time such as 60s, 5m or 1h30m: {error}"))
}

/// Reads how long a call may take.
pub(crate) fn rpc_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if !time.is_zero() && time <= RPC_TIMEOUT_MAX => Ok(time),
        _ => Err("expected more than zero and at most 1h".into()),
    }
}

/// Reads a time as whole milliseconds.
pub(crate) fn milliseconds(text: &str) -> Result<u32, String> {
    u32::try_from(duration(text)?.as_millis()).map_err(|_| "expected less than 49 days".into())
}

/// Reads how long a command may take, as whole milliseconds: none at all would mean the server's default, which a
/// wait could not know.
pub(crate) fn command_timeout(text: &str) -> Result<u32, String> {
    match milliseconds(text)? {
        0 => Err("expected at least 1ms".into()),
        timeout_ms => Ok(timeout_ms),
    }
}

/// Reads a time as whole seconds, at least one.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    match u32::try_from(duration(text)?.as_secs()) {
        Ok(0) => Err("expected at least 1s".into()),
        Ok(seconds) => Ok(seconds),
        Err(_) => Err("expected less than 136 years".into()),
    }
}

/// Reads how many are shown: at least one, and no more than fit into memory.
pub(crate) fn limit() -> impl TypedValueParser<Value = usize> {
    const LIMIT_MAX: u32 = 100_000;
    clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)).map(|limit| limit as usize)
}

/// Reads `key=value`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected key=value".into()),
    }
}

/// Reads `key=value`, where the value is JSON if it can be read as such, and otherwise a text.
pub(crate) fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = label(text)?;
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    Ok((key, value))
}

/// Reads an attribute with the values of which one is meant: `severity=HIGH,CRITICAL`.
pub(crate) fn attribute(text: &str) -> Result<(String, Vec<String>), String> {
    match label(text) {
        Ok((name, values)) if values.split(',').all(|value| !value.is_empty()) => {
            Ok((name, values.split(',').map(str::to_owned).collect()))
        }
        _ => Err("expected attribute=value,value".into()),
    }
}

/// Takes any name of a kind, and lets shells complete the built-in ones.
pub(crate) fn kind() -> Suggesting<StringValueParser> {
    let names = || signalbox_catalog::kinds().map(|kind| kind.name.as_str()).collect();
    Suggesting { parser: StringValueParser::new(), names }
}

/// Takes any pattern, and lets shells complete the built-in types and their groups.
pub(crate) fn pattern() -> impl TypedValueParser<Value = Pattern> {
    static GROUPS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        signalbox_catalog::event_types().map(|event_type| format!("{}.*", event_type.kind())).collect()
    });
    let names = || {
        let types = signalbox_catalog::event_types().map(|event_type| event_type.name);
        types.chain(GROUPS.iter().map(String::as_str)).collect()
    };
    Suggesting { parser: StringValueParser::new().try_map(|text| text.parse()), names }
}

/// Reads what its parser reads, and suggests some of it to shells.
#[derive(Debug, Clone)]
pub(crate) struct Suggesting<P> {
    parser: P,
    names: fn() -> BTreeSet<&'static str>,
}

impl<P: TypedValueParser> TypedValueParser for Suggesting<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        self.parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}

/// Which types of events are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `*`
    All,
    /// `agent.*`, kept as `agent.`
    Under(String),
    /// `agent.created`
    Exactly(String),
}

impl Pattern {
    /// Whether events of this type are meant.
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under(prefix) => event_type.starts_with(prefix.as_str()),
            Self::Exactly(name) => event_type == name,
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = |text: &str| {
            let word = |word: &str| {
                !word.is_empty()
                    && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
            };
            text.split('.').all(word)
        };
        match text.strip_suffix(".*") {
            _ if text == "*" => Ok(Self::All),
            Some(prefix) if words(prefix) => Ok(Self::Under(format!("{prefix}."))),
            None if words(text) => Ok(Self::Exactly(text.into())),
            _ => Err("expected a type such as agent.created, or agent.*, or *".into()),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Under(prefix) => write!(f, "{prefix}*"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        assert_eq!(milliseconds("1m500ms"), Ok(60_500));
        assert_eq!(seconds("1h"), Ok(3600));
        for bad in ["", "5", "5 parsecs", "-1s", "1e3s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert!(milliseconds("60days").is_err());
        assert_eq!((command_timeout("1ms"), milliseconds("0s")), (Ok(1), Ok(0)));
        assert!(command_timeout("0s").is_err() && command_timeout("500us").is_err());
        assert!(seconds("900ms").is_err());
        assert!(rpc_timeout("0s").is_err() && rpc_timeout("2h").is_err());
    }

    #[test]
    fn a_label_has_a_key_and_may_have_an_empty_value() {
        assert_eq!(label("tier=a=b"), Ok(("tier".into(), "a=b".into())));
        assert_eq!(label("tier="), Ok(("tier".into(), String::new())));
        assert!(label("tier").is_err() && label("=x").is_err());
    }

    #[test]
    fn an_attribute_has_a_name_and_values() {
        let values = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
        assert_eq!(attribute("severity=HIGH,LOW"), Ok(("severity".into(), values(&["HIGH", "LOW"]))));
        assert_eq!(attribute("type=a=b"), Ok(("type".into(), values(&["a=b"]))));
        for bad in ["severity", "severity=", "severity=HIGH,", "=HIGH", ""] {
            assert!(attribute(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_setting_is_json_where_it_can_be() {
        assert_eq!(setting("port=80").unwrap().1, Value::from(80));
        assert_eq!(setting("on=true").unwrap().1, Value::from(true));
        assert_eq!(setting("name=web one").unwrap().1, Value::from("web one"));
        assert_eq!(setting("name=\"80\"").unwrap().1, Value::from("80"));
    }

    #[test]
    fn a_pattern_matches_whole_words() {
        let pattern = |text: &str| text.parse::<Pattern>().unwrap();
        assert!(pattern("*").matches("agent.created"));
        assert!(pattern("agent.*").matches("agent.created"));
        assert!(!pattern("agent.*").matches("agents.created"));
        assert!(pattern("agent.created").matches("agent.created"));
        assert!(!pattern("agent").matches("agent.created"));
        for bad in ["", "a*", "*.created", "agent.", ".*", "agent.*.x", "Agent.*", "a b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_survives_its_text_form(text in "[a-z_*.]{1,12}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
