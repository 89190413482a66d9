//! How well the system of a tenant is, as the state service says.

use std::collections::BTreeMap;

use signalbox_proto::v1::{self, system_service_client::SystemServiceClient};

use super::{CallError, Caller, Calls};

/// The health of a system and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemSummary {
    /// Of the whole.
    pub health: v1::Health,
    /// Of each component, such as `database`.
    pub components: BTreeMap<String, v1::Health>,
}

impl Calls {
    /// The system of the caller's tenant.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn system(&self, caller: &Caller) -> Result<SystemSummary, CallError> {
        let mut client = SystemServiceClient::new(self.channel.clone());
        let request = self.request(caller, v1::GetSystemStatusRequest {})?;
        let status = self.bounded(client.get_system_status(request)).await?;
        let health = |number: &i32| v1::Health::try_from(*number).unwrap_or_default();
        Ok(SystemSummary {
            health: status.health(),
            components: status
                .components
                .iter()
                .map(|(name, number)| (name.clone(), health(number)))
                .collect(),
        })
    }
}
