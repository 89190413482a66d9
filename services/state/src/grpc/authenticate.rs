//! Who calls, and whether that role may: the credential of every call is checked before any service sees it, and
//! that of a stream for as long as the stream lasts.

mod api_keys;
mod certificate;
mod enrolment;

use std::{
    convert::Infallible,
    mem,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use signalbox_identity::{Keys, PresentedApiKey, Principal, Role, Rule, may_call, rule_of};
use signalbox_telemetry::now;
use signalbox_transport::Peer;
use tonic::{Status, body::Body, server::NamedService};
use tower::{Layer, Service};

use super::{
    Refusals,
    caller::traceparent,
    calls,
    shares::{Held, Shares},
};
use crate::{
    domain::{Code, Error, audit::Call},
    log::Appender,
    standing::Standings,
    store::SystemPool,
};
use api_keys::ApiKeys;
use certificate::AgentName;
pub(super) use enrolment::Enroller;
use enrolment::Enrolments;

/// How often it is looked whether the API key of a stream still holds, and whether its tenant is served.
const STREAM_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How agents show who they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentPolicy {
    /// Whether a credential may be good for every agent of its tenant.
    pub(crate) fleet_allowed: bool,
    /// Whether an agent is the one that its certificate names.
    pub(crate) certified: bool,
}

/// How long it may take to look whether a tenant is served.
const TENANT_LOOK_MAX: Duration = Duration::from_secs(1);

/// Knows whose credential is whose.
pub(crate) struct Authenticator {
    keys: Keys,
    api_keys: ApiKeys,
    enrolments: Enrolments,
    agents: AgentPolicy,
    standings: Standings,
    shares: Shares,
}

/// Who is let in, and by which enrolment token where it enrols.
struct Admitted {
    principal: Principal,
    enroller: Option<Enroller>,
}

impl Authenticator {
    pub(crate) fn new(
        keys: Keys,
        pool: SystemPool,
        appender: Appender,
        agents: AgentPolicy,
        standings: Standings,
        shares: Shares,
    ) -> Self {
        let enrolments = Enrolments::new(pool.clone());
        Self { keys, api_keys: ApiKeys::new(pool, appender), enrolments, agents, standings, shares }
    }

    /// Waits for a caller's turn among the calls of its tenant. Edges and administrators of the platform are of none.
    async fn turn(&self, principal: &Principal, path: &str) -> Result<Option<Held>, Error> {
        if principal.tenant_id == "*" {
            return Ok(None);
        }
        self.shares.take(&principal.tenant_id, path).await
    }

    /// What signs tokens.
    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Says whose credential this is.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`; `PERMISSION_DENIED` when the tenant is not served; `UNAVAILABLE` when API keys cannot be
    /// looked up.
    pub(super) async fn check(&self, credential: &str) -> Result<Principal, Error> {
        let principal = match PresentedApiKey::parse(credential) {
            Some(presented) => self.api_keys.check(&presented, now()).await?,
            None => {
                let verified = self.keys.verify_fresh(credential, now()).await;
                verified.map_err(|error| unauthenticated(&error))?
            }
        };
        self.check_tenant(&principal).await?;
        Ok(principal)
    }

    /// Edges and administrators of the platform are of no tenant. While tenants cannot be looked up, they are served:
    /// what needs the database says itself that it is away.
    async fn check_tenant(&self, principal: &Principal) -> Result<(), Error> {
        if principal.tenant_id == "*" {
            return Ok(());
        }
        let checked = tokio::time::timeout(TENANT_LOOK_MAX, self.standings.check(&principal.tenant_id)).await;
        match checked {
            Ok(Err(error)) if error.code == Code::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whose credential this would be that was refused, where that is known: of a token that is signed well,
    /// of an API key that exists. For the record only.
    pub(super) async fn holder(&self, credential: &str) -> Option<Principal> {
        match PresentedApiKey::parse(credential) {
            Some(presented) => self.api_keys.holder(&presented).await,
            None => self.keys.holder(credential),
        }
    }

    /// Says who makes a call: by what it presents, and what its connection's certificate says.
    async fn identify(
        &self,
        credential: Option<&str>,
        path: &str,
        peer: Option<&Peer>,
    ) -> Result<Admitted, Error> {
        let name = self.agents.certified.then(|| AgentName::of(peer)).transpose()?.flatten();
        if let Some(presented) = credential.and_then(PresentedApiKey::parse_enrolment) {
            if !rule_of(path).is_some_and(|rule| rule.enrols) {
                let message = "an enrolment token is good for AccessService.Enrol alone";
                return Err(Error::new(Code::PermissionDenied, message));
            }
            let (principal, enroller) =
                self.enrolments.check(&presented, peer.and_then(Peer::address)).await?;
            self.check_tenant(&principal).await?;
            let enroller = if self.agents.certified { enroller.certified(name)? } else { enroller };
            return Ok(Admitted { principal, enroller: Some(enroller) });
        }
        let principal = match (credential, name.as_ref()) {
            (Some(credential), _) => self.check(credential).await?,
            (None, Some(name)) => {
                let principal = name.principal();
                self.check_tenant(&principal).await?;
                principal
            }
            (None, None) => {
                let message = "no credentials: expected metadata authorization: Bearer <token>";
                return Err(Error::new(Code::Unauthenticated, message));
            }
        };
        let principal = match principal.role {
            Role::Agent if self.agents.certified => certificate::bind(principal, name)?,
            _ => principal,
        };
        Ok(Admitted { principal, enroller: None })
    }

    /// Waits until the credential of a stream no longer holds or its tenant is not served any more, and says why.
    /// While API keys and tenants cannot be looked up, they hold.
    pub(super) async fn ended(&self, principal: &Principal) -> Error {
        let expired = async {
            match principal.expires_at {
                Some(expires_at) => {
                    tokio::time::sleep((expires_at - now()).try_into().unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        let refused = async {
            loop {
                tokio::time::sleep(STREAM_LOOK_EVERY).await;
                match self.look(principal).await {
                    Err(error) if matches!(error.code, Code::Unauthenticated | Code::PermissionDenied) => {
                        return error;
                    }
                    _ => {}
                }
            }
        };
        let what = if principal.key_id.is_some() { "API key" } else { "token" };
        tokio::select! {
            error = refused => error,
            () = expired => Error::new(Code::Unauthenticated, format!("the {what} has expired")),
        }
    }

    /// Looks whether a credential that was good before still is.
    async fn look(&self, principal: &Principal) -> Result<(), Error> {
        if let Some(key_id) = &principal.key_id {
            self.api_keys.look(key_id, now()).await?;
        }
        self.check_tenant(principal).await
    }
}

/// Checks the credential of every call and the role's right to it, and leaves in the request's extensions who calls,
/// and what the log shall tell of a call that changes something.
#[derive(Clone)]
pub(super) struct Authenticate {
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) refusals: Refusals,
}

impl<S> Layer<S> for Authenticate {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, authenticate: self.clone() }
    }
}

/// A service that only callers reach whose credential is good, and only by methods that are for their role.
#[derive(Clone)]
pub(super) struct Authenticated<S> {
    inner: S,
    authenticate: Authenticate,
}

impl<S: NamedService> NamedService for Authenticated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let authenticate = self.authenticate.clone();
        // The one that is ready takes the call; its copy has to become ready by itself.
        let copy = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, copy);
        async move {
            match authenticate.admit(&mut request).await {
                Ok(_held) => inner.call(request).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        }
        .boxed()
    }
}

impl Authenticate {
    /// Lets a call in when it is its tenant's turn, or says why not. What is returned is held during the call.
    async fn admit(&self, request: &mut Request<Body>) -> Result<Option<Held>, Error> {
        let peer = request.extensions().get::<Peer>().cloned();
        let credential = bearer(request.headers())?;
        let identified = self.authenticator.identify(credential, request.uri().path(), peer.as_ref()).await;
        let Admitted { principal, enroller } = match identified {
            Ok(admitted) => admitted,
            Err(error) => {
                if error.code == Code::Unauthenticated
                    && let Some(credential) = credential
                    && let Some(holder) = self.authenticator.holder(credential).await
                {
                    self.refuse(request, &holder, &error);
                }
                return Err(error);
            }
        };
        if let Some(peer) = &peer {
            peer.mark_known();
        }
        let rule = self.right(request.uri().path(), &principal, enroller.is_some());
        let rule = rule.inspect_err(|error| self.refuse(request, &principal, error))?;
        if rule.mutates {
            let call = self.call(request, &principal);
            request.extensions_mut().insert(Arc::new(call));
        }
        if let Some(enroller) = enroller {
            request.extensions_mut().insert(enroller);
        }
        let turn = self.authenticator.turn(&principal, request.uri().path()).await?;
        request.extensions_mut().insert(principal);
        Ok(turn)
    }

    /// The row by which the method is for this caller.
    fn right(&self, path: &str, principal: &Principal, enrols: bool) -> Result<&'static Rule, Error> {
        let is_for = |rule: &&Rule| if enrols { rule.enrols } else { may_call(principal, path) };
        let rule = rule_of(path).filter(is_for).ok_or_else(|| forbidden(principal))?;
        let is_fleets = principal.role == Role::Agent && principal.agent_id.is_none() && !enrols;
        if is_fleets && !self.authenticator.agents.fleet_allowed {
            let message = "the credential is good for every agent of the tenant, which is not allowed here: enrol the \
                           agent, or give it a key or a token of its own";
            return Err(Error::new(Code::PermissionDenied, message));
        }
        Ok(rule)
    }

    fn refuse(&self, request: &Request<Body>, principal: &Principal, error: &Error) {
        let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        self.refusals.note(principal, traceparent(given), self.call(request, principal), error.clone());
    }

    fn call(&self, request: &Request<Body>, principal: &Principal) -> Call {
        let (path, keys) = (request.uri().path(), self.authenticator.keys());
        calls::call(path, request.headers(), request.extensions(), principal, keys)
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Error::new(Code::Unauthenticated, "metadata authorization: expected Bearer <token>")),
    }
}

/// What a caller is told whose role is not in the row of the method.
fn forbidden(principal: &Principal) -> Error {
    let message = if principal.is_platform() {
        "an administrator of the platform may not do this: it is for credentials of a tenant".into()
    } else {
        format!("the role {} may not do this", principal.role)
    };
    Error::new(Code::PermissionDenied, message)
}

/// What the holder of a bad token is told.
fn unauthenticated(error: &signalbox_identity::Error) -> Error {
    Error::new(Code::Unauthenticated, error.to_string())
}
