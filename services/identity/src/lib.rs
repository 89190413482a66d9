//! Who is calling, on both protocols: JSON Web Tokens (RFC 7519) signed with a shared secret or by an identity
//! provider, API keys, the tenant and the role that they name, and what each role may call.
//!
//! It must know neither protocol nor storage: callers hand it the token's text and the time.

mod api_key;
mod check;
pub mod forwarded;
mod issuer;
mod principal;
mod rules;
mod token;

pub use api_key::{NewApiKey, PresentedApiKey, SecretHash};
pub use issuer::IssuerConfig;
pub use principal::{Principal, Role};
pub use rules::{RULES, Rule, may_call, rule_of};
pub use token::{Error, Keys, TokenConfig, TokenRequest, read_unverified};
