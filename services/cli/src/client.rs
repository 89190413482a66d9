//! The connection to the state service: who calls, how long a call may take, and what a failure means. It must
//! not know what is asked.

mod again;
mod credential;
mod target;

use std::{future::Future, time::Duration};

use signalbox_proto::v1::{
    access_service_client::AccessServiceClient, agent_service_client::AgentServiceClient,
    catalog_service_client::CatalogServiceClient, command_service_client::CommandServiceClient,
    event_service_client::EventServiceClient, resource_service_client::ResourceServiceClient,
    tenant_service_client::TenantServiceClient, watch_service_client::WatchServiceClient,
};
use signalbox_settings::without_credentials;
use signalbox_transport::ClientTlsConfig;
use tonic::{
    Response, Status,
    codec::CompressionEncoding,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Uri},
};

use crate::{args::GlobalArgs, error::Error};

pub(crate) use again::retry_after;
pub(crate) use credential::{Credential, SECRET_LEN_MAX, TOKEN_VARIABLE, read_secret};
pub(crate) use target::GRPC_URL;
use target::Target;

/// How long making a connection may take, unless calls may take less.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// How often a connection on which nothing arrives is tried, so that a stream does not hang on a dead network.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is taken, in bytes: 1000 events of 64 KiB, as a page or a range may have, and some more.
const MESSAGE_LEN_MAX: usize = 80 << 20;

/// How requests reach the server.
pub(crate) type Transport = InterceptedService<Channel, Credential>;

/// A connection to the state service.
#[derive(Clone)]
pub(crate) struct Client {
    transport: Transport,
    url: String,
    /// The profile that the token is from.
    profile: Option<String>,
    rpc_timeout: Duration,
}

impl Client {
    /// Connects to the server, with the token that the flags, the environment or a profile give.
    pub(crate) async fn connect(global: &GlobalArgs) -> Result<Self, Error> {
        let Target { url, tls, credential, profile } = Target::find(global)?;
        let client = Self::open(&url, &tls, credential, global.rpc_timeout).await?;
        Ok(Self { profile, ..client })
    }

    /// Connects to this server.
    pub(crate) async fn open(
        url: &str,
        tls: &ClientTlsConfig,
        credential: Credential,
        rpc_timeout: Duration,
    ) -> Result<Self, Error> {
        let endpoint = endpoint(url, tls, rpc_timeout)?;
        let url = url.to_owned();
        let channel =
            endpoint.connect().await.map_err(|source| Error::Unreachable { url: url.clone(), source })?;
        Ok(Self { transport: InterceptedService::new(channel, credential), url, profile: None, rpc_timeout })
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The profile that the token is from, if it is from one.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// How long a call may take.
    pub(crate) const fn rpc_timeout(&self) -> Duration {
        self.rpc_timeout
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Transport> {
        AccessServiceClient::new(self.transport.clone())
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Transport> {
        TenantServiceClient::new(self.transport.clone())
    }

    pub(crate) fn agents(&self) -> AgentServiceClient<Transport> {
        AgentServiceClient::new(self.transport.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub(crate) fn commands(&self) -> CommandServiceClient<Transport> {
        CommandServiceClient::new(self.transport.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub(crate) fn resources(&self) -> ResourceServiceClient<Transport> {
        ResourceServiceClient::new(self.transport.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub(crate) fn catalog(&self) -> CatalogServiceClient<Transport> {
        CatalogServiceClient::new(self.transport.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    pub(crate) fn events(&self) -> EventServiceClient<Transport> {
        EventServiceClient::new(self.transport.clone())
    }

    pub(crate) fn watch(&self) -> WatchServiceClient<Transport> {
        WatchServiceClient::new(self.transport.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Waits for the answer to a call, as long as a call may take. `what` completes "cannot …".
    pub(crate) async fn call<T>(
        &self,
        what: impl Into<String>,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.rpc_timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.refused(what, status)),
            Err(_) => Err(self.silent(what)),
        }
    }

    /// The error that an answer is which does not come.
    pub(crate) fn silent(&self, what: impl Into<String>) -> Error {
        Error::NoAnswer { what: what.into(), url: self.url.clone(), within: self.rpc_timeout }
    }

    /// The error that a status means.
    pub(crate) fn refused(&self, what: impl Into<String>, status: Status) -> Error {
        Error::Refused { what: what.into(), url: self.url.clone(), status: Box::new(status) }
    }
}

/// A key under which a call has its effect once, even if it is sent again.
pub(crate) fn idempotency_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn endpoint(url: &str, tls: &ClientTlsConfig, rpc_timeout: Duration) -> Result<Endpoint, Error> {
    let malformed = || Error::Url { given: without_credentials(url) };
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    let has_credential = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    let asks = uri.query().is_some() || url.contains('#');
    if !is_known || uri.host().is_none_or(str::is_empty) || has_credential || asks {
        return Err(malformed());
    }
    let endpoint = signalbox_transport::endpoint(url, tls).map_err(Error::Tls)?;
    endpoint.user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION"))).map_err(|_| malformed()).map(
        |endpoint| {
            endpoint
                .connect_timeout(rpc_timeout.min(CONNECT_TIMEOUT_MAX))
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .tcp_nodelay(true)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_neither_used_nor_shown() {
        for url in [
            "http://ann:hush@host:1",
            "https://ann:hush@host",
            "ann:hush@host",
            "http://a:h@ush@host",
            "http://ann@host/?token=hush",
        ] {
            let error =
                endpoint(url, &ClientTlsConfig::default(), CONNECT_TIMEOUT_MAX).unwrap_err().to_string();
            assert!(error.contains("…@host") && !error.contains("hush") && !error.contains("ann"), "{error}");
        }
    }

    #[test]
    fn an_address_has_a_known_scheme_and_a_host() {
        assert!(endpoint("http://127.0.0.1:50051", &ClientTlsConfig::default(), CONNECT_TIMEOUT_MAX).is_ok());
        assert!(endpoint("https://[::1]:50051/", &ClientTlsConfig::default(), CONNECT_TIMEOUT_MAX).is_ok());
        for bad in [
            "",
            "127.0.0.1:50051",
            "localhost",
            "https://",
            "ftp://host",
            "http://",
            "not a url",
            "http://h/?t=1",
        ] {
            assert!(
                matches!(
                    endpoint(bad, &ClientTlsConfig::default(), CONNECT_TIMEOUT_MAX),
                    Err(Error::Url { .. })
                ),
                "{bad:?}"
            );
        }
    }
}
