//! The JSON Schemas of the catalog, each with its example.

use anyhow::{Context as _, Result};
use serde_json::Value;
use signalbox_catalog as catalog;

use super::Files;

/// One file for each kind and each type of event.
pub(super) fn files() -> Result<Files> {
    let mut files = Files::new();
    for kind in catalog::kinds() {
        let path = format!("docs/schemas/kinds/{}.json", kind.name);
        files.insert(path.into(), text(kind.schema.document(), &kind.example)?);
    }
    for event_type in catalog::event_types() {
        let path = format!("docs/schemas/events/{}.json", event_type.name);
        files.insert(path.into(), text(event_type.schema.document(), &event_type.example)?);
    }
    Ok(files)
}

fn text(schema: &Value, example: &Value) -> Result<String> {
    let mut schema = schema.clone();
    schema["examples"] = Value::Array(vec![example.clone()]);
    let mut text = serde_json::to_string_pretty(&schema).context("print a schema")?;
    text.push('\n');
    Ok(text)
}
