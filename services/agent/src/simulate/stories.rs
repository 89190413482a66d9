//! The stories: which there are, and how many sides each has.

mod alert;
mod behaviour;
mod fleet;
mod graph;
mod incident;
mod inference;
mod operations;
mod project;
mod rules;

use super::tale::Tale;

/// A story that the simulator tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Story {
    /// An incident, its analysis, and a remediation that asks for approval.
    Incident,
    /// A detection rule from its first draft to its end.
    Rules,
    /// An alert that becomes a case, with an investigation and a playbook.
    Alert,
    /// Detections, unusual behaviour, and decoys that somebody touches.
    Behaviour,
    /// A question to a model, and its answer.
    Inference,
    /// A project that is written and validated.
    Project,
    /// A graph of knowledge that grows, changes and is pruned.
    Graph,
    /// The platform: alerts, maintenance, lines of every category.
    Operations,
    /// The agents themselves: their states, their administration, their commands.
    Fleet,
}

impl Story {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Incident,
        Self::Rules,
        Self::Alert,
        Self::Behaviour,
        Self::Inference,
        Self::Project,
        Self::Graph,
        Self::Operations,
        Self::Fleet,
    ];

    /// How many sides it has: told this often in a row it shows everything it has to show.
    pub(crate) fn sides(self) -> usize {
        match self {
            Self::Incident => 3,
            Self::Alert | Self::Inference | Self::Project => 2,
            Self::Rules | Self::Behaviour | Self::Graph | Self::Operations | Self::Fleet => 1,
        }
    }

    /// Tells it.
    pub(crate) fn tell(self, tale: &mut Tale) {
        match self {
            Self::Incident => incident::tell(tale),
            Self::Rules => rules::tell(tale),
            Self::Alert => alert::tell(tale),
            Self::Behaviour => behaviour::tell(tale),
            Self::Inference => inference::tell(tale),
            Self::Project => project::tell(tale),
            Self::Graph => graph::tell(tale),
            Self::Operations => operations::tell(tale),
            Self::Fleet => fleet::tell(tale),
        }
    }
}
