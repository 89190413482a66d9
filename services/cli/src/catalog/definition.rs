//! The definition of a kind, as a file has it.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use signalbox_proto::v1::{Kind, Lifecycle, States};

use crate::{error::Error, input};

const FIELD: &str = "--file";
/// A schema of 64 KiB, with the spaces in it, and room for the rest.
const DEFINITION_LEN_MAX: usize = 256 * 1024;

/// The form of the file. What the server adds may be there, and is passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    #[serde(default)]
    doc: String,
    schema: Map<String, Value>,
    lifecycle: Option<LifecycleForm>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    references: BTreeMap<String, String>,
    #[serde(rename = "built_in")]
    _built_in: Option<IgnoredAny>,
    #[serde(rename = "run")]
    _run: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    #[serde(rename = "event_types")]
    _event_types: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LifecycleForm {
    field: String,
    initial: String,
    #[serde(default)]
    transitions: BTreeMap<String, Vec<String>>,
}

/// Reads the definition in a file, or on standard input where the path is `-`.
pub(super) fn read(path: &Path) -> Result<Kind, Error> {
    parse(&input::text_in_file(FIELD, path, DEFINITION_LEN_MAX)?)
}

fn parse(text: &[u8]) -> Result<Kind, Error> {
    let form: Form = serde_json::from_slice(text).map_err(|error| Error::Input {
        field: FIELD.into(),
        expected: "the definition of a kind, a JSON object (`signalbox catalog apply --help` shows one)"
            .into(),
        got: format!("something else: {error}"),
    })?;
    let states = |(from, names): (String, Vec<String>)| (from, States { names });
    Ok(Kind {
        name: form.name,
        doc: form.doc,
        schema: Value::Object(form.schema).to_string().into(),
        lifecycle: form.lifecycle.map(|lifecycle| Lifecycle {
            field: lifecycle.field,
            initial: lifecycle.initial,
            transitions: lifecycle.transitions.into_iter().map(states).collect(),
        }),
        attributes: form.attributes,
        references: form.references,
        ..Kind::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::{args::Cli, output::kind::KindView};

    #[test]
    fn the_example_in_the_help_is_a_definition() {
        let command = Cli::command();
        let apply = command.find_subcommand("catalog").and_then(|catalog| catalog.find_subcommand("apply"));
        let help = apply.unwrap().get_after_long_help().unwrap().to_string();
        let example = &help[help.find("\n  {\n").unwrap()..];
        let kind = parse(example.as_bytes()).unwrap();
        assert_eq!((kind.name.as_str(), kind.attributes["severity"].as_str()), ("ticket", "severity"));
        assert_eq!(kind.lifecycle.unwrap().transitions["open"].names, ["done"]);
    }

    #[test]
    fn what_is_shown_can_be_given_again() {
        let kind =
            parse(br#"{"name":"t","schema":{"type":"object"},"references":{"a":"incident"}}"#).unwrap();
        let served = Kind { version: 3, event_types: vec!["t.created".into()], ..kind.clone() };
        let shown = serde_json::to_vec(&KindView::from(&served)).unwrap();
        assert_eq!(parse(&shown).unwrap(), kind);
    }

    #[test]
    fn what_is_no_definition_is_told_with_its_fault() {
        for (bad, said) in [
            ("", "EOF"),
            (r#"{"schema":{}}"#, "missing field `name`"),
            (r#"{"name":"t","schema":"{}"}"#, "expected a map"),
            (r#"{"name":"t","schema":{},"lifecycle":{"field":"s"}}"#, "missing field `initial`"),
            (r#"{"name":"t","schema":{},"colour":1}"#, "unknown field `colour`"),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("--file: expected the definition") && error.contains(said),
                "{bad}: {error}"
            );
        }
    }
}
