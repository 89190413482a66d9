//! Why an agent cannot begin, or had to end for good.

use crate::{config::ConfigError, state_dir::StateError};

/// Why an agent cannot begin, or had to end for good. Whatever a retry can heal is retried, and is no error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is malformed.
    #[error("the agent's configuration is malformed")]
    Config(#[from] ConfigError),
    /// What the agent keeps on disk cannot be opened.
    #[error("what the agent keeps on disk cannot be opened")]
    State(#[from] StateError),
    /// Another session of the same agent has begun, and the newer wins.
    #[error("a newer session of agent '{agent_id}' has taken over; this one ends")]
    Superseded {
        /// The agent.
        agent_id: String,
        /// The server's word on it.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The server refuses this agent, and would refuse it again.
    #[error("the server at {url} refused agent '{agent_id}' ({code:?}: {message})")]
    Refused {
        /// Where it was refused.
        url: String,
        /// The agent.
        agent_id: String,
        /// The kind of the refusal.
        code: tonic::Code,
        /// What the server says of it.
        message: String,
    },
}
