//! Resources as a program speaks of them: incidents, cases, rules, graph entities, and runs, which are resources
//! with a life of their own. The agent makes the ids, so that what it reports next can refer to them.
//!
//! It must know neither schemas nor rules: the server checks, and a [`Receipt`] says what it thinks.

mod id;
mod run;

use serde::Serialize;
use signalbox_proto::v1::{ResourceChange, resource_change::Change};

use crate::{
    handle::{Handle, ReportError, json_bytes, to_object},
    reports::Receipt,
};
pub use run::{Run, RunKind};

impl Handle {
    /// Creates a resource of a kind, such as `incident`, from a structure or from `json!({…})`, and says its id.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn create_resource(
        &self,
        kind: &str,
        data: impl Serialize,
    ) -> Result<(String, Receipt), ReportError> {
        let id = id::new(kind);
        let data = json_bytes(&to_object(data)?);
        let receipt = self.change(kind, &id, Change::Create(data)).await?;
        Ok((id, receipt))
    }

    /// Changes a resource by a JSON merge patch: fields that it has are replaced, and removed by null.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn update_resource(
        &self,
        kind: &str,
        id: &str,
        merge_patch: impl Serialize,
    ) -> Result<Receipt, ReportError> {
        let patch = json_bytes(&to_object(merge_patch)?);
        self.change(kind, id, Change::MergePatch(patch)).await
    }

    /// Deletes a resource.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn delete_resource(&self, kind: &str, id: &str) -> Result<Receipt, ReportError> {
        self.change(kind, id, Change::Delete(true)).await
    }

    /// Begins a run, on which this agent works. The server ends it should the agent be lost.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn begin_run(
        &self,
        kind: RunKind,
        data: impl Serialize,
    ) -> Result<(Run, Receipt), ReportError> {
        let data = to_object(data)?;
        let (id, receipt) = self.create_resource(kind.name(), &data).await?;
        Ok((Run::new(self.clone(), kind, id, data), receipt))
    }

    async fn change(&self, kind: &str, id: &str, change: Change) -> Result<Receipt, ReportError> {
        let change = ResourceChange { kind: kind.into(), id: id.into(), change: Some(change) };
        self.resources(vec![change]).await
    }
}
