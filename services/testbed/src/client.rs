//! Clients of the gRPC services, and their credentials.

pub(crate) mod resources;

use signalbox_identity::{Keys, Role, TokenConfig, TokenRequest};
use signalbox_proto::v1::{
    access_service_client::AccessServiceClient, agent_service_client::AgentServiceClient,
    catalog_service_client::CatalogServiceClient, command_service_client::CommandServiceClient,
    event_service_client::EventServiceClient, place_service_client::PlaceServiceClient,
    resource_service_client::ResourceServiceClient, system_service_client::SystemServiceClient,
    tenant_service_client::TenantServiceClient, watch_service_client::WatchServiceClient,
};
use signalbox_telemetry::now;
use time::{Duration, OffsetDateTime};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// The secret that signs every token of the tests.
pub const SECRET: &str = "the-secret-of-the-tests-is-no-secret";
/// The tenant of the tests that need only one.
pub const TENANT: &str = "acme";

/// The configuration that every server of the tests has.
#[must_use]
pub fn token_config() -> TokenConfig {
    TokenConfig::secret(SECRET)
}

/// A token that holds for an hour.
#[must_use]
pub fn token(tenant_id: &str, role: Role) -> String {
    token_at(tenant_id, role, now(), Duration::hours(1))
}

/// A token that holds from `at` for `ttl`.
///
/// # Panics
///
/// Never: the request is well formed.
#[must_use]
pub fn token_at(tenant_id: &str, role: Role, at: OffsetDateTime, ttl: Duration) -> String {
    let request =
        TokenRequest { subject: format!("{role}-1"), tenant_id: tenant_id.into(), role, ttl, agent_id: None };
    sign(&request, at)
}

/// A token that holds for an hour, good for one agent of the tests' tenant alone.
#[must_use]
pub fn agent_token(agent_id: &str) -> String {
    let request = TokenRequest {
        subject: "agent-1".into(),
        tenant_id: TENANT.into(),
        role: Role::Agent,
        ttl: Duration::hours(1),
        agent_id: Some(agent_id.into()),
    };
    sign(&request, now())
}

fn sign(request: &TokenRequest, at: OffsetDateTime) -> String {
    Keys::new(&token_config()).and_then(|keys| keys.issue(request, at)).expect("the request is well formed")
}

/// Puts a token into every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

fn bearer(token: &str) -> Bearer {
    Bearer(format!("Bearer {token}").parse().expect("a token is ASCII"))
}

/// A caller of every service.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

type Authenticated = InterceptedService<Channel, Bearer>;

impl Client {
    /// A caller with a role in the tests' tenant.
    #[must_use]
    pub fn new(channel: Channel, role: Role) -> Self {
        Self::with_token(channel, &token(TENANT, role))
    }

    /// A caller with a token.
    #[must_use]
    pub fn with_token(channel: Channel, token: &str) -> Self {
        Self { channel, bearer: bearer(token) }
    }

    /// A caller of the same server with another token.
    #[must_use]
    pub fn presenting(&self, token: &str) -> Self {
        Self::with_token(self.channel.clone(), token)
    }

    /// Agents.
    #[must_use]
    pub fn agents(&self) -> AgentServiceClient<Authenticated> {
        AgentServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Commands.
    #[must_use]
    pub fn commands(&self) -> CommandServiceClient<Authenticated> {
        CommandServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Events.
    #[must_use]
    pub fn events(&self) -> EventServiceClient<Authenticated> {
        EventServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Resources.
    #[must_use]
    pub fn resources(&self) -> ResourceServiceClient<Authenticated> {
        ResourceServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> CatalogServiceClient<Authenticated> {
        CatalogServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// The lives of tenants.
    #[must_use]
    pub fn tenants(&self) -> TenantServiceClient<Authenticated> {
        TenantServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// What is limited over several edges.
    #[must_use]
    pub fn places(&self) -> PlaceServiceClient<Authenticated> {
        PlaceServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Systems.
    #[must_use]
    pub fn systems(&self) -> SystemServiceClient<Authenticated> {
        SystemServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Logs.
    #[must_use]
    pub fn watch(&self) -> WatchServiceClient<Authenticated> {
        WatchServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Credentials.
    #[must_use]
    pub fn access(&self) -> AccessServiceClient<Authenticated> {
        AccessServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }
}
