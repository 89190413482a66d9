//! The configuration that the program is given, by a file or by its environment.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::commands::{JsonObject, Rejection};

/// The whole configuration as JSON; with `_<KEY>` behind it, one of its values.
const VARIABLE: &str = "SIGNALBOX_CONFIG";
/// Longest value of a variable, in bytes; systems refuse longer ones.
const VARIABLE_LEN_MAX: usize = 128 * 1024 - 1;

/// How configurations reach the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigDelivery {
    /// Not at all: `update_config` is refused.
    None,
    /// As a JSON file, which is replaced in one step before the program is started again.
    File(PathBuf),
    /// As the variable `SIGNALBOX_CONFIG`, which holds all of it as JSON, and one variable `SIGNALBOX_CONFIG_<KEY>`
    /// for each key: in capitals, other characters than letters and digits as `_`. Kept in the file, where
    /// there is one, so that it survives the agent.
    Env {
        /// Where it is kept.
        kept_in: Option<PathBuf>,
    },
}

/// A configuration that was kept from before cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration kept in {path} cannot be used", path = path.display())]
pub struct ConfigurationError {
    /// Where it is kept.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The configuration that the program is given at its next start.
#[derive(Debug)]
pub(super) struct Configuration {
    delivery: ConfigDelivery,
    variables: BTreeMap<String, String>,
}

impl Configuration {
    /// Takes up what was kept from before.
    pub(super) fn open(delivery: ConfigDelivery) -> Result<Self, ConfigurationError> {
        let mut variables = BTreeMap::new();
        if let ConfigDelivery::Env { kept_in: Some(path) } = &delivery {
            let failed = |source| ConfigurationError { path: path.clone(), source };
            match fs::read(path) {
                Ok(text) => {
                    let content = serde_json::from_slice(&text).map_err(io::Error::from).map_err(failed)?;
                    variables = to_variables(&content)
                        .map_err(|rejection| failed(io::Error::new(io::ErrorKind::InvalidData, rejection)))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Self { delivery, variables })
    }

    /// Variables for the program's environment.
    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Puts a configuration where the program will find it. On failure the one before stays.
    pub(super) fn set(&mut self, content: &JsonObject) -> Result<(), String> {
        match &self.delivery {
            ConfigDelivery::None => Err("this agent has nowhere to put a configuration".into()),
            ConfigDelivery::File(path) => keep(path, content),
            ConfigDelivery::Env { kept_in } => {
                let variables = to_variables(content).map_err(|rejection| rejection.to_string())?;
                kept_in.as_ref().map_or(Ok(()), |path| keep(path, content))?;
                self.variables = variables;
                Ok(())
            }
        }
    }
}

/// Checks that a configuration can be delivered.
pub(super) fn check(delivery: &ConfigDelivery, content: &JsonObject) -> Result<(), Rejection> {
    match delivery {
        ConfigDelivery::None => Err(Rejection::because("this agent has nowhere to put a configuration")),
        ConfigDelivery::File(_) => Ok(()),
        ConfigDelivery::Env { .. } => to_variables(content).map(|_| ()),
    }
}

fn to_variables(content: &JsonObject) -> Result<BTreeMap<String, String>, Rejection> {
    let mut variables = BTreeMap::from([(VARIABLE.to_owned(), Value::Object(content.clone()).to_string())]);
    for (key, value) in content {
        let upper = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
        let variable = format!("{VARIABLE}_{}", key.chars().map(upper).collect::<String>());
        let field = format!("config.{key}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if text.contains('\0') {
            let given = Value::String("one".into());
            return Err(Rejection::bad_parameter(&field, "a text without the character NUL", &given));
        }
        if variables.insert(variable.clone(), text).is_some() {
            let expected = "keys that become different variables";
            return Err(Rejection::bad_parameter(&field, expected, &Value::String(variable)));
        }
    }
    match variables.iter().find(|(_, text)| text.len() > VARIABLE_LEN_MAX) {
        Some((variable, text)) => Err(Rejection::because(format!(
            "{variable}: expected at most {VARIABLE_LEN_MAX} bytes, got {}",
            text.len()
        ))),
        None => Ok(variables),
    }
}

/// Replaces the file in one step. A configuration may hold secrets: a new file is for its owner alone, one that
/// is replaced keeps its permissions.
fn keep(path: &Path, content: &JsonObject) -> Result<(), String> {
    let replace = || -> io::Result<()> {
        let beside = path.with_added_extension("new");
        let mut file = private(&beside)?;
        serde_json::to_writer_pretty(&mut file, content)?;
        file.write_all(b"\n")?;
        if let Ok(before) = fs::metadata(path) {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    replace().map_err(|error| format!("the configuration cannot be written to {}: {error}", path.display()))
}

fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handle::object;

    #[test]
    fn each_key_becomes_a_variable_beside_the_whole() {
        let content = object(json!({"port": 80, "log-level": "debug", "tls": {"on": true}, "none": null}));
        let variables = to_variables(&content).unwrap();
        assert_eq!(variables["SIGNALBOX_CONFIG_PORT"], "80");
        assert_eq!(variables["SIGNALBOX_CONFIG_LOG_LEVEL"], "debug");
        assert_eq!(variables["SIGNALBOX_CONFIG_TLS"], r#"{"on":true}"#);
        assert_eq!(variables["SIGNALBOX_CONFIG_NONE"], "");
        let whole: Value = serde_json::from_str(&variables[VARIABLE]).unwrap();
        assert_eq!(whole, Value::Object(content));
    }

    #[test]
    fn what_no_environment_can_hold_is_refused_with_its_field() {
        let delivery = ConfigDelivery::Env { kept_in: None };
        for (content, field) in [
            (json!({"a-b": 1, "a_b": 2}), "config.a_b"),
            (json!({"a": "x\u{0}"}), "config.a"),
            (json!({"a": "x".repeat(VARIABLE_LEN_MAX + 1)}), "SIGNALBOX_CONFIG"),
        ] {
            let rejection = check(&delivery, &object(content)).unwrap_err().to_string();
            assert!(rejection.starts_with(field), "{rejection}");
        }
    }

    #[test]
    fn a_kept_configuration_survives_and_a_spoiled_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let delivery = ConfigDelivery::Env { kept_in: Some(path.clone()) };
        let mut configuration = Configuration::open(delivery.clone()).unwrap();
        assert!(configuration.variables().is_empty());
        configuration.set(&object(json!({"a": 1}))).unwrap();
        assert_eq!(Configuration::open(delivery.clone()).unwrap().variables()["SIGNALBOX_CONFIG_A"], "1");
        fs::write(&path, "[]").unwrap();
        assert!(Configuration::open(delivery).is_err());
    }
}
