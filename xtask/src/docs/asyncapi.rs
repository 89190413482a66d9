//! `docs/asyncapi/`: the protocols of the edge, as it says itself.

use anyhow::Result;

use super::Files;

/// One document for each dialect.
pub(super) fn files() -> Result<Files> {
    let documents = signalbox_edge::asyncapi::documents();
    Ok(documents.into_iter().map(|(path, text)| (path.into(), text)).collect())
}
